"""Real servers, one for each module that asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.stores.opening import Opening
from tests.valkey import Valkey, valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """One that lives as long as the module's tests; each test takes a prefix of its own."""
    with valkey() as started:
        yield started


@pytest.fixture(scope="module")
def cluster() -> Iterator[Valkey]:
    """The same as a cluster of one node, which owns all slots."""
    with valkey(cluster=True) as started:
        yield started


@pytest.fixture(params=["sync", "async"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opening]:
    with contextlib.ExitStack() as stack:
        yield Opening(stack, asynchronous=request.param == "async")
