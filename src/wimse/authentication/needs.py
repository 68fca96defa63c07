"""What authentication needs from outside, as values, and who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final, Protocol

from wimse.credentials import TrustBundle, TrustDomain, WorkloadSource
from wimse.errors import ConfigurationError, Reason, Unavailable, WimseError

__all__ = ["BundleLookup", "ClaimNonce", "NeedBundle", "ReplayStore"]

_AT_ONCE: Final = (bool, TrustBundle)  # what nearly every answer is; `isawaitable` takes longer to say so
BundleLookup = Callable[[TrustDomain], TrustBundle | Awaitable[TrustBundle | None] | None]


@dataclass(frozen=True, slots=True)
class NeedBundle:
    """The trust bundle of this domain is needed. The answer is a `TrustBundle`, or None when it is not trusted."""

    trust_domain: TrustDomain


@dataclass(frozen=True, slots=True)
class ClaimNonce:
    """This nonce is to be claimed. The answer is True for whoever claims it first, else False.

    Attributes:
        key: the SHA-256 of the nonce; the sender is not part of it (http-signature-07, nonces).
        until: seconds since 1970; from then on the message is refused for its age.
        now: seconds since 1970.
    """

    key: bytes
    until: int
    now: int


class ReplayStore(Protocol):
    """Remembers nonces. Claims must be atomic: of any number at once exactly one gets True."""

    def claim(self, key: bytes, until: int, now: int) -> bool | Awaitable[bool]:
        """Claim `key` until `until`; both times in seconds since 1970.

        Raises:
            Unavailable: `replay_store_unavailable` when it can neither be claimed nor be known.
        """


def require(needed: Mapping[str, object], what: str) -> None:
    """Refuse to start without what decides over trust, also when a caller without type checks passes None.

    Raises:
        ConfigurationError: naming what is missing.
    """
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise ConfigurationError(f"{what} needs {', '.join(missing)}")


def bundle_lookup(bundles: Mapping[TrustDomain, TrustBundle] | WorkloadSource | BundleLookup) -> BundleLookup:
    """The one way in which bundles are asked for, whatever they come from.

    Raises:
        ConfigurationError: for a mapping without a bundle.
    """
    if isinstance(bundles, Mapping):
        if not bundles:
            raise ConfigurationError("no trust bundle is configured")
        return bundles.get
    if callable(bundles):
        return bundles
    source = bundles

    def newest(trust_domain: TrustDomain) -> TrustBundle | None:
        return source.snapshot().bundles.get(trust_domain)

    return newest


def _answer(lookup: BundleLookup, replay: ReplayStore | None, need: NeedBundle | ClaimNonce) -> Any:
    # What fails without a reason of its own is unavailable, never a yes.
    try:
        if isinstance(need, NeedBundle):
            return lookup(need.trust_domain)
        return None if replay is None else replay.claim(need.key, need.until, need.now)
    except WimseError:
        raise
    except Exception as error:
        raise _unavailable(need) from error


def answer_with(lookup: BundleLookup, replay: ReplayStore | None) -> Callable[[Any], Any]:
    """Answer the needs of a flow, at once.

    Raises when it is called:
        ConfigurationError: for a lookup or a store whose answer has to be awaited.
    """

    def answer(need: NeedBundle | ClaimNonce) -> Any:
        reply = _answer(lookup, replay, need)
        if not isinstance(reply, _AT_ONCE) and isawaitable(reply):
            if isinstance(reply, Coroutine):
                reply.close()
            raise ConfigurationError("bundles and replay store are asynchronous: use the asynchronous method")
        return reply

    return answer


def answer_with_async(lookup: BundleLookup, replay: ReplayStore | None) -> Callable[[Any], Awaitable[Any]]:
    """The same for lookups and stores that may have to be awaited."""

    async def awaited(need: NeedBundle | ClaimNonce) -> Any:
        reply = _answer(lookup, replay, need)
        if not isawaitable(reply):
            return reply
        try:
            return await reply
        except WimseError:
            raise
        except Exception as error:
            raise _unavailable(need) from error

    return awaited


def _unavailable(need: NeedBundle | ClaimNonce) -> Unavailable:
    """The error for a need that could not be answered."""
    if isinstance(need, NeedBundle):
        return Unavailable(Reason.TRUST_UNAVAILABLE, "the trust bundle cannot be had now")
    return Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, "the replay store cannot be reached now")
