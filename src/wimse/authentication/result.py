"""The result of authentication: the only value of this package that carries an identity to act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wimse.authentication.proofs import Proof
from wimse.credentials import VerifiedWIT, WorkloadIdentifier
from wimse.errors import ConfigurationError
from wimse.httpsig import VerifiedSignature
from wimse.profiles.proof_token import VerifiedRequestProof

__all__ = ["AuthenticatedWorkload"]


@dataclass(frozen=True, slots=True, init=False)
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

    def __init__(self, *_: object, **__: object) -> None:
        """Refuse: neither a caller nor `dataclasses.replace` makes one.

        Raises:
            TypeError: always.
        """
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


def authenticated(wit: VerifiedWIT, proof: Proof, revision: str) -> AuthenticatedWorkload:
    """Make the result, after everything was verified. For this room only."""
    made, put = object.__new__(AuthenticatedWorkload), object.__setattr__
    put(made, "wit", wit)
    put(made, "proof", proof)
    put(made, "revision", revision)
    return made
