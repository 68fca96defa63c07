"""Against replay: what is claimed, since when a store remembers, and what happens when it cannot say.

A store is asked after everything else has verified, and says yes or no. It cannot say that a message is new if the
message was signed before the store began to remember, since it may have been accepted by whoever stood here before:
that is neither yes nor no (`Unavailable`), and its sender signs anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import count
from typing import NamedTuple, Protocol

from wimse.credentials import VerifiedWIT
from wimse.errors import ConfigurationError, Reason, Unavailable, WimseError

__all__ = ["ClaimNonce", "LaxReplayStore", "ReplayKey", "ReplayStore", "nonce_alone", "nonce_of_key"]

ReplayKey = Callable[[str, VerifiedWIT], bytes]
"""What is claimed for a nonce and its sender: 32 bytes."""


class ClaimNonce(NamedTuple):
    """This nonce is to be claimed. The answer is True for whoever claims it first, else False.

    Attributes:
        key: what is claimed: a hash, of the nonce alone unless configured otherwise.
        until: seconds since 1970; from then on the message is refused for its age.
        now: seconds since 1970.
        created: when the message says that it was signed, or else the earliest time at which it may have been accepted,
            in seconds since 1970; None where nobody knows.
    """

    key: bytes
    until: int
    now: int
    created: int | None = None


class ReplayStore(Protocol):
    """Remembers nonces. Claims must be atomic: of any number at once exactly one gets True.

    A store that can forget, at a restart or by an accident, has an attribute `since` as well, in seconds since 1970:
    messages that were signed before then are not accepted. It is read after each claim.
    """

    def claim(self, key: bytes, until: int, now: int) -> bool | Awaitable[bool]:
        """Claim `key` until `until`; both times in seconds since 1970.

        Raises:
            Unavailable: `replay_store_unavailable` when it can neither be claimed nor be known.
        """


def nonce_alone(nonce: str, wit: VerifiedWIT) -> bytes:  # noqa: ARG001 - one key needs it
    """A nonce is refused whoever sent it before (http-signature-07); the default."""
    return sha256(nonce.encode()).digest()


def nonce_of_key(nonce: str, wit: VerifiedWIT) -> bytes:
    """A nonce is refused when the same key sent it before; so nobody can spend another one's (docs/decisions/0003)."""
    return sha256(f"{wit.key.thumbprint()}.{nonce}".encode()).digest()


class LaxReplayStore:
    """A store whose failures let messages in, and are counted: for those who prefer replays to standing still.

    What it wraps is asked as ever, and a replay that it knows is refused. Where it cannot say, the message is accepted
    without being new for sure.
    """

    def __init__(self, store: ReplayStore, *, opened: Callable[[Unavailable], object] | None = None) -> None:
        """Wrap `store`.

        Args:
            store: any other store.
            opened: told each time that a message is let in unchecked, with the reason; what it raises keeps it out.

        Raises:
            ConfigurationError: without a store.
        """
        if store is None:
            raise ConfigurationError("a LaxReplayStore needs a store")
        self.store = store
        self._opened = opened
        self._numbers = count(1)  # its next() is one step, also among threads
        self.unchecked = 0

    def claim(self, key: bytes, until: int, now: int) -> bool | Awaitable[bool]:
        """Ask the store; its failures are for `open_for`."""
        return self.store.claim(key, until, now)

    @property
    def since(self) -> int:
        """As the store has it."""
        return int(getattr(self.store, "since", 0))

    def open_for(self, error: Unavailable) -> bool:
        """Count, tell, and let in."""
        self.unchecked = next(self._numbers)
        if self._opened is not None:
            self._opened(error)
        return True


def check_since(replay: ReplayStore, need: ClaimNonce) -> None:
    """Refuse what was signed before the store began to remember.

    Raises:
        Unavailable: `replay_store_unavailable`.
    """
    since = getattr(replay, "since", None)
    if since is not None and need.created is not None and need.created < since:
        raise Unavailable(
            Reason.REPLAY_STORE_UNAVAILABLE, "the message was signed before the replay store began to remember"
        )


def failed(replay: ReplayStore | None, error: Exception) -> bool:
    """What a claim that failed comes to: for a lax store True, else the error.

    Raises:
        WimseError: `error` itself, or `replay_store_unavailable` for one without a reason of its own.
    """
    if isinstance(error, WimseError) and not isinstance(error, Unavailable):
        raise error
    if not isinstance(error, Unavailable):
        cause, error = error, Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, "the replay store cannot be reached now")
        error.__cause__ = cause
    if isinstance(replay, LaxReplayStore):
        return replay.open_for(error)
    raise error
