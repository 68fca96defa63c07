"""Changes of signing keys that an operator asks for, without opening any key: the store alone is needed.

Running servers hear of it when they next look at the store, and take the steps that follow from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wimse.errors import Reason, Unavailable
from wimse.issuer.keyset import KeySet
from wimse.issuer.rotation import check_clock
from wimse.issuer.store import IssuerStore

__all__ = ["SETBACK_SECONDS", "change_keys"]

_MAX_ATTEMPTS: Final = 20
SETBACK_SECONDS: Final = 60  # as `IssuerSettings.clock_setback` by default: what an operator does has no settings


def change_keys(store: IssuerStore, change: Callable[[KeySet], KeySet], *, now: int) -> KeySet:
    """Change the signing keys of a store, however many servers do so at the same time.

    Args:
        store: whose.
        change: gives the keys as they are to be; called again when others have changed them meanwhile.
        now: seconds since 1970.

    Returns:
        The keys after the change.

    Raises:
        Refused: from `change`.
        Unavailable: `issuer_unavailable` when the clock is behind the store's; `store_unavailable`; `store_conflict`
            when others change the keys all the time.
    """
    for _ in range(_MAX_ATTEMPTS):
        state = store.load()
        check_clock(state.clock_at, now=now, clock_setback=SETBACK_SECONDS)
        after = change(state.keys)
        try:
            store.replace_keys(state.keys, after, now=now)
        except Unavailable as unavailable:
            if unavailable.reason is not Reason.STORE_CONFLICT:
                raise
        else:
            return after
    raise Unavailable(Reason.STORE_CONFLICT, "other servers change the signing keys all the time")
