#!/usr/bin/env python3
"""Fuzz targets one after the other, and say how many executions each had and what it found.

    fuzz/run.py [TARGET…] [--seconds 60] [--jobs 1]

Without a name all of them. Needs atheris (`make fuzz` brings it). What is found lies in `.fuzz/TARGET/`: an input that
fails as `crash-…`, `timeout-…` or `oom-…`, and in `corpus/` those that reached something new. The exit status is 1 when
a target failed. An input that failed and was mended goes into `fuzz/corpus/TARGET/`, where every test run reads it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from fuzz.targets import TARGETS  # noqa: E402 - found by the path above

FOUND = ROOT / ".fuzz"
MAX_INPUT_BYTES = 20_000  # above every limit of a field or a token, so that the limits are reached as well
# Parsing is linear: the largest input takes milliseconds, also under instrumentation. One that takes so long is a find.
SECONDS_PER_INPUT = 2
MAX_MEMORY_MEGABYTES = 1_024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one target's run came to."""

    name: str
    executions: int
    covered: int
    artifacts: tuple[str, ...]
    status: int
    output: str


def run(name: str, seconds: int) -> Outcome:
    """Run one target in a process of its own, for so many seconds."""
    found = FOUND / name
    corpus = found / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = [
        sys.executable,
        str(ROOT / "fuzz" / "harness.py"),
        name,
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-rss_limit_mb={MAX_MEMORY_MEGABYTES}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        str(corpus),  # libFuzzer writes into the first one only
        str(ROOT / "fuzz" / "corpus" / name),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = done.stdout + done.stderr
    counts = re.findall(r"^#(\d+)\s.*?\bcov: (\d+)", output, re.MULTILINE)
    total = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    return Outcome(
        name=name,
        executions=int(total[1]) if total else max((int(count) for count, _ in counts), default=0),
        covered=max((int(covered) for _, covered in counts), default=0),
        artifacts=tuple(sorted(each.name for each in set(found.iterdir()) - before)),
        status=done.returncode,
        output=output,
    )


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers of wimse.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default 60")
    parser.add_argument("--jobs", type=int, default=1, help="targets at one time; default 1")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.targets) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}")
    failed = False
    print(f"{'target':22}{'executions':>12}{'per second':>12}{'covered':>9}  found", flush=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for outcome in pool.map(lambda name: run(name, chosen.seconds), chosen.targets or TARGETS):
            per_second = outcome.executions // max(chosen.seconds, 1)
            found = ", ".join(outcome.artifacts) or ("nothing" if outcome.status == 0 else f"status {outcome.status}")
            print(f"{outcome.name:22}{outcome.executions:12,}{per_second:12,}{outcome.covered:9,}  {found}", flush=True)
            if outcome.status != 0 or outcome.artifacts:
                failed = True
                print(outcome.output[-6_000:], file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
