"""Run the tests on each mutant of a list, and say which ones no test noticed.

    .venv/bin/python tools/mutation.py .mutation/mutants.json [--sample 0.5] [--modules base,selection] [--thorough]

Nothing in the tree is changed: each mutant runs in a child of this process, in which the one module is loaded from the
mutant's text, while everything that is not under test is loaded before, once. So a mutant costs what its tests cost,
and they stop at the first that fails. The tests of its module come first, then, with `--thorough`, all of
`tests/httpsig` for those that survived. A run above the time limit counts as noticed: the mutant does not end.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SECONDS_EACH = 60
MAX_MEMORY_BYTES = 4 << 30
SEED = 9421
LOADED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # what follows from loading things before
VECTORS = "vectors_of_signatures"
VERIFYING = ("verifying", "trailers", "several_signatures", "flow", "resolvers", "signing", VECTORS)
TESTS = {
    "base": ("base", "verifying", "component_parameters", "trailers", "signing", VECTORS),
    "coverage": ("base", "components", "verifying", "requirements", "scanner", "component_parameters", VECTORS),
    "verifying": (*VERIFYING, "requirements", "forms", "properties"),
    "selection": ("selection", "several_signatures", "foreign_labels", "verifying"),
    "forms": ("forms", "verifying", "requirements"),
    "scanner": ("scanner", "parameters", "verifying", "forms", "several_signatures", "costs"),
    "requirements": ("requirements", "verifying", "trailers", VECTORS),
    "digest": ("digest", "digest_verifier", "digest_streams", "verifying"),
    "digest_fields": ("digest", "digest_verifier", "digest_preferences"),
}


class Mutant(MetaPathFinder, InspectLoader):
    """Loads one module from a text that is not in its file."""

    def __init__(self, name: str, source: str) -> None:
        """Take the module's name and the text."""
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find the one module."""
        del path, target
        return spec_from_loader(fullname, self, is_package=False) if fullname == self.name else None

    def get_source(self, fullname: str) -> str:
        """The text."""
        del fullname
        return self.source


def run_tests(mutant: dict[str, Any] | None, tests: list[str], log: Path) -> int | None:
    """The exit status of the tests in a child; None when they did not end in time."""
    child = os.fork()
    if child == 0:
        in_child(mutant, tests, log)
    deadline = time.monotonic() + SECONDS_EACH
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def in_child(mutant: dict[str, Any] | None, tests: list[str], log: Path) -> None:
    """Load the mutant, run the tests, leave."""
    import pytest  # noqa: PLC0415 - it is loaded already

    status = 70  # of a child that fails otherwise
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        with log.open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        if mutant is not None:
            sys.meta_path.insert(0, Mutant(f"wimse.httpsig.{mutant['module']}", mutant["source"]))
        status = int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *LOADED, *tests]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def difference(mutant: dict[str, Any]) -> str:
    """What the mutant changes."""
    original = (ROOT / "src/wimse/httpsig" / f"{mutant['module']}.py").read_text().splitlines()
    lines = difflib.unified_diff(original, mutant["source"].splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def chosen_from(path: Path, modules: list[str], share: float) -> list[dict[str, Any]]:
    """The mutants that are tried: of each module the same share, drawn with a fixed seed."""
    listed = json.loads(path.read_text())
    draw = random.Random(SEED)
    found = []
    for module in modules:
        of_module = [each for each in listed if each["module"] == module]
        found += sorted(draw.sample(of_module, round(len(of_module) * share)), key=lambda each: each["line"])
    return found


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mutants", type=Path)
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE", help="of each module's; default all")
    parser.add_argument("--modules", default=",".join(TESTS), help="of these; default all")
    parser.add_argument("--thorough", action="store_true", help="run all tests of tests/httpsig on those that survive")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".mutation" / "hypothesis")
    sys.dont_write_bytecode = True
    # What is not under test, loaded once.
    import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401, PLC0415
    import http_sf  # noqa: F401, PLC0415
    import hypothesis.strategies  # noqa: F401, PLC0415
    import pytest  # noqa: F401, PLC0415

    log = ROOT / ".mutation" / f"tests-{os.getpid()}.log"
    tally: dict[str, Counter[str]] = {}
    survivors: list[dict[str, Any]] = []
    modules = chosen.modules.split(",")
    for module in modules:
        tests = [f"tests/httpsig/test_{each}.py" for each in TESTS[module]]
        if run_tests(None, tests, log) != 0:
            print(f"The tests of {module} fail without any mutant; see {log}.", file=sys.stderr)
            return 2
    for mutant in chosen_from(chosen.mutants, modules, chosen.sample):
        module, place = mutant["module"], f"{mutant['module']}:{mutant['line']} {mutant['operator']}"
        status = run_tests(mutant, [f"tests/httpsig/test_{each}.py" for each in TESTS[module]], log)
        if status == 0 and chosen.thorough:
            status = run_tests(mutant, ["tests/httpsig"], log)
        outcome = "survived" if status == 0 else "noticed" if status is not None else "did not end"
        tally.setdefault(module, Counter())[outcome] += 1
        print(f"{place}: {outcome}", file=sys.stderr, flush=True)
        if status == 0:
            changed = difference(mutant)
            survivors.append({"place": place, "difference": changed})
            print(f"{place}\n{changed}\n", flush=True)
    print(f"{'module':16}{'mutants':>9}{'noticed':>9}{'endless':>9}{'survived':>9}{'score':>8}")
    total: Counter[str] = Counter()
    for name, counts in (*tally.items(), ("total", total)):
        total += counts if name != "total" else Counter()
        score = 100 * (counts.total() - counts["survived"]) / max(counts.total(), 1)
        figures = (counts.total(), counts["noticed"], counts["did not end"], counts["survived"])
        print(f"{name:16}" + "".join(f"{each:9}" for each in figures) + f"{score:7.1f}%")
    report = {"tally": {name: dict(counts) for name, counts in tally.items()}, "survivors": survivors}
    (ROOT / ".mutation" / "report.json").write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
