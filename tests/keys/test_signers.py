from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.keys.pool import EVERY, PRIVATE
from wimse.errors import Reason, Unavailable
from wimse.keys import PrivateKey, PublicKey, SecretKey, Signer, sign_with, sign_with_async, verification_key

KEY = PRIVATE["ES256"]
NATIVE = KEY.native
assert isinstance(NATIVE, ec.EllipticCurvePrivateKey)
DATA = b"what is signed"


class Front:
    """A front of a key that is elsewhere, and that may answer anything."""

    def __init__(self, answer: object, public_key: PublicKey = KEY.public_key) -> None:
        self.answer, self.public_key = answer, public_key

    def sign(self, data: bytes) -> bytes:
        assert data == DATA
        return self.answer  # type: ignore[return-value]  # what a remote side answers is not known


class AsyncFront(Front):
    async def sign(self, data: bytes) -> bytes:  # type: ignore[override]  # the asynchronous protocol
        return super().sign(data)


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
async def test_a_key_in_this_process_signs_either_way(key: PrivateKey | SecretKey) -> None:
    for made in (sign_with(key, DATA), await sign_with_async(key, DATA)):
        key.verification_key.verify(made, DATA)
    assert verification_key(key) is key.verification_key


async def test_a_remote_signer_is_asked_and_believed_after_a_check() -> None:
    good = KEY.sign(DATA)
    assert isinstance(Front(good), Signer)
    assert sign_with(Front(good), DATA) == good
    assert await sign_with_async(AsyncFront(good), DATA) == good
    assert await sign_with_async(Front(good), DATA) == good
    assert verification_key(Front(good)) is KEY.public_key


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        KEY.sign(DATA + b"\0"),
        PrivateKey.generate().sign(DATA),
        NATIVE.sign(DATA, ec.ECDSA(hashes.SHA256())),  # as many a KMS answers
        KEY.sign(DATA)[:-1],
    ],
    ids=["empty", "of other data", "of another key", "DER", "cut short"],
)
async def test_an_answer_that_does_not_verify_is_not_sent(answer: bytes) -> None:
    """RF-15: the key and the algorithm are those that the signature is said to be of."""
    with pytest.raises(Unavailable) as caught:
        sign_with(Front(answer), DATA)
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE
    for front in (AsyncFront(answer), Front(answer)):
        with pytest.raises(Unavailable) as caught:
            await sign_with_async(front, DATA)
        assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE


async def test_an_answer_that_is_not_bytes_is_not_sent() -> None:
    for answer in (None, "signature", bytearray(64)):
        with pytest.raises(Unavailable):
            sign_with(Front(answer), DATA)
        with pytest.raises(Unavailable):
            await sign_with_async(AsyncFront(answer), DATA)
