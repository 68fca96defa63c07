"""Signing keys at rest: encrypted with AES-256-GCM under a key that is kept elsewhere.

A sealed key is bound to its kid, its use and its trust domain as associated data: what is copied to another row or
another database does not open. What opens is compared with the public half that its record names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wimse.errors import ConfigurationError, Refused
from wimse.issuer.keyset import KeyRecord, KeySet, KeyUse
from wimse.keys import PrivateKey

__all__ = [
    "NONCE_BYTES",
    "EncryptedSealer",
    "KeyEncryptionKey",
    "KeySealer",
    "PlaintextSealer",
    "open_keys",
    "sealed_again",
]

NONCE_BYTES: Final = 12  # NIST SP 800-38D §8.2
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 8
_ENCRYPTED: Final = b"wimse\x01"
_PLAIN: Final = b"wimse\x00"


class KeySealer(Protocol):
    """Writes private keys for the store, and reads them again."""

    def seal(self, key: PrivateKey, use: KeyUse, *, nonce: bytes) -> bytes:
        """Write a private key that has a kid.

        Args:
            key: the key.
            use: what it signs.
            nonce: 12 random bytes, never used before.
        """
        ...

    def open(self, record: KeyRecord) -> PrivateKey:
        """Read the private key of a record.

        Raises:
            ConfigurationError: when it does not open, or is not the key that the record names.
        """
        ...

    def current(self, record: KeyRecord) -> bool:
        """Whether the record is sealed as `seal` would do it today."""
        ...


class KeyEncryptionKey:
    """A secret of 32 bytes that encrypts signing keys. It does not show itself."""

    __slots__ = ("_cipher", "identifier")

    def __init__(self, secret: bytes) -> None:
        """Hold the secret.

        Raises:
            ConfigurationError: when it is not 32 bytes, or obviously not random.
        """
        if len(secret) != _KEY_BYTES:
            raise ConfigurationError("a key-encryption key has 32 bytes")
        if len(set(secret)) < 8:  # 32 random bytes have fewer than 8 different ones once in 10⁴⁰ cases
            raise ConfigurationError("the key-encryption key is not random")
        self._cipher = AESGCM(secret)
        self.identifier = sha256(b"wimse key-encryption key\0" + secret).digest()[:_ID_BYTES]

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        """Encrypt `data` and bind it to `bound`."""
        return self._cipher.encrypt(nonce, data, bound)

    def decrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        """Decrypt what `encrypt` wrote.

        Raises:
            ConfigurationError: when anything of it was changed.
        """
        try:
            return self._cipher.decrypt(nonce, data, bound)
        except InvalidTag:
            raise ConfigurationError(
                "a stored signing key does not open: it was changed, or belongs elsewhere"
            ) from None

    def __repr__(self) -> str:
        return f"KeyEncryptionKey({self.identifier.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key-encryption key is not pickled")


@dataclass(frozen=True, slots=True)
class EncryptedSealer:
    """Seals with the first key, opens with any.

    Attributes:
        trust_domain: name of the trust domain.
        key: encrypts.
        previous: the keys before it; they only decrypt, until everything is sealed again.
    """

    trust_domain: str
    key: KeyEncryptionKey = field(repr=False)
    previous: tuple[KeyEncryptionKey, ...] = field(default=(), repr=False)

    def seal(self, key: PrivateKey, use: KeyUse, *, nonce: bytes) -> bytes:
        """See `KeySealer`."""
        if len(nonce) != NONCE_BYTES:
            raise ConfigurationError("a nonce of AES-GCM has 12 bytes")
        data = self.key.encrypt(nonce, key.to_pkcs8_der(), _bound(self.trust_domain, use, key.kid or ""))
        return _ENCRYPTED + self.key.identifier + nonce + data

    def open(self, record: KeyRecord) -> PrivateKey:
        """See `KeySealer`."""
        if not record.sealed.startswith(_ENCRYPTED):
            raise ConfigurationError(
                "a stored signing key is not encrypted: it is of development mode; start with a new database"
            )
        rest = record.sealed[len(_ENCRYPTED) :]
        identifier, nonce, data = rest[:_ID_BYTES], rest[_ID_BYTES:][:NONCE_BYTES], rest[_ID_BYTES + NONCE_BYTES :]
        for key in (self.key, *self.previous):
            if key.identifier == identifier:
                return _read(key.decrypt(nonce, data, _bound(self.trust_domain, record.use, record.kid)), record)
        raise ConfigurationError(
            f"a stored signing key is encrypted with the key-encryption key {identifier.hex()}, which is not "
            "configured: name it as the previous one"
        )

    def current(self, record: KeyRecord) -> bool:
        """See `KeySealer`."""
        return record.sealed.startswith(_ENCRYPTED + self.key.identifier)


@dataclass(frozen=True, slots=True)
class PlaintextSealer:
    """Leaves keys as they are. For development only: who can read the database can be anybody."""

    def seal(self, key: PrivateKey, use: KeyUse, *, nonce: bytes) -> bytes:  # noqa: ARG002 - nothing is encrypted
        """See `KeySealer`."""
        return _PLAIN + key.to_pkcs8_der()

    def open(self, record: KeyRecord) -> PrivateKey:
        """See `KeySealer`."""
        if not record.sealed.startswith(_PLAIN):
            raise ConfigurationError("a stored signing key is encrypted, and no key-encryption key is configured")
        return _read(record.sealed[len(_PLAIN) :], record)

    def current(self, record: KeyRecord) -> bool:
        """See `KeySealer`."""
        return record.sealed.startswith(_PLAIN)


def open_keys(keys: KeySet, sealer: KeySealer) -> dict[str, PrivateKey]:
    """Read every private key that there is, by kid. Each is checked against its record.

    Raises:
        ConfigurationError: see `KeySealer.open`.
    """
    return {each.kid: sealer.open(each) for each in keys.keys if each.published}


def sealed_again(keys: KeySet, sealer: KeySealer, nonces: tuple[bytes, ...]) -> tuple[KeyRecord, ...]:
    """The records that are sealed with an earlier key-encryption key, sealed with today's.

    Args:
        keys: all of them.
        sealer: opens with the earlier key and seals with today's.
        nonces: as many as there are keys.

    Raises:
        ConfigurationError: see `KeySealer.open`.
    """
    stale = [each for each in keys.keys if each.published and not sealer.current(each)]
    return tuple(
        replace(each, sealed=sealer.seal(sealer.open(each), each.use, nonce=nonce))
        for each, nonce in zip(stale, nonces, strict=False)
    )


def _bound(trust_domain: str, use: KeyUse, kid: str) -> bytes:
    return f"wimse signing key\0{trust_domain}\0{use}\0{kid}".encode()


def _read(der: bytes, record: KeyRecord) -> PrivateKey:
    try:
        key = PrivateKey.from_pkcs8_der(der, kid=record.kid, algorithm=record.public_key.algorithm)
    except Refused as refused:
        raise ConfigurationError(f"a stored signing key cannot be read: {refused.detail}") from None
    # The name of a key is its thumbprint, so all three must agree: name, public half, private half.
    if not key.public_key.same_key(record.public_key) or key.public_key.thumbprint() != record.kid:
        raise ConfigurationError("a stored signing key is not the one that its kid names")
    return key
