#!/usr/bin/env python3
"""What the identity server costs: WITs a second, open streams, memory, and its start.

    benchmarks/identity_server.py [--json] [--seconds N] [--streams N] [--streams-per-connection N]

- `ratio`: WITs a second of one server process with 16 callers, beside unary calls of a bare grpclib server with an
  answer of the same size. Each caller has a connection of its own, opens FetchWITSVID, reads one WIT, cancels the call
  and opens the next one. `ratio_to_stream` is beside a bare call of that form: one message on a stream, then cancelled.
  `ratio_of_mint` is MintWITSVID, a WIT by a unary call, beside the bare one. `ratio_at_most` is the bare unary call
  itself with a new P-256 key and one ES256 signature in it, beside the one without: what is left of 1 for a server that
  does nothing else. All servers run alike: a process of their own, the same client, CPU time as the kernel counts it
  for the server. Ours writes its audit log, as in production.
- `us`: microseconds of the server for one call of each kind, bare and ours: Health/Check is our transport and limits
  alone, FetchWITBundles has the attestation, the entries and the waiting stream, and FetchWITSVID all.
- `key_and_signature_us`: a new P-256 key and one ES256 signature in a loop, with everything in the caches.
- `open_streams`: so many open FetchWITBundles streams, what the server weighs with them, and how long it takes from new
  signing keys until each stream has the new bundle. The limits of the server are raised for it.
- `idle_mb`, `first_wit_seconds`: memory before anybody has called, and from the process's start to a first WIT.

All is on this machine. Clients are processes of their own; so is each server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from wimse.issuer import Authority, Registrations
from wimse.keys import PrivateKey
from wimse.workload_api import IdentityServer, ServerSettings, WorkloadAPIClient
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.calls import SECURITY_HEADER
from wimse.workload_api.proto import workload_pb2 as pb

CALLERS = 16
HOLDERS = 8  # processes that keep streams open
UNARY, KEY, STREAM = "/Bare/Call", "/Bare/Key", "/Bare/Stream"
WIT, BUNDLES = "/SpiffeWorkloadAPI/FetchWITSVID", "/SpiffeWorkloadAPI/FetchWITBundles"
MINT, HEALTH = "/MiniSPIREWorkloadAPI/MintWITSVID", "/grpc.health.v1.Health/Check"
UNARY_CALLS = frozenset({UNARY, KEY, MINT, HEALTH})
P256 = ec.SECP256R1()
BARE, OURS = (UNARY, KEY, STREAM), (HEALTH, BUNDLES, MINT, WIT)


class Bare:
    """Calls that answer with the same bytes each time."""

    def __init__(self, answer: pb.WITSVIDResponse) -> None:
        self.answer = answer
        self.signer = PrivateKey.generate()

    def __mapping__(self) -> dict[str, Handler]:
        kinds = (pb.WITSVIDRequest, pb.WITSVIDResponse)
        return {
            UNARY: Handler(self.call, Cardinality.UNARY_UNARY, *kinds),
            KEY: Handler(self.key, Cardinality.UNARY_UNARY, *kinds),
            STREAM: Handler(self.stream, Cardinality.UNARY_STREAM, *kinds),
        }

    async def call(self, stream: Any) -> None:
        """Answer."""
        await stream.recv_message()
        await stream.send_message(self.answer)

    async def key(self, stream: Any) -> None:
        """Make a key, sign as much as a WIT has, and answer."""
        ec.generate_private_key(P256)
        self.signer.sign(b"x" * 600)
        await self.call(stream)

    async def stream(self, stream: Any) -> None:
        """Answer, and stay."""
        await self.call(stream)
        await asyncio.get_running_loop().create_future()


def bare_server(path: str, size: int) -> None:
    """Serve until ended."""

    async def run() -> None:
        answer = pb.WITSVIDResponse(svids=[pb.WITSVID(wit_svid="x" * size)])
        server = Server([Bare(answer)])
        await server.start(path=path)
        await server.wait_closed()

    asyncio.run(run())


@contextlib.contextmanager
def identity_server(folder: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server process, and its address."""
    config = Path(folder) / "c.toml"
    config.write_text(f'socket = "unix://{folder}/s"')
    command = [sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(config)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        if not server.stdout.readline().startswith(b"ready"):
            raise SystemExit("the identity server does not start")
        yield server, f"unix://{folder}/s"
    finally:
        server.terminate()
        server.wait(20)


def memory_mb(pid: int) -> float:
    """Resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def _calls(path: str, seconds: float, name: str) -> int:
    done, end = 0, time.monotonic() + seconds

    async def caller() -> None:
        nonlocal done
        channel, metadata = Channel(path=path), dict([SECURITY_HEADER])
        kinds = (pb.WITSVIDRequest, pb.WITSVIDResponse)
        unary, streaming = UnaryUnaryMethod(channel, name, *kinds), UnaryStreamMethod(channel, name, *kinds)
        while time.monotonic() < end:
            if name in UNARY_CALLS:
                await unary(pb.WITSVIDRequest(), metadata=metadata)
            else:
                async with streaming.open(metadata=metadata) as stream:
                    await stream.send_message(pb.WITSVIDRequest(), end=True)
                    assert await stream.recv_message() is not None
                    await stream.cancel()
            done += 1
        channel.close()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done


def throughput(path: str, pid: int, seconds: float, name: str) -> float:
    """Calls for each second of the server's processor time, which is what one core of its own gives."""
    before = cpu_seconds(pid)
    done = asyncio.run(_calls(path, seconds, name))
    return done / (cpu_seconds(pid) - before)


def floor_us() -> float:
    """What a key and a signature cost, in microseconds."""
    signer, taken = PrivateKey.generate(), []
    for _ in range(200):
        began = time.perf_counter()
        PrivateKey.generate()
        signer.sign(b"x" * 600)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def compare(seconds: float, rounds: int) -> dict[str, Any]:
    """WITs against bare calls, in turn."""
    found: dict[str, list[float]] = {name: [] for name in (*BARE, *OURS)}
    context, (mine, theirs) = multiprocessing.get_context("spawn"), multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = context.Process(target=own_server, args=(f"{folder}/s", 0, theirs))
        server.start()
        mine.recv()

        async def one() -> int:
            async with WorkloadAPIClient(f"unix://{folder}/s") as client:
                return len((await anext(client.watch_wit_svids())).SerializeToString())

        size = asyncio.run(one())
        bare = context.Process(target=bare_server, args=(f"{folder}/b", size))
        bare.start()
        while not Path(f"{folder}/b").exists():
            time.sleep(0.05)
        for _ in range(rounds):
            for name, taken in found.items():
                path, process = (f"{folder}/b", bare) if name in BARE else (f"{folder}/s", server)
                taken.append(throughput(path, process.pid or 0, seconds, name))
        for each in (bare, server):
            each.terminate()
            each.join()

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))

    return {
        "wits_per_core_second": statistics.median(found[WIT]),
        "ratio": ratio(WIT, UNARY),
        "ratio_to_stream": ratio(WIT, STREAM),
        "ratio_of_mint": ratio(MINT, UNARY),
        "ratio_at_most": ratio(KEY, UNARY),
        "us": {name: round(1e6 / statistics.median(each), 1) for name, each in found.items()},
        "key_and_signature_us": floor_us(),
    }


def own_server(path: str, number: int, pipe: Any) -> None:
    """Serve with limits for so many streams, and none of calls in a second; new keys for each word that comes."""
    _raise_files()
    limits = ServerSettings(
        max_connections=number + 64,
        max_connections_per_user=number + 64,
        max_streams=number + 64,
        max_streams_per_user=number + 64,
        max_streams_per_process=number + 64,
        max_calls_per_second_per_user=1_000_000,
        max_control_frames_per_second=1_000_000,
    )

    async def run() -> None:
        authority = Authority.create("example.com", now=int(time.time()))
        audit = AuditLog(f"{path}.audit")  # as in production
        server = IdentityServer(authority, Registrations(), limits, observers=[audit], minispire=True)
        changed = asyncio.Queue[str]()
        loop = asyncio.get_running_loop()
        async with server.listening(path):
            loop.add_reader(pipe.fileno(), lambda: changed.put_nowait(pipe.recv()))
            pipe.send("ready")
            while await changed.get() == "rotate":
                other = Authority.create("example.com", now=int(time.time()))
                pipe.send(time.monotonic())
                authority.install(other.keys)
                server.state.keys_changed()

    asyncio.run(run())


def hold(address: str, streams: int, each: int, pipe: Any) -> None:
    """Keep streams open, so many on each connection; tell when each has its first message, and the next one."""
    _raise_files()

    async def run() -> None:
        opened, changed = asyncio.Event(), asyncio.Event()
        counts = [0, 0]
        few = asyncio.Semaphore(32)  # opened at one time: neither end is to queue thousands

        async def one(client: WorkloadAPIClient) -> None:
            messages = client.watch_wit_bundles()
            async with few:
                await anext(messages)
            for place, event in enumerate((opened, changed)):
                counts[place] += 1
                if counts[place] == streams:
                    event.set()
                await anext(messages)

        clients = [WorkloadAPIClient(address) for _ in range(-(-streams // each))]
        tasks = [asyncio.create_task(one(clients[number // each])) for number in range(streams)]
        await asyncio.wait_for(opened.wait(), 300)
        pipe.send(time.monotonic())
        await asyncio.wait_for(changed.wait(), 300)
        pipe.send(time.monotonic())
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.close()

    asyncio.run(run())


def open_streams(number: int, each: int) -> dict[str, float]:
    """Memory with so many streams, and how long new keys take to reach all."""
    context, (mine, theirs) = multiprocessing.get_context("spawn"), multiprocessing.Pipe()
    share = -(-number // HOLDERS)
    with tempfile.TemporaryDirectory() as folder:
        server = context.Process(target=own_server, args=(f"{folder}/s", share * HOLDERS, theirs), daemon=True)
        server.start()
        mine.recv()
        idle, began, holders = memory_mb(server.pid or 0), time.monotonic(), []
        for _ in range(HOLDERS):
            pipe, other = context.Pipe()
            holder = context.Process(target=hold, args=(f"unix://{folder}/s", share, each, other), daemon=True)
            holder.start()
            holders.append((holder, pipe))
        opened = max(pipe.recv() for _, pipe in holders)
        before = cpu_seconds(server.pid or 0)
        time.sleep(10)  # twice the recheck interval
        idle_share = (cpu_seconds(server.pid or 0) - before) / 10
        memory = memory_mb(server.pid or 0)
        mine.send("rotate")
        rotated = mine.recv()
        changed = max(pipe.recv() for _, pipe in holders)
        found = {"open_seconds": opened - began, "change_seconds": changed - rotated, "idle_core_share": idle_share}
        found |= {"before_mb": idle, "memory_mb": memory, "memory_after_change_mb": memory_mb(server.pid or 0)}
        for holder, pipe in holders:
            pipe.send("stop")
            holder.join(30)
        mine.send("stop")
        server.join(30)
    return {**found, "streams": float(share * HOLDERS), "streams_per_connection": float(each)}


def _raise_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start() -> dict[str, float]:
    """From the process's start to a first WIT, and what it weighs."""
    taken, idle = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            with identity_server(folder) as (server, address):
                idle.append(memory_mb(server.pid))

                async def one(address: str = address) -> None:
                    async with WorkloadAPIClient(address) as client:
                        await anext(client.watch_wit_svids())

                asyncio.run(one())
                taken.append(time.monotonic() - began)
    return {"first_wit_seconds": statistics.median(taken), "idle_mb": statistics.median(idle)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of calls")
    parser.add_argument("--rounds", type=int, default=3, help="of calls; the median counts")
    parser.add_argument("--streams", type=int, default=10_000, help="open at one time; 0 to leave this out")
    parser.add_argument("--streams-per-connection", type=int, default=60, help="100 at most")
    arguments = parser.parse_args()
    found: dict[str, Any] = {**start(), **compare(arguments.seconds, arguments.rounds)}
    if arguments.streams:
        found["open_streams"] = open_streams(arguments.streams, arguments.streams_per_connection)
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for name, value in found.items():
        print(f"{name}: {value if isinstance(value, dict) else round(value, 2)}")


if __name__ == "__main__":
    main()
