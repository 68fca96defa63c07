"""One way to assert a refusal: by its exact reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wimse.errors import Reason, Refused

__all__ = ["reason_of", "refused"]


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    """Expect a `Refused` with this reason and no other."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.reason is reason, caught.value


def reason_of(code: str) -> Reason:
    """The reason with this code, as vectors write it."""
    return next(reason for reason in Reason if reason.code == code)
