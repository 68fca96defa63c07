"""Whether servers use a SQLite file: they share a lock beside it, and who puts a file there has it alone.

SQLite's own locks are for the file that is open. A server whose file was moved away goes on with it, and would be
there beside the one that is restored. The lock is a file by the name of the path with a dot before it, so that it stays
where it is, also when all of `issuer.db*` is moved away. The kernel lets go of it when a process ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wimse.errors import ConfigurationError
from wimse.stores.issuer.database import check_directory

__all__ = ["alone_with", "using"]


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Say that a server uses the SQLite file `path`, for the `with`.

    Raises:
        ConfigurationError: when it is being restored or adopted, or the lock cannot be made.
    """
    with _locked(path, fcntl.LOCK_SH, f"{path} is being restored: start the server when that has ended"):
        yield


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep servers away from the SQLite file `path`, for the `with`.

    Raises:
        ConfigurationError: when a server uses it, or the lock cannot be made.
    """
    with _locked(path, fcntl.LOCK_EX, f"a server uses {path}: stop it first"):
        yield


@contextmanager
def _locked(path: Path, kind: int, refusal: str) -> Iterator[None]:
    check_directory(path.parent)
    name = path.with_name(f".{path.name}.lock")
    try:
        # Never removed: who holds a lock on a name that is gone is alone with nothing.
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot make {name}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(refusal) from None
        except OSError as error:
            raise ConfigurationError(f"cannot lock {name}: {error.strerror}") from None
        yield
    finally:
        os.close(descriptor)
