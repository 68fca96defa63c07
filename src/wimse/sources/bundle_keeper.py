"""The trust bundles of all trust domains, kept new in the background, and looked up without waiting.

    with TrustBundleKeeper(ours, BundleFile(partner, "partner.json"), WebBundleEndpoint(other, url)) as keeper:
        Authenticator(bundles=keeper, ...)

`async with` does the same. Either way one thread with an event loop of its own does the asking, so that an application
that keeps its loop busy does not keep its bundles old. What is held, for how long, and what is ignored: see
`bundle_holding`. A thread does not survive `os.fork`: open the keeper in the process that looks up. One that was
forgotten grows too old, and then refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, WorkloadSource
from wimse.errors import ConfigurationError, Unavailable, WimseError
from wimse.sources.bundle_holding import BundleHolding
from wimse.sources.bundle_settings import BundleChange, BundleEvent, BundleObserver, BundleSettings
from wimse.sources.bundle_source import BundleSource

__all__ = ["TrustBundleKeeper"]

_LOG: Final = logging.getLogger("wimse.sources.bundles")
_LEVELS: Final = {BundleChange.UPDATED: logging.INFO, BundleChange.REMOVED: logging.WARNING}
_GRACE_SECONDS: Final = 5.0  # for a fetch that is under way when the keeper closes


class TrustBundleKeeper:
    """Looks up the trust bundle of a trust domain; give it to an `Authenticator` as its `bundles`."""

    def __init__(
        self,
        *sources: TrustBundle | BundleSource,
        workload: WorkloadSource | None = None,
        settings: BundleSettings | None = None,
        on_event: BundleObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the sources together. Nothing is asked before the keeper is entered.

        Args:
            sources: bundles that stay as they are, files and endpoints, each of one trust domain; and a bundle map at
                most, which is asked for the domains that none of the others is for.
            workload: asked last, such as a source of the Workload API.
            settings: times and limits.
            on_event: is told what becomes of the bundles.
            clock: seconds, never going back.

        Raises:
            ConfigurationError: without a source, with two for one trust domain, or with two bundle maps.
        """
        self._settings = settings or BundleSettings()
        self._clock = clock
        self._observer = on_event
        self._workload = workload
        self._fixed = {each.trust_domain: each for each in sources if isinstance(each, TrustBundle)}
        max_age = self._settings.max_age.total_seconds()
        asked = [each for each in sources if not isinstance(each, TrustBundle)]
        self._asked = [(each, BundleHolding(max_age)) for each in asked]
        self._by_domain = {each.trust_domain: holding for each, holding in self._asked if each.trust_domain}
        maps = [holding for each, holding in self._asked if each.trust_domain is None]
        if not sources and workload is None:
            raise ConfigurationError("a keeper of trust bundles needs a source")
        if len(self._fixed) + len(self._by_domain) + len(maps) != len(sources) or len(maps) > 1:
            raise ConfigurationError("there are two sources for one trust domain, or two bundle maps")
        if not self._fixed.keys().isdisjoint(self._by_domain):
            raise ConfigurationError("there are two sources for one trust domain")
        self._map = maps[0] if maps else None
        self._too_old: set[TrustDomain] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()

    # ------------------------------------------------------------------------------------------- looking up

    def __call__(self, trust_domain: TrustDomain) -> TrustBundle | None:
        """The bundle of a trust domain, or None when it is not trusted. The same object while nothing has changed.

        Raises:
            Unavailable: `trust_unavailable` when there is none yet, or none that is young enough; what `workload`
                raises, if it is asked.
        """
        fixed = self._fixed.get(trust_domain)
        if fixed is not None:
            return fixed
        holding = self._by_domain.get(trust_domain)
        if holding is not None:
            return holding.find(trust_domain, self._clock())
        if self._map is not None:
            found = self._map.find(trust_domain, self._clock())
            if found is not None:
                return found
        return None if self._workload is None else self._workload.snapshot().bundles.get(trust_domain)

    def bundles(self) -> TrustBundles:
        """All bundles that can be used now, those of `workload` left out: for what needs them at once, such as TLS."""
        found: dict[TrustDomain, TrustBundle] = dict(self._fixed)
        now = self._clock()
        for _, holding in self._asked:
            for domain, bundle in holding.fresh(now).items():
                if domain not in self._by_domain or self._by_domain[domain] is holding:
                    found.setdefault(domain, bundle)
        return TrustBundles(*found.values())

    @property
    def ready(self) -> bool:
        """Whether every source has given its bundles, and none is too old: for a health check."""
        now = self._clock()
        return all(holding.loaded and not holding.too_old(now) for _, holding in self._asked)

    # ------------------------------------------------------------------------------------------- keeping new

    def __enter__(self) -> Self:
        """Start, and wait for the first bundles, though not longer than `first_wait`.

        It goes on without those that did not come: lookups are refused as unavailable until they do.
        """
        if self._thread is not None:
            raise ConfigurationError("a keeper of trust bundles is opened once")
        self._thread = threading.Thread(target=self._run, name="wimse-bundles", daemon=True)
        self._thread.start()
        self._tried.wait(self._settings.first_wait.total_seconds())
        if not self.ready:
            _LOG.error("started without all trust bundles: what needs them is refused")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """As ``with``, without blocking the event loop."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop asking. What is held can be looked up until it is too old."""
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._stop.set)
            thread.join(_GRACE_SECONDS)

    def refresh(self) -> None:
        """Ask every source now, and wait for the answers: for an operator who knows that something has changed.

        Raises:
            ConfigurationError: when the keeper is not open.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            raise ConfigurationError("the keeper of trust bundles is not open")
        asyncio.run_coroutine_threadsafe(self._poll_all(), loop).result()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._keep_all())

    async def _keep_all(self) -> None:
        self._stop = asyncio.Event()
        self._polling = {source: asyncio.Lock() for source, _ in self._asked}
        self._loop = asyncio.get_running_loop()
        work = asyncio.create_task(self._work())
        await self._stop.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        await self._poll_all()
        self._tried.set()
        await asyncio.gather(*(self._keep(source, holding) for source, holding in self._asked))

    async def _poll_all(self) -> None:
        waiting = list(self._asked)
        while waiting:  # each once, and before it the one whose bundle it needs to authenticate its publisher
            coming = {source.trust_domain for source, _ in waiting}
            # A bundle map that is still to come (None) may hold any domain.
            now = [pair for pair in waiting if pair[0].needs is None or not coming & {pair[0].needs, None}] or waiting
            await asyncio.gather(*(self._poll(*pair) for pair in now))
            waiting = [pair for pair in waiting if pair not in now]

    async def _keep(self, source: BundleSource, holding: BundleHolding) -> None:
        while True:
            await asyncio.sleep(self._pause(source, holding))
            await self._poll(source, holding)

    def _pause(self, source: BundleSource, holding: BundleHolding) -> float:
        # Federation §6.2: after a failure at the next interval, unless there is nothing at all.
        if not holding.loaded:
            return self._settings.first_retry.total_seconds()
        try:
            return source.interval(self._settings)
        except Exception as error:  # noqa: BLE001 - a source of somebody else's; it is asked all the same
            self._note_failure(source, holding, f"a fault ({type(error).__name__})")
            return self._settings.default_refresh.total_seconds()

    async def _poll(self, source: BundleSource, holding: BundleHolding) -> None:
        async with self._polling[source]:  # an answer never overtakes a later one
            await self._poll_once(source, holding)

    async def _poll_once(self, source: BundleSource, holding: BundleHolding) -> None:
        try:
            bundles = await source.fetch(self._newest)
            if bundles is None:
                holding.unchanged(self._clock())
            else:
                for change, domain in holding.take(bundles, self._clock()):
                    self._tell(change, source, domain, _DETAILS[change], holding)
        except WimseError as error:
            self._note_failure(source, holding, error.detail)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next poll has to come
            self._note_failure(source, holding, f"a fault ({type(error).__name__})")
        self._note_ages(source, holding)

    def _note_failure(self, source: BundleSource, holding: BundleHolding, detail: str) -> None:
        holding.failed(detail)
        self._tell(BundleChange.FAILED, source, source.trust_domain, detail, holding)

    def _note_ages(self, source: BundleSource, holding: BundleHolding) -> None:
        old = set(holding.too_old(self._clock()))
        for domain in old - self._too_old:
            self._tell(
                BundleChange.TOO_OLD, source, domain, "no newer one could be had: it is not used any more", holding
            )
        mine = {domain for domain in self._too_old if holding.newest(domain) is not None}
        self._too_old = (self._too_old - mine) | old

    def _newest(self, trust_domain: TrustDomain) -> TrustBundle | None:
        fixed = self._fixed.get(trust_domain)
        if fixed is not None:
            return fixed
        holding = self._by_domain.get(trust_domain, self._map)
        found = None if holding is None else holding.newest(trust_domain)
        if found is None and self._workload is not None and trust_domain not in self._by_domain:
            with contextlib.suppress(Unavailable):
                found = self._workload.snapshot().bundles.get(trust_domain)
        return found

    def _tell(
        self,
        change: BundleChange,
        source: BundleSource,
        domain: TrustDomain | None,
        detail: str,
        holding: BundleHolding,
    ) -> None:
        held = None if domain is None else holding.newest(domain)
        event = BundleEvent(change, source.name, domain, detail, None if held is None else held.sequence)
        extra = {"change": change.value, "trust_domain": str(domain or ""), "source": source.name}
        _LOG.log(
            _LEVELS.get(change, logging.ERROR),
            "trust bundle of %s: %s: %s",
            domain or "a map",
            change,
            detail,
            extra=extra,
        )
        if self._observer is not None:
            try:
                self._observer(event)
            except Exception:  # noqa: BLE001 - it is not ours, and the bundles go on
                _LOG.exception("the observer of trust bundles failed")


_DETAILS: Final = {
    BundleChange.UPDATED: "a new one is used",
    BundleChange.REMOVED: "there is none any more: the trust domain is not trusted",
    BundleChange.IGNORED: "its sequence is lower than that of the one that is held, which stays",
}
