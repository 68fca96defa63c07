"""Our sources at a real agent of SPIRE: X.509-SVIDs, JWT-SVIDs, their bundles, renewals, withdrawal, and no WITs.

    tools/spire.sh && python -m tests.drills.spire_agent [--bin .spire/bin] [--json]

SPIRE's own server and agent run as processes on loopback. This process is the workload; the agent knows it by its user.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port
from wimse.credentials import TrustDomain, UnverifiedX509SVID, X509Snapshot, verify_jwt_svid, verify_x509_svid
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.workload_api import SourceSettings, WorkloadAPIJWTSource, WorkloadAPISource, WorkloadAPIX509Source

__all__ = ["Figures", "drill"]

PATIENCE = 60.0
LIFE_SECONDS = 40  # of an X.509-SVID; the agent renews it after half of that
DOMAIN = TrustDomain("spiffe", "spire.example")
WORKLOAD, AGENT = DOMAIN.workload("/workload"), DOMAIN.workload("/agent")
AUDIENCE = "https://orders.example"

SERVER = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{path}/server.sock"
  trust_domain = "{domain}"
  data_dir = "{path}/server"
  log_level = "WARN"
  ca_ttl = "1h"
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{path}/server/data.db" }} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"""
AGENT_CONFIG = """
agent {{
  data_dir = "{path}/agent"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{path}/agent.sock"
  trust_bundle_path = "{path}/bundle.pem"
  trust_domain = "{domain}"
}}
plugins {{
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


@dataclass
class Figures:
    """What came of it; `failures` is empty when the drill passes."""

    version: str = ""
    first_seconds: dict[str, float] = field(default_factory=dict)
    renewed_after_seconds: float = 0.0
    withdrawn_after_seconds: float = 0.0
    without_wits: str = ""
    failures: list[str] = field(default_factory=list)


class SPIRE:
    """A server and an agent in a directory."""

    def __init__(self, programs: Path, path: Path) -> None:
        self.programs, self.path, self.port = programs, path, free_port()
        self.socket = f"unix://{path}/agent.sock"

    def version(self) -> str:
        said = subprocess.run([self.programs / "spire-agent", "--version"], capture_output=True, text=True, check=True)
        return (said.stdout or said.stderr).strip()

    def server(self, *arguments: str) -> str:
        """Run a command of the server's."""
        done = subprocess.run(
            [self.programs / "spire-server", *arguments, "-socketPath", str(self.path / "server.sock")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"spire-server {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @contextlib.contextmanager
    def process(self, program: str, config: str, *arguments: str) -> Iterator[None]:
        """A program that runs until the end."""
        text = config.format(path=self.path, port=self.port, domain=DOMAIN.name)
        file = self.path / f"{program}.conf"
        file.write_text(text, encoding="utf-8")
        with (self.path / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [self.programs / program, "run", "-config", str(file), *arguments], stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both, with the agent attested and no entry but its own."""
        for each in ("server", "agent"):
            (self.path / each).mkdir()
        with self.process("spire-server", SERVER):
            await until("the server answers", lambda: self.server("healthcheck") != "")
            (self.path / "bundle.pem").write_text(self.server("bundle", "show"), encoding="ascii")
            token = self.server("token", "generate", "-spiffeID", str(AGENT)).split()[-1]
            with self.process("spire-agent", AGENT_CONFIG, "-joinToken", token):
                await until("the agent listens", (self.path / "agent.sock").exists)
                yield

    def enter(self) -> str:
        """Make the workload's entry, and give its identifier."""
        of_user = ("-selector", f"unix:uid:{os.getuid()}", "-x509SVIDTTL", str(LIFE_SECONDS))
        said = self.server("entry", "create", "-parentID", str(AGENT), "-spiffeID", str(WORKLOAD), *of_user)
        return next(line.split()[-1] for line in said.splitlines() if line.startswith("Entry ID"))


async def until(what: str, condition: Callable[[], bool]) -> float:
    """Wait for it, and give how long it took, in seconds."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        with contextlib.suppress(RuntimeError):
            if condition():
                return round(time.monotonic() - began, 2)
        await asyncio.sleep(0.1)
    raise RuntimeError(f"it takes too long until {what}")


async def timed(figures: Figures, kind: str, entered: Awaitable[object]) -> None:
    began = time.monotonic()
    await entered
    figures.first_seconds[kind] = round(time.monotonic() - began, 2)


def check_x509(snapshot: X509Snapshot) -> None:
    """The certificate is the workload's, under the bundle that came with it; raises what is wrong."""
    assert snapshot.credential is not None
    bundle = snapshot.bundles[DOMAIN]
    verified = verify_x509_svid(
        UnverifiedX509SVID.parse(snapshot.credential.certificates), bundle, now=int(time.time())
    )
    assert verified.identity == WORKLOAD == snapshot.credential.identity


async def with_an_entry(spire: SPIRE, figures: Figures) -> None:
    """Everything that the agent has for a workload, until its entry goes."""
    entry = spire.enter()
    renewed: list[X509Snapshot] = []
    patient = SourceSettings()
    async with contextlib.AsyncExitStack() as stack:
        certificates = WorkloadAPIX509Source(spire.socket, settings=patient, on_renewal=renewed.append)
        await timed(figures, "x509", entering(stack, certificates))
        tokens = WorkloadAPIJWTSource(spire.socket, settings=patient)
        await timed(figures, "jwt", entering(stack, tokens))
        check_x509(certificates.x509_snapshot())
        token = await tokens.token(AUDIENCE)
        verified = verify_jwt_svid(token.token, tokens.bundles()[DOMAIN], audience=AUDIENCE, now=int(time.time()))
        assert verified.identity == WORKLOAD
        await asyncio.to_thread(write_files, spire)
        figures.without_wits = await refusal_of_wits(spire)
        first = certificates.x509_snapshot()
        figures.renewed_after_seconds = await until(
            "the certificate is renewed", lambda: certificates.x509_snapshot() is not first
        )
        check_x509(certificates.x509_snapshot())
        assert renewed[-1] is certificates.x509_snapshot()
        spire.server("entry", "delete", "-entryID", entry)
        figures.withdrawn_after_seconds = await until("the identity is withdrawn", lambda: withdrawn(certificates))


def write_files(spire: SPIRE) -> None:
    """The command, for programs that read files."""
    kinds = ("--kind", "x509", "--kind", "jwt", "--audience", AUDIENCE)
    files = spire.path / "files"
    command = ("credentials", "fetch", *kinds, "--socket", spire.socket, "--write", str(files))
    subprocess.run([sys.executable, "-m", "wimse", *command], timeout=PATIENCE, check=True)
    missing = {"svid.pem", "svid-key.pem", "svid-bundle.pem", "jwt-svid.jwt"} - {each.name for each in files.iterdir()}
    assert not missing, missing


async def entering(stack: contextlib.AsyncExitStack, source: contextlib.AbstractAsyncContextManager[object]) -> None:
    """Enter a source as soon as the agent knows of the entry."""
    began = time.monotonic()
    while True:
        try:
            await stack.enter_async_context(source)
        except Unavailable:
            if time.monotonic() - began > PATIENCE:
                raise
            await asyncio.sleep(0.5)
        else:
            return


def withdrawn(source: WorkloadAPIX509Source) -> bool:
    try:
        source.x509_snapshot()
    except Unavailable as error:
        return error.reason is Reason.CREDENTIAL_UNAVAILABLE
    return False


async def refusal_of_wits(spire: SPIRE) -> str:
    try:
        async with WorkloadAPISource(spire.socket):
            return ""
    except ConfigurationError as error:
        return error.detail


async def drill(programs: Path) -> Figures:
    """Run it.

    Args:
        programs: the directory of spire-server and spire-agent.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        spire = SPIRE(programs, Path(folder))
        figures.version = spire.version()
        try:
            async with spire.running():
                await with_an_entry(spire, figures)
        except (RuntimeError, AssertionError, Unavailable) as error:
            figures.failures.append(f"{type(error).__name__}: {error}")
    if not figures.without_wits.startswith("the identity server has no WITs"):
        figures.failures.append(f"asked for WITs it says: {figures.without_wits!r}")
    return figures


def main() -> None:
    """Run, print, and end with status 1 when the drill fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path(".spire/bin"), help="where spire-server and spire-agent are")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(drill(arguments.bin))
    document = {"passed": not figures.failures, **vars(figures)}
    sys.stdout.write(json.dumps(document, indent=2 if not arguments.json else None) + "\n")
    sys.exit(1 if figures.failures else 0)


if __name__ == "__main__":
    main()
