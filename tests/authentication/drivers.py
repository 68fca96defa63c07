"""Both drivers, for every test that asks for one."""

from __future__ import annotations

import pytest

from tests.authentication.forge import (
    Authenticate,
    VerifyResponse,
    authenticate_awaited,
    authenticate_now,
    verify_awaited,
    verify_now,
)


@pytest.fixture(params=[authenticate_now, authenticate_awaited], ids=["sync", "async"])
def authenticate(request: pytest.FixtureRequest) -> Authenticate:
    """Authenticate, synchronously and asynchronously."""
    chosen: Authenticate = request.param
    return chosen


@pytest.fixture(params=[verify_now, verify_awaited], ids=["sync", "async"])
def verify(request: pytest.FixtureRequest) -> VerifyResponse:
    """Verify a response, synchronously and asynchronously."""
    chosen: VerifyResponse = request.param
    return chosen
