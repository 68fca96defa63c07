"""How long what the issuer signs lives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["IssuerSettings"]

_BOUNDS: Final = {
    "wit_lifetime": (timedelta(seconds=2), timedelta(hours=24)),  # workload-creds §9.2.1: hours at most
    "jwt_svid_lifetime": (timedelta(seconds=2), timedelta(hours=1)),  # a bearer token
    "x509_svid_lifetime": (timedelta(seconds=2), timedelta(hours=24)),
    "authority_lifetime": (timedelta(seconds=2), timedelta(days=3660)),
    "backdating": (timedelta(0), timedelta(minutes=2)),
    "clock_setback": (timedelta(0), timedelta(minutes=2)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """Lifetimes, in whole seconds.

    Attributes:
        wit_lifetime: of a WIT. Default 5 min, from 2 s to 24 h.
        jwt_svid_lifetime: of a JWT-SVID. Default 5 min, from 2 s to 1 h: it is a bearer token.
        x509_svid_lifetime: of an X.509-SVID. Default 1 h, from 2 s to 24 h.
        authority_lifetime: of the signing keys, which are not replaced while the server runs. Default 365 days;
            nothing that they sign outlives them, and then they sign no more.
        backdating: how much earlier than now a certificate begins, for verifiers whose clock is behind. Default
            30 s, at most 2 min.
        clock_setback: how far the clock may go back behind the newest issue before issuing is refused. Default
            60 s, at most 2 min.

    Raises on construction:
        ConfigurationError: for a value outside its bounds, or that is not in whole seconds.
    """

    wit_lifetime: timedelta = timedelta(minutes=5)
    jwt_svid_lifetime: timedelta = timedelta(minutes=5)
    x509_svid_lifetime: timedelta = timedelta(hours=1)
    authority_lifetime: timedelta = timedelta(days=365)
    backdating: timedelta = timedelta(seconds=30)
    clock_setback: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value: timedelta = getattr(self, name)
            if not least <= value <= most:
                raise ConfigurationError(
                    f"{name} must be between {least.total_seconds():.0f} and {most.total_seconds():.0f} seconds"
                )
            if value.microseconds:
                raise ConfigurationError(f"{name} must be in whole seconds")
