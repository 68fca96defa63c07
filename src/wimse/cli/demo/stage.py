"""The stage: four processes, each its own so that the kernel can tell them apart, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wimse.cli.demo.certificate import write_certificate
from wimse.cli.demo.processes import Child, DemoError

__all__ = ["Stage", "set_stage"]

TRUST_DOMAIN: Final = "example.com"
_LONGEST_SOCKET_PATH: Final = 107  # unix(7)
_CONFIG: Final = """\
trust_domain = "{domain}"
socket = "unix://{socket}"

[[entries]]
path = "/client"
selectors = ["unix:pid:{client}"]

[[entries]]
path = "/server"
selectors = ["unix:pid:{server}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everybody who takes part, ready to act.

    Attributes:
        server: the server workload.
        client: the client workload.
        middlebox: what stands between them.
        base: the URL, without a path, that clients call.
        socket: the Workload API's, as `SPIFFE_ENDPOINT_SOCKET` has it.
        certificate: the file of the middlebox's certificate.
        tls: what clients trust for TLS.
        client_identity: as the client was issued it.
        client_wit: the client's WIT, which everybody on the way can read.
        server_identity: as the server was issued it.
    """

    server: Child
    client: Child
    middlebox: Child
    base: str
    socket: str
    certificate: Path
    tls: ssl.SSLContext
    client_identity: str
    client_wit: str
    server_identity: str


@contextlib.asynccontextmanager
async def set_stage(*, port: int, through: str | None) -> AsyncIterator[Stage]:
    """Start all processes; end them, and remove what they left, when the block is left in whatever way.

    Args:
        port: of the middlebox, on 127.0.0.1.
        through: base URL of a proxy of the user's in front of the middlebox, or None.

    Raises:
        DemoError: one sentence on what is wrong.
    """
    _check_port(port)
    with tempfile.TemporaryDirectory(prefix="wimse-demo-") as name:
        directory, children = Path(name), []
        try:
            certificate, key = write_certificate(directory)
            upstream, endpoint = str(directory / "server.sock"), str(directory / "workload-api.sock")
            if len(endpoint) > _LONGEST_SOCKET_PATH:
                raise DemoError(f"The path {name} is too long for a socket in it: set TMPDIR to a shorter directory.")
            starts = (
                ("server workload", "-m", "wimse.cli.demo.server_workload", upstream),
                ("client workload", "-m", "wimse.cli.demo.client_workload"),
                ("middlebox", "-m", "wimse.cli.demo.middlebox", str(port), str(certificate), str(key), upstream),
            )
            for each, *arguments in starts:
                children.append(await Child.start(each, directory, *arguments))
            server, client, middlebox = children
            config = directory / "identity-server.toml"
            config.write_text(
                _CONFIG.format(domain=TRUST_DOMAIN, socket=endpoint, client=client.pid, server=server.pid)
            )
            run = ("-m", "wimse", "identity-server", "run", "--config", str(config))
            children.append(await Child.start("identity server", directory, *run))
            await middlebox.hear("listening")
            here = f"https://localhost:{port}"
            yield await _introduce(
                server=server,
                client=client,
                middlebox=middlebox,
                origins=[here, *([through] if through else [])],
                endpoint=f"unix://{endpoint}",
                certificate=certificate,
            )
        finally:
            # In the order in which they depend on each other: whoever calls stops first.
            order = sorted(children, key=lambda child: child.name != "client workload")
            for child in order:
                await child.stop()


async def _introduce(
    *, server: Child, client: Child, middlebox: Child, origins: list[str], endpoint: str, certificate: Path
) -> Stage:
    base = origins[-1]
    told = {"socket": endpoint, "certificate": str(certificate), "base": base}
    expected_server = f"spiffe://{TRUST_DOMAIN}/server"
    answers = await asyncio.gather(
        server.ask("start", "listening", origins=origins, **told),
        client.ask("start", "listening", server=expected_server, **told),
    )
    tls = ssl.create_default_context()
    tls.load_verify_locations(certificate)
    return Stage(
        server=server,
        client=client,
        middlebox=middlebox,
        base=base,
        socket=endpoint,
        certificate=certificate,
        tls=tls,
        server_identity=str(answers[0]["identity"]),
        client_identity=str(answers[1]["identity"]),
        client_wit=str(answers[1]["wit"]),
    )


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}): stop what uses it, or choose another "
                "one with --port."
            ) from None
