"""Federation of the identity server: services beside the Workload API that publish our bundle and fetch others'."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wimse.errors import ConfigurationError, WimseError

if TYPE_CHECKING:
    from wimse.credentials import TrustBundle, TrustDomain, X509Snapshot
    from wimse.issuer import Authority
    from wimse.sources import TrustBundleKeeper
    from wimse.sources.bundle_source import BundleSource
    from wimse.workload_api import Beside, RunningServer, ServerConfig
    from wimse.workload_api.config_federation import BundleEndpointConfig, FederationConfig

__all__ = ["OwnIdentity", "federation_services"]

_LOOK_SECONDS: Final = 1.0
_FIRST_WAIT: Final = timedelta(seconds=1)  # the socket is served already, and others' bundles come when they come


def federation_services(config: ServerConfig) -> list[Beside]:
    """What a configuration says of federation, for `serve`.

    Raises:
        ConfigurationError: when a bootstrap bundle or CA file cannot be read.
    """
    services: list[Beside] = []
    if config.federation:
        sources = [_source(name, each) for name, each in config.federation.items()]
        services.append(lambda running: _fetching(running, sources))
    endpoint = config.bundle_endpoint
    if endpoint is not None:
        services.append(lambda running: _publishing(running, endpoint))
    return services


@contextlib.asynccontextmanager
async def _fetching(running: RunningServer, sources: list[BundleSource]) -> AsyncIterator[None]:
    from wimse.sources import BundleSettings, TrustBundleKeeper

    async with TrustBundleKeeper(*sources, settings=BundleSettings(first_wait=_FIRST_WAIT)) as keeper:
        following = asyncio.create_task(_follow(running, keeper))
        try:
            yield
        finally:
            following.cancel()


async def _follow(running: RunningServer, keeper: TrustBundleKeeper) -> None:
    while True:  # it costs nothing to look, and tells of bundles that have become too old as well
        bundles = keeper.bundles()
        if dict(bundles) != dict(running.state.federated):
            running.state.replace_federated(bundles)
        await asyncio.sleep(_LOOK_SECONDS)


@contextlib.asynccontextmanager
async def _publishing(running: RunningServer, section: BundleEndpointConfig) -> AsyncIterator[None]:
    from wimse.servers.bundle_endpoint import BundleEndpoint
    from wimse.servers.bundle_serving import BundleServerSettings, serve_bundle_with_files, serve_bundle_with_svid

    authority = running.state.authority

    def bundle() -> TrustBundle:
        return authority.bundles()[authority.spiffe_trust_domain]

    app = BundleEndpoint(bundle, path=section.path, jwks_path=section.jwks_path or None)
    settings = BundleServerSettings(address=section.address, port=section.port)
    if section.certificate:
        service = serve_bundle_with_files(app, Path(section.certificate), Path(section.key), settings)
    else:
        service = serve_bundle_with_svid(app, OwnIdentity(authority, section.identity), settings)
    async with service:
        yield


class OwnIdentity:
    """The X.509-SVID of the server itself, which it issues to itself; a source for its bundle endpoint."""

    def __init__(self, authority: Authority, path: str) -> None:
        """Issue from `authority` for the identity `path`."""
        self._authority = authority
        self._path = path
        self._held: X509Snapshot | None = None
        self._kid: str | None = None
        self._renew_at = 0.0

    def x509_snapshot(self) -> X509Snapshot:
        """See `X509Source`: a new one before half of its life is over, or when its key is not to be trusted any more.

        Raises:
            Unavailable: `issuer_unavailable`.
        """
        from wimse.credentials import TrustBundles, X509Credential, X509Snapshot
        from wimse.keys import PrivateKey

        now = int(time.time())
        if self._held is None or now >= self._renew_at or self._authority.distrusts(self._kid):
            key = PrivateKey.generate()
            subject = self._authority.spiffe_trust_domain.workload(self._path)
            issued = self._authority.issue_x509_svid(subject, key.public_key, now=now)
            credential = X509Credential.from_chain((issued.der, *issued.intermediates), key)
            self._held, self._kid = X509Snapshot(credential, TrustBundles()), issued.kid
            self._renew_at = now + (issued.expires_at - now) * 0.4
        return self._held


def _source(name: str, section: FederationConfig) -> BundleSource:
    import ssl

    from wimse.credentials import TrustDomain, WorkloadIdentifier
    from wimse.sources import SPIFFEBundleEndpoint, WebBundleEndpoint

    domain = TrustDomain("spiffe", name)
    if section.profile == "https_web":
        try:
            context = ssl.create_default_context(cafile=section.ca_file) if section.ca_file else None
        except OSError as error:
            raise ConfigurationError(f"ca_file of the federation with {name}: {error.strerror}") from None
        return WebBundleEndpoint(domain, section.url, ssl_context=context, redirect_hosts=section.redirect_hosts)
    endpoint = WorkloadIdentifier.parse(section.endpoint_spiffe_id)
    bootstrap = _bootstrap(section.bootstrap, endpoint.trust_domain) if section.bootstrap else None
    return SPIFFEBundleEndpoint(domain, section.url, endpoint=endpoint, bootstrap=bootstrap)


def _bootstrap(path: str, domain: TrustDomain) -> TrustBundle:
    from wimse.credentials import TrustBundle
    from wimse.credentials.bundle import MAX_BUNDLE_BYTES

    try:
        with Path(path).open("rb") as file:
            return TrustBundle.parse(domain, file.read(MAX_BUNDLE_BYTES + 1))  # which refuses what is longer
    except OSError as error:
        raise ConfigurationError(f"the bootstrap bundle {path}: {error.strerror}") from None
    except WimseError as error:
        raise ConfigurationError(f"the bootstrap bundle {path}: {error.detail}") from None
