"""What is drawn at random is drawn of the operating system: no two processes draw the same, however they began."""

from __future__ import annotations

import ast
import itertools
import multiprocessing
import random
from collections import Counter
from pathlib import Path

import pytest

import wimse
from tests.clients.drawing import WORKERS, in_processes, nonces, of_messages
from tests.servers.support import CLIENT
from wimse.keys import PrivateKey

TIMES = 25
# Python 3.12 warns of every fork of a process that has threads, as this one does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_that_began_alike_draw_nothing_alike(method: str) -> None:
    """CR-24, HS-22, HS-41, RP-14: nonces, proofs' jti, what ECDSA draws, keys; forked ones and their parent too."""
    credential = CLIENT.fixed.credential
    assert isinstance(credential.key, PrivateKey)
    wit, key = credential.wit, credential.key.to_jwk()
    random.seed(0)
    before = of_messages(wit, key, TIMES)  # every generator is in use, so that a child takes over its state
    found = in_processes(method, of_messages, wit, key, TIMES)
    found += [before, of_messages(wit, key, TIMES)]
    expected = {"nonce": TIMES, "jti": TIMES, "half of a signature": 2 * TIMES, "key": 2, "secret": 1}
    for name, each in expected.items():
        drawn = Counter(itertools.chain.from_iterable(one[name] for one in found))
        assert drawn.total() == (WORKERS + 2) * each
        assert drawn.most_common(1)[0][1] == 1, f"two have the same {name}"


def test_a_million_nonces_of_forked_processes_are_different() -> None:
    """CR-24, HS-22, HS-41."""
    drawn = b"".join(in_processes("fork", nonces, 1_000_000 // WORKERS))
    assert len({drawn[start : start + 16] for start in range(0, len(drawn), 16)}) == 1_000_000


def test_nothing_is_drawn_from_a_generator_with_a_seed() -> None:
    """CR-24: of the module `random` only what asks the operating system, and no identifier made of clock and host."""
    permitted, found = {"random.SystemRandom"}, set()
    for path in Path(wimse.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if node.value.id == "random" or name in {"uuid.uuid1", "uuid.uuid3", "uuid.uuid5"}:
                    found.add(name)
            if isinstance(node, ast.ImportFrom) and node.module in {"random", "uuid"}:
                found |= {f"{node.module}.{each.name}" for each in node.names} - {"uuid.uuid4"}
    assert found <= permitted
