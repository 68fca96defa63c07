"""What a workload holds for TLS: its certificate with the key to it, and the bundles to judge others by."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wimse.credentials.bundle import TrustBundles
from wimse.credentials.identifier import WorkloadIdentifier
from wimse.credentials.x509_verification import UnverifiedX509SVID, X509Settings
from wimse.errors import Reason, Refused, Unavailable
from wimse.keys import PrivateKey

__all__ = ["X509Credential", "X509Snapshot", "X509Source"]


@dataclass(frozen=True, slots=True)
class X509Credential:
    """A certificate, the authorities between it and an anchor, and its key; only ever handed out together.

    Attributes:
        identity: the workload's own identifier, from the certificate.
        certificates: DER, the workload's first.
        key: the certificate's key.
        expires_at: when the certificate ends, in seconds since 1970.
    """

    identity: WorkloadIdentifier
    certificates: tuple[bytes, ...] = field(repr=False)
    key: PrivateKey = field(repr=False)
    expires_at: int

    @classmethod
    def from_chain(
        cls, chain: Sequence[bytes], key: PrivateKey, *, settings: X509Settings | None = None
    ) -> X509Credential:
        """Join a chain, as its issuer handed it to us, with its key.

        Args:
            chain: DER, the workload's certificate first.
            key: its key.
            settings: limits.

        Raises:
            Refused: as `UnverifiedX509SVID.parse`; `key_mismatch` when the certificate is for another key.
        """
        unverified = UnverifiedX509SVID.parse(chain, settings=settings or X509Settings())
        leaf = unverified.certificates[0]
        if leaf.public_key() != key.public_key.native:
            raise Refused(Reason.KEY_MISMATCH, "the certificate is not for the workload's key")
        expires_at = int(leaf.not_valid_after_utc.timestamp())
        return cls(unverified.claimed_identity, tuple(chain), key, expires_at)

    def check_usable(self, now: int) -> None:
        """Refuse to authenticate with a certificate that has expired (workload-creds §9.4).

        Args:
            now: seconds since 1970.

        Raises:
            Unavailable: `credential_expired`.
        """
        if now >= self.expires_at:
            raise Unavailable(Reason.CREDENTIAL_EXPIRED, "the certificate has expired and none has come to replace it")

    def to_pem(self) -> bytes:
        """Write the key, unencrypted, and then the certificates, as PEM: for what takes them from one file."""
        blocks = [_armoured(der) for der in self.certificates]
        return b"".join([self.key.to_pem(), *blocks])


@dataclass(frozen=True, slots=True)
class X509Snapshot:
    """A credential and bundles that belong to one moment. It is a source that never changes, too.

    Attributes:
        credential: the certificate and its key; None for a client that shows none.
        bundles: whom to trust.
    """

    credential: X509Credential | None
    bundles: TrustBundles

    def x509_snapshot(self) -> X509Snapshot:
        """The snapshot itself."""
        return self


class X509Source(Protocol):
    """Where a program has its certificate from: fixed, or renewed in the background."""

    def x509_snapshot(self) -> X509Snapshot:
        """The newest snapshot; the same object while nothing has changed.

        Raises:
            Unavailable: `credential_unavailable` when there is none yet; `credential_expired`.
        """


def _armoured(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]  # RFC 7468 §2
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])
