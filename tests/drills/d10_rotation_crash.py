"""Drill D10: a process that rotates signing keys is killed again and again; what is stored stays a state of the plan.

    python -m tests.drills.d10_rotation_crash [--kills 200] [--json]

Half of the kills come at a chosen point of a change (before its first statement, between two statements, before and
after the commit), the other half at a random moment.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.stores.issuers import NOW, keeper, sqlite
from wimse.issuer import KeyUse

# The hooks are in this program, around the library's own calls: the product has none.
WORKER: Final = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from tests.stores.issuers import keeper, sqlite
from wimse.issuer import KeyUse
path, now, point = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = sqlite(path, now=now)
keys = keeper(store)
reached = 0
def here(*_):
    global reached
    reached += 1
    if reached == point:
        os.kill(os.getpid(), signal.SIGKILL)
def around(connection):
    here()
def statement(connection, cursor, text, *rest):
    if text.startswith(("DELETE", "INSERT", "UPDATE")):
        here()
event.listen(store._engine, "after_cursor_execute", statement)
event.listen(store._engine, "before_cursor_execute", statement)
event.listen(store._engine, "commit", around)
event.listen(store._engine, "rollback", around)
print("ready", flush=True)
keys.start(now=now)
for second in range(400):
    if second % 7 == 3:
        keys.rotate(KeyUse.WIT, now=now + second)
    keys.refresh(now=now + second)
"""


def crash(path: Path, *, now: int, point: int = 0, after: float = 0.0) -> bool:
    """Run a worker until it kills itself at `point`, or is killed `after` seconds; whether it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(now), str(point)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    process.stdout.readline()
    if not point:
        time.sleep(after)
        process.kill()
    status = process.wait(60)
    process.stdout.close()
    return status == -signal.SIGKILL


def check(path: Path, *, now: int) -> int:
    """Open what was left; the sequence of what it publishes. Raises when it is not whole."""
    store = sqlite(path, now=now)
    try:
        keys = keeper(store)
        opened = keys.start(now=now)  # every key opens, and is the one that its kid names
        for use in KeyUse:
            record = keys.key_set.active(use)
            if record is None:
                raise AssertionError(f"no {use} key is active")
            if record not in keys.key_set.published(use):
                raise AssertionError(f"the active {use} key is not published")
            if opened.active[use].key.kid != record.kid:
                raise AssertionError("another key signs")
        return keys.key_set.sequence
    finally:
        store.close()


def drill(directory: Path, *, kills: int, seed: int = 1) -> dict[str, int]:
    """Kill `kills` times; what happened. Raises at the first state that is not whole."""
    chance, now, last = random.Random(seed), NOW, 0
    path, killed, points = directory / "issuer.db", 0, 0
    attempts = 0
    while killed < kills:
        attempts += 1
        if attempts > 2 * kills + 10:
            raise AssertionError("the workers are not killed")
        if attempts % 2:
            points += 1
            done = crash(path, now=now, point=1 + points % 40)
        else:
            done = crash(path, now=now, after=chance.uniform(0, 0.4))
        killed += done
        now += 500  # a worker's whole time
        sequence = check(path, now=now)
        if sequence < last:
            raise AssertionError("the sequence of the bundle has gone back")
        last = sequence
    return {"kills": killed, "points": points, "broken": 0}


def main() -> None:
    """The drill, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        result = {**drill(Path(directory), kills=arguments.kills), "seconds": round(time.monotonic() - began)}
    sys.stdout.write((json.dumps(result) if arguments.json else str(result)) + "\n")


if __name__ == "__main__":
    main()
