"""What a workload holds: its WIT and the key to it, with the bundles to judge others by, always as one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wimse.credentials.bundle import TrustBundles
from wimse.credentials.claims import required_time
from wimse.credentials.identifier import WorkloadIdentifier
from wimse.credentials.wit import UnverifiedWIT
from wimse.errors import Reason, Refused, Unavailable
from wimse.keys import PublicKey, Signer

__all__ = ["WorkloadCredential", "WorkloadSnapshot", "WorkloadSource"]


@dataclass(frozen=True, slots=True)
class WorkloadCredential:
    """A WIT and the key that it names; they are only ever handed out together.

    Attributes:
        identity: the workload's own identifier.
        wit: the token, as it is sent.
        key: whoever signs with the key of `cnf.jwk`.
        expires_at: `exp` of the token, in seconds since 1970.
    """

    identity: WorkloadIdentifier
    wit: str = field(repr=False)
    key: Signer = field(repr=False)
    expires_at: int

    @classmethod
    def from_wit(cls, wit: str, key: Signer) -> WorkloadCredential:
        """Join a token, as its issuer handed it to us, with its key.

        Raises:
            Refused: `key_mismatch` when `cnf.jwk` is not the key's public half; else as `UnverifiedWIT.parse`.
        """
        unverified = UnverifiedWIT.parse(wit)
        confirmation = unverified.jws.claims.get("cnf")
        jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
        if not isinstance(jwk, dict) or not PublicKey.from_jwk(jwk).same_key(key.public_key):
            raise Refused(Reason.KEY_MISMATCH, "the WIT's cnf.jwk is not the public half of the workload's key")
        return cls(unverified.claimed_identity, wit, key, required_time(unverified.jws.claims, "exp"))

    def check_usable(self, now: int) -> None:
        """Refuse to sign with a credential that has expired (workload-creds §9.4).

        Args:
            now: seconds since 1970.

        Raises:
            Unavailable: `credential_expired`.
        """
        if now >= self.expires_at:
            raise Unavailable(Reason.CREDENTIAL_EXPIRED, "the WIT has expired and none has come to replace it")


@dataclass(frozen=True, slots=True)
class WorkloadSnapshot:
    """What one message of the source gave: a credential and bundles that belong to one moment.

    Attributes:
        credential: the WIT and its key.
        bundles: whom to trust.
    """

    credential: WorkloadCredential
    bundles: TrustBundles


class WorkloadSource(Protocol):
    """Where a program has its identity from: fixed, or renewed in the background."""

    def snapshot(self) -> WorkloadSnapshot:
        """The newest snapshot.

        Raises:
            Unavailable: `credential_unavailable` when there is none yet; `credential_expired`.
        """
