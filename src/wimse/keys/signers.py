"""Who can sign: a key in this process, or a front of one that is elsewhere (a KMS, an HSM, an agent).

A remote signer has one method and one property. Its answer is checked with its own verification key before anything
is sent: that costs one verification beside a round trip, and turns each of the usual mistakes (ECDSA in DER, another
hash, a key that was rotated behind our back, a faulty computation that would give the key away) into an error here
instead of a refusal by the peer. A key in this process is not checked again.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from wimse.errors import Reason, Refused, Unavailable
from wimse.keys.private import PrivateKey
from wimse.keys.public import PublicKey
from wimse.keys.secret import SecretKey

__all__ = ["AnySigner", "AsyncSigner", "Signer", "VerificationKey", "sign_with", "sign_with_async", "verification_key"]

VerificationKey = PublicKey | SecretKey
_IN_THIS_PROCESS: Final = (PrivateKey, SecretKey)


@runtime_checkable
class Signer(Protocol):
    """Whoever can sign bytes with one private key: a `PrivateKey`, or a front of a KMS, an HSM or an agent."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that verifies what `sign` makes."""

    def sign(self, data: bytes) -> bytes:
        """Sign `data`; the form of the result is that of `PublicKey.verify`."""


class AsyncSigner(Protocol):
    """A `Signer` whose answer is awaited."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that verifies what `sign` makes."""

    async def sign(self, data: bytes) -> bytes:
        """Sign `data`; the form of the result is that of `PublicKey.verify`."""


AnySigner = Signer | SecretKey


def verification_key(signer: AnySigner | AsyncSigner) -> VerificationKey:
    """What verifies the signatures of `signer`: the secret itself, or the public key."""
    return signer if isinstance(signer, SecretKey) else signer.public_key


def sign_with(signer: AnySigner, data: bytes) -> bytes:
    """Sign `data`, and check the answer of a signer that is not a key in this process.

    Args:
        signer: a `PrivateKey`, a `SecretKey` or any `Signer`.
        data: what to sign.

    Raises:
        Unavailable: `credential_unavailable` when the signer's answer is no signature of its key. What the signer
            itself raises is not caught.
    """
    made = signer.sign(data)
    return made if isinstance(signer, _IN_THIS_PROCESS) else _checked(signer, made, data)


async def sign_with_async(signer: AsyncSigner | AnySigner, data: bytes) -> bytes:
    """Sign `data` by a signer whose answer may have to be awaited; arguments and errors as `sign_with`."""
    if isinstance(signer, _IN_THIS_PROCESS):
        return signer.sign(data)
    made = signer.sign(data)
    return _checked(signer, made if isinstance(made, bytes) else await made, data)


def _checked(signer: Signer | AsyncSigner, made: object, data: bytes) -> bytes:
    if not isinstance(made, bytes):
        raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the signer's answer is not bytes")
    try:
        signer.public_key.verify(made, data)
    except Refused:
        detail = "the signer's answer does not verify with its public key"
        raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, detail) from None
    return made
