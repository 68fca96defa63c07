"""What authentication needs from outside, as values, and who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from inspect import isawaitable
from typing import Any, Final, NamedTuple

from wimse.authentication.replay import ClaimNonce, ReplayStore, check_since, failed
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, WorkloadSource
from wimse.errors import ConfigurationError, Reason, Unavailable, WimseError

__all__ = ["BundleLookup", "ClaimNonce", "NeedBundle", "ReplayStore"]

_AT_ONCE: Final = (bool, TrustBundle)  # what nearly every answer is; `isawaitable` takes longer to say so
BundleLookup = Callable[[TrustDomain], TrustBundle | Awaitable[TrustBundle | None] | None]


class NeedBundle(NamedTuple):
    """The trust bundle of this domain is needed. The answer is a `TrustBundle`, or None when it is not trusted."""

    trust_domain: TrustDomain


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
        return bundles.find if isinstance(bundles, TrustBundles) else bundles.get
    if callable(bundles):
        return bundles
    source = bundles

    def newest(trust_domain: TrustDomain) -> TrustBundle | None:
        return source.snapshot().bundles.find(trust_domain)

    return newest


def _answer(lookup: BundleLookup, replay: ReplayStore | None, need: NeedBundle | ClaimNonce) -> Any:
    # What fails without a reason of its own is unavailable, never a yes.
    try:
        if isinstance(need, NeedBundle):
            return lookup(need.trust_domain)
        if replay is None:
            return None
        reply = replay.claim(need.key, need.until, need.now)
        if reply is True:
            check_since(replay, need)
        return reply
    except Exception as error:  # noqa: BLE001 - an error with a reason comes out as it is
        return _failed(replay, need, error)


def answer_with(lookup: BundleLookup, replay: ReplayStore | None) -> Callable[[Any], Any]:
    """Answer the needs of a flow, at once.

    Raises when it is called:
        ConfigurationError: for a lookup or a store whose answer has to be awaited.
    """

    def answer(need: NeedBundle | ClaimNonce) -> Any:
        reply = _answer(lookup, replay, need)
        if type(reply) not in _AT_ONCE and isawaitable(reply):
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
            reply = await reply
            if reply is True and isinstance(need, ClaimNonce) and replay is not None:
                check_since(replay, need)
            return reply
        except Exception as error:  # noqa: BLE001 - an error with a reason comes out as it is
            return _failed(replay, need, error)

    return awaited


def _failed(replay: ReplayStore | None, need: NeedBundle | ClaimNonce, error: Exception) -> bool:
    """What a need that could not be answered comes to."""
    if isinstance(need, ClaimNonce):
        return failed(replay, error)
    if isinstance(error, WimseError):
        raise error
    raise Unavailable(Reason.TRUST_UNAVAILABLE, "the trust bundle cannot be had now") from error
