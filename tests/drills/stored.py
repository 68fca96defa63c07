"""Identity servers as processes, with a store, and times so short that a rotation is a matter of seconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

PATIENCE = 20.0
NAME = "example.org"
# A key signs for 5 s; it is published for 1 s x 2 + 2 s before.
QUICK_KEYS = """
[keys]
rotation_interval_seconds = {interval}
refresh_hint_seconds = 1
publication_intervals = {publications}
max_staleness_seconds = 2
verifier_leeway_seconds = 1
"""


def configured(
    folder: Path, store: str, *, name: str = "s", life: int = 6, interval: int = 5, publications: int = 2
) -> Path:
    """Write the configuration of a server and give its path; its socket is `name` in `folder`.

    Args:
        folder: of mode 0700.
        store: the lines of ``[store]``.
        name: of the server.
        life: of what is issued, in seconds.
        interval: of rotation, in seconds.
        publications: how many refresh hints a key is published before it signs.
    """
    key = folder / "kek"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(os.urandom(32).hex())
    config = folder / f"{name}.toml"
    config.write_text(
        f'trust_domain = "{NAME}"\nsocket = "unix://{folder}/{name}"\n'
        + "".join(f"{each}_lifetime_seconds = {life}\n" for each in ("wit", "jwt_svid", "x509_svid"))
        + f'[[entries]]\npath = "/workload"\nselectors = ["unix:uid:{os.geteuid()}"]\n'
        + f'[store]\n{store}\n[encryption]\nfile = "{key}"\n'
        + QUICK_KEYS.format(interval=interval, publications=publications)
    )
    return config


@contextlib.asynccontextmanager
async def identity_server(
    config: Path, *, end: signal.Signals = signal.SIGKILL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server; it is ended by the signal `end`."""
    command = (sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(config))
    with config.with_suffix(".log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        if not (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).startswith(b"ready"):
            raise RuntimeError(f"the identity server does not start: {config.with_suffix('.log').read_text()[-500:]}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(end)
        await asyncio.wait_for(process.wait(), PATIENCE)
