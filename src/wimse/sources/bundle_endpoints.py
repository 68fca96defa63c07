"""SPIFFE bundle endpoints: the bundle of a trust domain at an HTTPS URL (SPIFFE Federation §5).

Trust domain, URL and profile are all three configured, and none is inferred from another (§7.2). There is no fallback
from one profile to the other. Redirects (§5.2.1.4, §5.2.2.4, §7.5.1) are followed as temporary ones, to valid endpoint
URLs, with the same demands on TLS:

- in the profile https_spiffe to any host, because the new one must show the same SPIFFE ID;
- in the profile https_web within the host that was configured and to those that are named beside it, and no further:
  else who can make the endpoint redirect, and has any certificate of the Web PKI, could publish keys (decision 0006).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

from wimse.authentication import exactly
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, WorkloadIdentifier, X509Snapshot
from wimse.credentials.bundle import MAX_BUNDLE_BYTES
from wimse.errors import ConfigurationError
from wimse.sources.bundle_settings import BundleSettings
from wimse.sources.bundle_source import Newest
from wimse.sources.https_get import check_url, get_document, http_library, unavailable
from wimse.tls import TLSSettings, any_host, client_context

__all__ = ["SPIFFEBundleEndpoint", "WebBundleEndpoint"]

_ACCEPT: Final = "application/json"
_DEFAULTS: Final = BundleSettings()


class _Endpoint:
    """What both profiles have in common."""

    needs: TrustDomain | None = None

    def __init__(
        self, trust_domain: TrustDomain, url: str, settings: BundleSettings, leads_to: Callable[[str], bool]
    ) -> None:
        check_url(url, "the bundle endpoint")
        self.trust_domain: TrustDomain | None = trust_domain
        self._domain = trust_domain
        self._url = url
        self._settings = settings
        self._leads_to = leads_to
        self._hint: int | None = None
        self._library = http_library()

    @property
    def name(self) -> str:
        """Where the bundle comes from."""
        return self._url

    async def _fetch(self, context: ssl.SSLContext) -> Mapping[TrustDomain, TrustBundle]:
        published = await get_document(
            self._library,
            self._url,
            accept=_ACCEPT,
            max_bytes=MAX_BUNDLE_BYTES,
            ssl_context=context,
            timeout=self._settings.timeout,
            next_hop=self._next_hop if self._settings.max_redirects else None,
            max_redirects=self._settings.max_redirects,
        )
        bundle = TrustBundle.parse(self._domain, published.content)
        self._hint = bundle.refresh_hint
        return {self._domain: bundle}

    def _next_hop(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            check_url(target, "the bundle endpoint")
        except ValueError:  # among them ConfigurationError
            raise unavailable("its publisher redirects to what is no URL of a bundle endpoint") from None
        if not self._leads_to(urlsplit(target).hostname or ""):
            raise unavailable("its publisher redirects to another host, which is not one that is configured")
        return target

    def interval(self, settings: BundleSettings) -> float:
        """Seconds until the next fetch: the publisher's hint within our bounds (Trust Domain and Bundle §4.1.2)."""
        if self._hint is None:
            return settings.default_refresh.total_seconds()
        return min(max(self._hint, settings.min_refresh.total_seconds()), settings.max_refresh.total_seconds())


class WebBundleEndpoint(_Endpoint):
    """The profile https_web: the endpoint is known by its host name and an authority of the Web PKI."""

    def __init__(
        self,
        trust_domain: TrustDomain,
        url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        redirect_hosts: Collection[str] = (),
        settings: BundleSettings = _DEFAULTS,
    ) -> None:
        """Configure the endpoint.

        Args:
            trust_domain: whose bundle it serves.
            url: where; ``https``.
            ssl_context: whom to trust, and that names are checked; by default whom the system does.
            redirect_hosts: other hosts that it may redirect to.
            settings: times and limits.

        Raises:
            ConfigurationError: for another URL, a context that does not check names, or without httpx2.
        """
        if isinstance(redirect_hosts, str):
            raise ConfigurationError("redirect_hosts is a collection of host names")
        hosts = {host.lower() for host in redirect_hosts}
        super().__init__(trust_domain, url, settings, lambda host: host in hosts)
        hosts.add((urlsplit(url).hostname or "").lower())
        self._context = ssl_context or ssl.create_default_context()
        if not self._context.check_hostname or self._context.verify_mode is not ssl.CERT_REQUIRED:
            raise ConfigurationError("the TLS context of a bundle endpoint must verify certificate and host name")

    async def fetch(self, _: Newest) -> Mapping[TrustDomain, TrustBundle]:
        """Ask for the bundle.

        Raises:
            Unavailable: `trust_unavailable` when it cannot be had.
            Refused: as `TrustBundle.parse`.
        """
        return await self._fetch(self._context)


class SPIFFEBundleEndpoint(_Endpoint):
    """The profile https_spiffe: the endpoint is known by its X.509-SVID, whatever its host is called."""

    def __init__(
        self,
        trust_domain: TrustDomain,
        url: str,
        *,
        endpoint: WorkloadIdentifier,
        bootstrap: TrustBundle | None = None,
        tls: TLSSettings | None = None,
        settings: BundleSettings = _DEFAULTS,
    ) -> None:
        """Configure the endpoint (§5.2.2.2).

        Args:
            trust_domain: whose bundle it serves.
            url: where; ``https``.
            endpoint: the SPIFFE ID that the server must have.
            bootstrap: the bundle of the server's trust domain for the first fetch. It is needed where the server is of
                the trust domain whose bundle it serves. Else it may be left out: then that domain's bundle has to come
                from another source of the same keeper.
            tls: versions and limits.
            settings: times and limits.

        Raises:
            ConfigurationError: for another URL, a bootstrap bundle of another domain than the server's, or without one
                where it is needed; without httpx2.
        """
        super().__init__(trust_domain, url, settings, lambda _: True)
        if bootstrap is None and endpoint.trust_domain == trust_domain:
            raise ConfigurationError("an endpoint that serves its own trust domain needs a bootstrap bundle")
        if bootstrap is not None and bootstrap.trust_domain != endpoint.trust_domain:
            raise ConfigurationError("the bootstrap bundle is not the one of the endpoint's own trust domain")
        self._endpoint = endpoint
        if endpoint.trust_domain != trust_domain:
            self.needs = endpoint.trust_domain
        self._bootstrap = bootstrap
        self._tls = tls or TLSSettings()

    async def fetch(self, newest: Newest) -> Mapping[TrustDomain, TrustBundle]:
        """Ask for the bundle, over a connection that the newest bundle vouches for (§5.2.2.4).

        Raises:
            Unavailable: `trust_unavailable` when it cannot be had, or when nothing vouches for the endpoint yet.
            Refused: as `TrustBundle.parse`.
        """
        held = newest(self._endpoint.trust_domain)
        bundle = self._bootstrap if held is None else held
        if bundle is None:
            raise unavailable("there is no bundle of the trust domain of its endpoint yet")
        context = client_context(
            X509Snapshot(None, TrustBundles(bundle)),
            server=any_host(exactly(self._endpoint)),
            check_hostname=False,
            settings=self._tls,
        )
        return await self._fetch(context)
