"""Where keys come from: JWK Sets that are fetched over HTTPS and kept for a while."""

from __future__ import annotations

from wimse.sources.jwks import AsyncRemoteJWKS, RemoteJWKS
from wimse.sources.jwks_cache import JWKSSettings

__all__ = ["AsyncRemoteJWKS", "JWKSSettings", "RemoteJWKS"]
