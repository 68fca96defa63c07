"""One target under atheris: `python fuzz/harness.py TARGET [arguments of libFuzzer]`. `fuzz/run.py` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

# What is to be explored is instrumented while it is imported: our parsers, and the one they stand on.
with atheris.instrument_imports(include=["wimse", "http_sf"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Run one target until libFuzzer's arguments say stop, or until it fails."""
    program, name, *arguments = sys.argv
    atheris.Setup([program, *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
