#!/usr/bin/env python3
"""What the identity server costs: WITs a second, open streams, memory, and its start.

    benchmarks/identity_server.py [--json] [--seconds N] [--streams N]

- `ratio`: WITs a second of one server process with 16 callers, beside bare unary calls of grpclib with an answer of the
  same size, by one server process with the same callers. Each caller opens FetchWITSVID, reads one WIT, and opens it
  again on the same connection. What a WIT costs at least is measured beside it: a new P-256 key, one ES256 signature.
- `streams`: so many open FetchWITBundles streams, 60 to each connection, and what the server weighs with them.
- `idle_mb`, `first_wit_seconds`: memory before anybody has called, and from the process's start to a first WIT.

All is on this machine. Clients are processes of their own; so is each server. How long a change of keys takes to reach
all streams is told where the server changes its keys, with `--rotate COMMAND` that makes it do so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from wimse.keys import PrivateKey
from wimse.workload_api import WorkloadAPIClient
from wimse.workload_api.proto import workload_pb2 as pb

CALLERS = 16
STREAMS_PER_CONNECTION = 60
CONNECTIONS_PER_PROCESS = 60


class Bare:
    """A unary call that answers with the same bytes each time."""

    def __init__(self, answer: pb.WITSVIDResponse) -> None:
        self.answer = answer

    def __mapping__(self) -> dict[str, Handler]:
        return {"/Bare/Call": Handler(self.call, Cardinality.UNARY_UNARY, pb.WITSVIDRequest, pb.WITSVIDResponse)}

    async def call(self, stream: Any) -> None:
        """Answer."""
        await stream.recv_message()
        await stream.send_message(self.answer)


def bare_server(path: str, size: int) -> None:
    """Serve until ended."""

    async def run() -> None:
        answer = pb.WITSVIDResponse(svids=[pb.WITSVID(wit_svid="x" * size)])
        server = Server([Bare(answer)])
        await server.start(path=path)
        await server.wait_closed()

    asyncio.run(run())


@contextlib.contextmanager
def identity_server(folder: str, *lines: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server process, and its address."""
    config = Path(folder) / "c.toml"
    config.write_text("\n".join([f'socket = "unix://{folder}/s"', *lines]))
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


async def _calls(path: str, seconds: float, *, bare: bool) -> int:
    done, end = 0, time.monotonic() + seconds

    async def caller() -> None:
        nonlocal done
        channel = Channel(path=path)
        call = UnaryUnaryMethod(channel, "/Bare/Call", pb.WITSVIDRequest, pb.WITSVIDResponse)
        while time.monotonic() < end:
            await call(pb.WITSVIDRequest())
            done += 1
        channel.close()

    async def wit_caller(client: WorkloadAPIClient) -> None:
        nonlocal done
        while time.monotonic() < end:
            async with contextlib.aclosing(client.watch_wit_svids()) as stream:  # type: ignore[type-var]
                await anext(stream)
            done += 1

    if bare:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    else:
        async with WorkloadAPIClient(f"unix://{path}") as client:
            await asyncio.gather(*(wit_caller(client) for _ in range(CALLERS)))
    return done


def throughput(path: str, pid: int, seconds: float, *, bare: bool) -> float:
    """Calls for each second of the server's processor time, which is what one core of its own gives."""
    before = cpu_seconds(pid)
    done = asyncio.run(_calls(path, seconds, bare=bare))
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


def compare(seconds: float) -> dict[str, float]:
    """WITs against bare calls."""
    wits, bares = [], []
    with tempfile.TemporaryDirectory() as folder, identity_server(folder) as (server, address):

        async def one() -> int:
            async with WorkloadAPIClient(address) as client:
                return len((await anext(client.watch_wit_svids())).SerializeToString())

        size = asyncio.run(one())
        bare = multiprocessing.get_context("spawn").Process(target=bare_server, args=(f"{folder}/b", size))
        bare.start()
        while not Path(f"{folder}/b").exists():
            time.sleep(0.05)
        for _ in range(3):
            wits.append(throughput(f"{folder}/s", server.pid, seconds, bare=False))
            bares.append(throughput(f"{folder}/b", bare.pid or 0, seconds, bare=True))
        bare.terminate()
        bare.join()
    found = {"wits_per_core_second": statistics.median(wits), "bare_per_core_second": statistics.median(bares)}
    ratio = statistics.median(wit / bare for wit, bare in zip(wits, bares, strict=True))
    return {**found, "ratio": ratio, "key_and_signature_us": floor_us()}


def hold(address: str, connections: int, streams: int, pipe: Any) -> None:
    """Keep streams open; tell when each has its first message, and when each has the next one."""

    async def run() -> None:
        waiting = connections * streams
        opened, changed = asyncio.Event(), asyncio.Event()
        counts = [0, 0]

        async def one(client: WorkloadAPIClient) -> None:
            number = 0
            async for _ in client.watch_wit_bundles():
                if number < 2:
                    counts[number] += 1
                    if counts[number] == waiting:
                        (opened, changed)[number].set()
                number += 1

        clients = [WorkloadAPIClient(address) for _ in range(connections)]
        tasks = [asyncio.create_task(one(client)) for client in clients for _ in range(streams)]
        await asyncio.wait_for(opened.wait(), 300)
        pipe.send("open")
        stopping = asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        waiting_for_change = asyncio.create_task(changed.wait())
        await asyncio.wait((stopping, waiting_for_change), return_when=asyncio.FIRST_COMPLETED)
        if changed.is_set():
            pipe.send("changed")
            await stopping
        waiting_for_change.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.close()

    asyncio.run(run())


def open_streams(number: int, rotate: str | None) -> dict[str, float]:
    """Memory with so many streams, and how long a change takes to reach all."""
    context = multiprocessing.get_context("spawn")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    connections = -(-number // STREAMS_PER_CONNECTION)
    limits = (f"max_connections = {connections + 16}", f"max_streams = {number + 64}")
    with tempfile.TemporaryDirectory() as folder, identity_server(folder, *_known(limits)) as (server, address):
        idle, holders, left = memory_mb(server.pid), [], connections
        began = time.monotonic()
        # A process may have 64 calls at one time, so that each connection's streams come from a process of its own.
        while left:
            mine, theirs = context.Pipe()
            many = 1
            holder = context.Process(target=hold, args=(address, many, STREAMS_PER_CONNECTION, theirs), daemon=True)
            holder.start()
            holders.append((holder, mine))
            left -= many
        for _, pipe in holders:
            pipe.recv()
        found = {"open_seconds": time.monotonic() - began, "memory_mb": memory_mb(server.pid), "before_mb": idle}
        if rotate is not None:
            began = time.monotonic()
            subprocess.run(shlex.split(rotate), check=True)
            for _, pipe in holders:
                pipe.recv()
            found["change_seconds"] = time.monotonic() - began
        for holder, pipe in holders:
            pipe.send("stop")
            holder.join(20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {**found, "streams": float(connections * STREAMS_PER_CONNECTION)}


def _known(lines: tuple[str, ...]) -> list[str]:
    from wimse.workload_api import ServerConfig  # noqa: PLC0415

    return [line for line in lines if line.split(" ")[0] in ServerConfig.__struct_fields__]


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
    parser.add_argument("--streams", type=int, default=1_800, help="open at one time; 0 to leave this out")
    parser.add_argument("--rotate", metavar="COMMAND", help="changes the server's keys while the streams are open")
    arguments = parser.parse_args()
    found: dict[str, Any] = {**start(), **compare(arguments.seconds)}
    if arguments.streams:
        found["open_streams"] = open_streams(arguments.streams, arguments.rotate)
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for name, value in found.items():
        print(f"{name}: {value if isinstance(value, dict) else round(value, 2)}")


if __name__ == "__main__":
    main()
