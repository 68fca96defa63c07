from __future__ import annotations

import pickle

import pytest

from wimse.errors import ConfigurationError
from wimse.issuer import EncryptedSealer, KeyEncryptionKey, KeyUse
from wimse.keys import PrivateKey

KEK = KeyEncryptionKey(bytes(range(32)))


@pytest.mark.parametrize("secret", [b"", bytes(range(31)), bytes(range(33)), bytes(32), b"ab" * 16])
def test_a_key_encryption_key_of_another_length_or_no_randomness_is_refused(secret: bytes) -> None:
    with pytest.raises(ConfigurationError):
        KeyEncryptionKey(secret)


def test_a_key_encryption_key_does_not_show_itself() -> None:
    """IS-28."""
    assert repr(KEK) == f"KeyEncryptionKey({KEK.identifier.hex()})"
    assert bytes(range(8)).hex() not in repr(KEK)
    with pytest.raises(TypeError):
        pickle.dumps(KEK)


@pytest.mark.parametrize("nonce", [b"", bytes(11), bytes(16)])
def test_a_nonce_of_another_length_is_refused(nonce: bytes) -> None:
    with pytest.raises(ConfigurationError, match="12 bytes"):
        EncryptedSealer("example.org", KEK).seal(PrivateKey.generate(kid="k"), KeyUse.WIT, nonce=nonce)


def test_two_sealings_of_one_key_differ_and_neither_contains_it() -> None:
    key, sealer = PrivateKey.generate(kid="k"), EncryptedSealer("example.org", KEK)
    one, other = (sealer.seal(key, KeyUse.WIT, nonce=bytes([n] * 12)) for n in (1, 2))
    assert one != other
    assert key.to_pkcs8_der()[:40] not in one
