"""The result of authentication: the only value of this package that carries an identity to act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Final

from wimse.authentication.proofs import Proof
from wimse.credentials import VerifiedWIT, WorkloadIdentifier
from wimse.errors import ConfigurationError
from wimse.httpsig import VerifiedSignature
from wimse.profiles.proof_token import VerifiedRequestProof

__all__ = ["AuthenticatedWorkload"]

MADE_BY_AUTHENTICATION: Final = object()


@dataclass(frozen=True, slots=True)
class AuthenticatedWorkload:
    """Who sent a message, after everything was verified. Only `authentication` makes one.

    Attributes:
        wit: the verified token.
        proof: what it proved the possession of its key with, verified.
        revision: the name of the one revision that the message satisfied.
    """

    wit: VerifiedWIT
    proof: Proof
    revision: str
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not MADE_BY_AUTHENTICATION:
            raise TypeError("an AuthenticatedWorkload is made by authentication only")

    @property
    def identity(self) -> WorkloadIdentifier:
        """Who it is."""
        return self.wit.identity

    @property
    def signature(self) -> VerifiedSignature:
        """The verified signature.

        Raises:
            ConfigurationError: when the proof is none.
        """
        if not isinstance(self.proof, VerifiedSignature):
            raise ConfigurationError("the proof of this workload is no signature")
        return self.proof

    @property
    def covered(self) -> Mapping[str, str]:
        """The VALUES that the proof covers, rather than what else the message says.

        Of a signature those of its components. Of a proof token the WIT and the other tokens that it binds, and
        nothing else: neither method nor path, nor any other field or the content.
        """
        return self.proof.covered

    @property
    def nonce(self) -> str | None:
        """The nonce of the proof, or the `jti` of a proof token; None for a response of a revision that has none."""
        if isinstance(self.proof, VerifiedRequestProof):
            return self.proof.proof.token_id
        nonce = self.proof.parameters.get("nonce")
        return nonce if isinstance(nonce, str) else None
