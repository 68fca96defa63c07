"""Fixtures of this room's tests."""

from __future__ import annotations

from tests.authentication.drivers import authenticate, verify

__all__ = ["authenticate", "verify"]
