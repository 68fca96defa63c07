"""How TLS is spoken."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from wimse.credentials import X509Settings
from wimse.errors import ConfigurationError

__all__ = ["TLSSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSSettings:
    """Limits of TLS.

    Attributes:
        minimum_version: 1.3 by default; 1.2 for peers that have nothing newer (RFC 9325 §3.1.1: nothing older).
        certificates: limits for the peer's certificates.

    Raises on construction:
        ConfigurationError: for a version before 1.2.
    """

    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    certificates: X509Settings = field(default_factory=X509Settings)

    def __post_init__(self) -> None:
        if self.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            raise ConfigurationError("minimum_version must be TLS 1.2 or 1.3")
