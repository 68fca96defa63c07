"""Drill D9: the disk of the issuer's database is full while keys rotate; nothing is half written, and it recovers.

    python -m tests.drills.d9_full_disk [--json]

The disk is full because the process may write no file beyond a size (RLIMIT_FSIZE), which the kernel enforces like a
quota; where a tmpfs can be mounted, a real full one as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.drills.d10_rotation_crash import check
from tests.stores.issuers import NOW, keeper, sqlite

WORKER: Final = """
import json, resource, signal, sys
from pathlib import Path
from tests.stores.issuers import entry, keeper, sqlite
from wimse.errors import Reason, Unavailable
from wimse.issuer import KeyUse
path, now, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = sqlite(path, now=now)
keys = keeper(store)
keys.start(now=now)
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
refused = 0
for number in range(400):
    try:
        keys.refresh(now=now + number)
        store.create_entry(entry(f"e{number}", f"/w{number}", "unix:uid:1", hint="x" * 500 + str(number)), now=now)
    except Unavailable as error:
        assert error.reason is Reason.STORE_UNAVAILABLE, error
        refused += 1
        if refused == 5:
            break
whole = store.load()
print(json.dumps({"refused": refused, "entries": len(whole.entries), "sequence": whole.keys.sequence}))
"""


def fill(path: Path, *, limit: int) -> dict[str, int]:
    """Write until the disk is full, and read what is there then."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(path), str(NOW), str(limit)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def drill(path: Path, *, limit: int, free: object = None) -> dict[str, int]:
    """Fill the disk, make room, go on. Raises when something is half written."""
    result = fill(path, limit=limit)
    if not result["refused"]:
        raise AssertionError("the disk was never full")
    if callable(free):
        free()
    check(path, now=NOW + 500)
    store = sqlite(path, now=NOW + 500)
    keys = keeper(store)
    keys.start(now=NOW + 500)
    keys.refresh(now=NOW + 600)
    state = store.load()
    store.close()
    if len(state.entries) != result["entries"] or state.keys.sequence < result["sequence"]:
        raise AssertionError("what was stored before the disk was full is not there")
    return result


def on_tmpfs(directory: Path, *, kibibytes: int = 1200) -> dict[str, int] | None:
    """The drill on a real full file system, or None where none can be mounted."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k,mode=700", "tmpfs", str(directory)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        return None
    ballast = directory / "ballast"
    try:
        ballast.write_bytes(b"x" * 600_000)  # what an operator deletes to make room
        return drill(directory / "issuer.db", limit=0, free=ballast.unlink)
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def main() -> None:
    """The drill, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        result = {"quota": drill(Path(one) / "issuer.db", limit=300_000), "tmpfs": on_tmpfs(Path(other))}
    sys.stdout.write((json.dumps(result) if arguments.json else str(result)) + "\n")


if __name__ == "__main__":
    main()
