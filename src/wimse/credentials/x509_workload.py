"""What a workload holds for TLS: its certificate and key, with the bundles to judge others by, as one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wimse.credentials.bundle import TrustBundle
from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.credentials.x509_verification import UnverifiedX509SVID, X509Settings
from wimse.errors import Reason, Refused, Unavailable
from wimse.keys import PrivateKey, PublicKey

__all__ = ["X509Credential", "X509Snapshot", "X509Source"]


@dataclass(frozen=True, slots=True)
class X509Credential:
    """A certificate with its chain and the key to it; they are only ever handed out together.

    Attributes:
        identity: the workload's own identifier.
        chain: DER; the leaf, then intermediate authorities, without the anchor.
        key: the leaf's private key. It must be at hand: TLS cannot use a remote signer here.
        expires_at: seconds since 1970.
    """

    identity: WorkloadIdentifier
    chain: tuple[bytes, ...] = field(repr=False)
    key: PrivateKey = field(repr=False)
    expires_at: int

    @classmethod
    def from_der(cls, chain: Sequence[bytes], key: PrivateKey, *, settings: X509Settings | None = None) -> Self:
        """Join a chain, as its issuer handed it to us, with its key.

        Raises:
            Refused: `key_mismatch` when the leaf's key is not the key's public half; else as
                `UnverifiedX509SVID.parse`, and the reason for which the leaf's key is not acceptable.
        """
        unverified = UnverifiedX509SVID.parse(chain, settings=settings or X509Settings())
        leaf = unverified.certificates[0]
        try:
            theirs = PublicKey.from_native(leaf.public_key(), algorithm=key.algorithm)
        except (ValueError, TypeError):
            raise Refused(Reason.CERTIFICATE_MALFORMED, "the certificate's key cannot be read") from None
        if not theirs.same_key(key.public_key):
            raise Refused(Reason.KEY_MISMATCH, "the certificate is not the one of the workload's key")
        return cls(unverified.claimed_identity, tuple(chain), key, int(leaf.not_valid_after_utc.timestamp()))

    @classmethod
    def from_pem(cls, chain: bytes, key: PrivateKey, *, settings: X509Settings | None = None) -> Self:
        """The same for a chain in PEM; errors as `from_der`, and `certificate_malformed`."""
        try:
            certificates = x509.load_pem_x509_certificates(chain)
        except ValueError:
            raise Refused(Reason.CERTIFICATE_MALFORMED, "the chain is not PEM") from None
        return cls.from_der([each.public_bytes(Encoding.DER) for each in certificates], key, settings=settings)

    def check_usable(self, now: int) -> None:
        """Refuse to authenticate with a certificate that has expired (workload-creds §9.4).

        Args:
            now: seconds since 1970.

        Raises:
            Unavailable: `credential_expired`.
        """
        if now >= self.expires_at:
            raise Unavailable(Reason.CREDENTIAL_EXPIRED, "the certificate has expired and none has come to replace it")


@dataclass(frozen=True, slots=True)
class X509Snapshot:
    """A credential and bundles that belong to one moment.

    Attributes:
        credential: the certificate and its key; None for a client that shows none.
        bundles: whom to trust, each trust domain with its own anchors.
    """

    credential: X509Credential | None
    bundles: Mapping[TrustDomain, TrustBundle]

    def snapshot(self) -> X509Snapshot:
        """Itself: what never changes is a source, too."""
        return self


class X509Source(Protocol):
    """Where a program has its certificate from: fixed (an `X509Snapshot`), or renewed in the background."""

    def snapshot(self) -> X509Snapshot:
        """The newest snapshot.

        Raises:
            Unavailable: `credential_unavailable` when there is none yet; `credential_expired`; `trust_unavailable`.
        """
