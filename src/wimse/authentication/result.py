"""The result of authentication: the only value of this package that carries an identity to act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Final

from wimse.credentials import VerifiedWIT, WorkloadIdentifier
from wimse.httpsig import VerifiedSignature

__all__ = ["AuthenticatedWorkload"]

MADE_BY_AUTHENTICATION: Final = object()


@dataclass(frozen=True, slots=True)
class AuthenticatedWorkload:
    """Who sent a message, after everything was verified. Only `authentication` makes one.

    Attributes:
        wit: the verified token.
        signature: the verified signature.
        revision: the revision of the profile that the message satisfied.
    """

    wit: VerifiedWIT
    signature: VerifiedSignature
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
    def covered(self) -> Mapping[str, str]:
        """The VALUES of the covered components: what was signed, rather than what else the message says."""
        return self.signature.covered

    @property
    def nonce(self) -> str:
        """The nonce of the signature."""
        return str(self.signature.parameters["nonce"])
