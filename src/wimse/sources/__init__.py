"""Where keys and trust bundles come from: JWK Sets and bundle endpoints over HTTPS, and files that are watched."""

from __future__ import annotations

from wimse.sources.bundle_endpoints import SPIFFEBundleEndpoint, WebBundleEndpoint
from wimse.sources.bundle_files import BundleFile, BundleMapFile
from wimse.sources.bundle_keeper import TrustBundleKeeper
from wimse.sources.bundle_settings import BundleChange, BundleEvent, BundleSettings
from wimse.sources.bundle_source import BundleSource
from wimse.sources.jwks import AsyncRemoteJWKS, RemoteJWKS
from wimse.sources.jwks_cache import JWKSSettings

__all__ = [
    "AsyncRemoteJWKS",
    "BundleChange",
    "BundleEvent",
    "BundleFile",
    "BundleMapFile",
    "BundleSettings",
    "BundleSource",
    "JWKSSettings",
    "RemoteJWKS",
    "SPIFFEBundleEndpoint",
    "TrustBundleKeeper",
    "WebBundleEndpoint",
]
