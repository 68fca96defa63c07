"""Key resolvers whose keys are a JWK Set at an HTTPS URL, for asynchronous and for synchronous programs.

    keys = RemoteJWKS("https://issuer.example/jwks.json")
    verified = verify_message(request, requirements, keys, now=int(time.time()))

The URL is configuration, never a message's: a key that a message points at proves nothing. No redirect is followed,
for it would lead where nobody configured, a private address included. Proxies and credentials of the environment are
not used. One fetch is made at a time, and all who need its outcome wait for it; how long a set is kept and when it is
asked for again are the rules of `jwks_cache`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from wimse.errors import WimseError
from wimse.httpsig import NeedKey
from wimse.keys import PublicKey
from wimse.sources.https_get import check_url, get_document, http_library, unavailable
from wimse.sources.jwks_cache import JWKSCache, JWKSSettings, Published

__all__ = ["AsyncRemoteJWKS", "RemoteJWKS"]

# A fetch ends by itself within its timeout, except for what cannot be interrupted, such as the look-up of a name.
_GRACE_SECONDS: Final = 1.0
_DEFAULT_SETTINGS: Final = JWKSSettings()
_ACCEPT: Final = "application/jwk-set+json, application/json"


class _Remote:
    """What both have in common: where the set is, what is known of it, and how it is fetched."""

    def __init__(
        self,
        url: str,
        *,
        settings: JWKSSettings = _DEFAULT_SETTINGS,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is fetched before the first key is needed.

        Args:
            url: of the JWK Set; ``https``.
            settings: times and sizes.
            ssl_context: whom to trust; by default whom the system does.
            clock: seconds, never going back.

        Raises:
            ConfigurationError: for another URL, or without httpx2.
        """
        check_url(url, "the JWK Set", allow_loopback_http=settings.allow_loopback_http)
        self._library = http_library()
        self._url = url
        self._settings = settings
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._clock = clock
        self._cache = JWKSCache(settings)
        self._lock = threading.Lock()

    async def _download(self) -> Published:
        return await get_document(
            self._library,
            self._url,
            accept=_ACCEPT,
            max_bytes=self._settings.max_document_bytes,
            ssl_context=self._ssl_context,
            timeout=self._settings.timeout,
        )

    def _keep(self, published: Published | BaseException) -> None:
        # Whatever went wrong is noted and not raised: the last good set may do.
        if isinstance(published, Published):
            try:
                self._cache.succeeded(published, self._clock())
                return
            except WimseError as error:
                published = error
        detail = published.detail if isinstance(published, WimseError) else "it could not be fetched"
        self._cache.failed(detail, self._clock())


class AsyncRemoteJWKS(_Remote):
    """A JWK Set at a URL as an asynchronous resolver, for one event loop at a time; arguments as `RemoteJWKS`."""

    _flight: asyncio.Task[None] | None = None

    async def __call__(self, need: NeedKey) -> PublicKey:
        """Find the key, and fetch the set where that may help.

        Raises:
            Refused: `key_unknown`, `key_id_missing`.
            Unavailable: `trust_unavailable` when there is no set that is young enough.
        """
        key = self._cache.lookup(need, self._clock())
        if key is not None:
            return key
        flight = self._flight
        if flight is None or flight.done() or flight.get_loop() is not asyncio.get_running_loop():
            flight = self._flight = asyncio.create_task(self._fetch())
        await asyncio.shield(flight)  # one who does not wait any longer does not take it from the others
        return self._cache.find(need, self._clock())

    async def _fetch(self) -> None:
        try:
            self._keep(await self._download())
        except Exception as error:  # noqa: BLE001 - noted; the look-up says what follows from it
            self._keep(error)


class RemoteJWKS(_Remote):
    """A JWK Set at a URL as a resolver that waits; safe among threads.

    The fetch runs in a thread and an event loop of its own, so that its timeout is one of the whole, however slowly
    the bytes come; a caller waits for that long at most.
    """

    _flight: Future[None] | None = None

    def __call__(self, need: NeedKey) -> PublicKey:
        """Find the key, and fetch the set where that may help; raises as `AsyncRemoteJWKS`."""
        with self._lock:
            key = self._cache.lookup(need, self._clock())
            if key is not None:
                return key
            flight = self._flight or self._take_off()
        try:
            flight.result(self._settings.timeout.total_seconds() + _GRACE_SECONDS)
        except TimeoutError:
            with self._lock:
                self._keep(unavailable("it did not arrive in time"))
        with self._lock:
            return self._cache.find(need, self._clock())

    def _take_off(self) -> Future[None]:
        flight = self._flight = Future[None]()
        threading.Thread(target=self._fetch, args=(flight,), name="wimse-jwks", daemon=True).start()
        return flight

    def _fetch(self, flight: Future[None]) -> None:
        outcome: Published | BaseException
        try:
            outcome = asyncio.run(self._download())
        except BaseException as error:  # noqa: BLE001 - noted; the look-up says what follows from it
            outcome = error
        with self._lock:
            self._keep(outcome)
            self._flight = None
        flight.set_result(None)
