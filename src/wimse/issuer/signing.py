"""The signing keys of one moment, opened: what an `Authority` signs with and publishes. A value, swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wimse.credentials import TrustBundle, TrustBundles, TrustDomain
from wimse.errors import ConfigurationError
from wimse.issuer.keyset import KeyRecord, KeySet, KeyState, KeyUse
from wimse.keys import ES256, PrivateKey, PublicKey

__all__ = ["SigningKey", "SigningKeys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that signs, with the bounds of what it signs. Times are seconds since 1970.

    Attributes:
        key: the private key, with a kid.
        not_before: nothing that it signs begins before.
        not_after: nothing that it signs ends after.
        max_token_seconds: nothing that it signs lives longer; None for no bound of its own.
        certificate: for X.509, its CA certificate; DER.
        intermediates: for X.509, what is handed out with each SVID: its certificate and those above it, except roots.
    """

    key: PrivateKey = field(repr=False)
    not_before: int
    not_after: int
    max_token_seconds: int | None = None
    certificate: bytes = field(default=b"", repr=False)
    intermediates: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """The keys that sign, and those that are published.

    Attributes:
        active: the key of each use; a use without one signs nothing now.
        wit_keys: published for WITs.
        jwt_keys: published for JWT-SVIDs.
        x509_authorities: published for X.509-SVIDs; DER.
        sequence: of what is published; None when it never changes.
        refresh_hint: for the bundle, in seconds, or None.
        newest_at: the newest time that is known of, in seconds since 1970: the clock is not behind it.
        fresh_until: after it nothing is signed, because another server may have revoked a key; None for no end.
        distrusted: kids of keys that are tainted or revoked.

    Raises on construction:
        ConfigurationError: for a token key that is not ES256 or has no kid, or signs two kinds of credentials, or one
            that signs and is not published.
    """

    active: Mapping[KeyUse, SigningKey] = field(repr=False)
    wit_keys: tuple[PublicKey, ...]
    jwt_keys: tuple[PublicKey, ...]
    x509_authorities: tuple[bytes, ...] = field(repr=False)
    sequence: int | None = None
    refresh_hint: int | None = None
    newest_at: int = 0
    fresh_until: int | None = None
    distrusted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for use, published in ((KeyUse.WIT, self.wit_keys), (KeyUse.JWT_SVID, self.jwt_keys)):
            signing = self.active.get(use)
            if signing is None:
                continue
            key = signing.key
            if key.algorithm is not ES256 or not key.kid:  # WIT-SVID §2.3, JWT-SVID §2.1
                raise ConfigurationError(f"the key that signs {use} is an ES256 key with a kid")
            if not any(each.kid == key.kid and each.same_key(key.public_key) for each in published):
                raise ConfigurationError(f"the key that signs {use} is not published")
        if not {each.kid for each in self.wit_keys}.isdisjoint(each.kid for each in self.jwt_keys):  # WIT-SVID §6.1
            raise ConfigurationError("a key for WITs and one for JWT-SVIDs have one kid")

    @classmethod
    def of(
        cls,
        keys: KeySet,
        opened: Mapping[str, PrivateKey],
        *,
        refresh_hint: int,
        newest_at: int,
        fresh_until: int | None,
    ) -> SigningKeys:
        """Take the records of a store and their private keys.

        Args:
            keys: the records.
            opened: the private keys by kid; see `open_keys`.
            refresh_hint: for the bundle, in seconds.
            newest_at: the newest time that is known of, in seconds since 1970.
            fresh_until: after it nothing is signed; None for no end.

        Raises:
            ConfigurationError: see the class.
        """
        active = {}
        for use in KeyUse:
            record = keys.active(use)
            if record is not None:
                active[use] = _signing_key(record, opened)
        return replace(
            cls.public(keys, refresh_hint=refresh_hint), active=active, newest_at=newest_at, fresh_until=fresh_until
        )

    @classmethod
    def public(cls, keys: KeySet, *, refresh_hint: int) -> SigningKeys:
        """What is published of the records of a store: nothing is opened, and nothing signs."""
        anchors = (anchor for each in keys.published(KeyUse.X509_SVID) for anchor in each.anchors)
        return cls(
            active={},
            wit_keys=tuple(each.public_key for each in keys.published(KeyUse.WIT)),
            jwt_keys=tuple(each.public_key for each in keys.published(KeyUse.JWT_SVID)),
            x509_authorities=tuple(dict.fromkeys(anchors)),  # an upstream root is that of several keys
            sequence=keys.sequence,
            refresh_hint=refresh_hint,
            distrusted=frozenset(each.kid for each in keys.keys if each.tainted or each.state is KeyState.REVOKED),
        )

    def bundles(self, name: str, wit_trust_domain: TrustDomain) -> TrustBundles:
        """The public halves, as bundles of the trust domain `name`."""
        spiffe = TrustDomain("spiffe", name)
        together = wit_trust_domain == spiffe
        standard = TrustBundle(
            trust_domain=spiffe,
            wit_keys=self.wit_keys if together else (),
            jwt_keys=self.jwt_keys,
            x509_authorities=self.x509_authorities,
            sequence=self.sequence,
            refresh_hint=self.refresh_hint,
        )
        if together:
            return TrustBundles(standard)
        other = TrustBundle(
            trust_domain=wit_trust_domain,
            wit_keys=self.wit_keys,
            sequence=self.sequence,
            refresh_hint=self.refresh_hint,
        )
        return TrustBundles(standard, other)


def _signing_key(record: KeyRecord, opened: Mapping[str, PrivateKey]) -> SigningKey:
    key = opened.get(record.kid)
    if key is None or not key.public_key.same_key(record.public_key):
        raise ConfigurationError("the private half of the active signing key is not there")
    return SigningKey(
        key=key,
        not_before=record.not_before,
        not_after=record.not_after,
        max_token_seconds=record.max_token_seconds,
        certificate=record.chain[0] if record.chain else b"",
        intermediates=tuple(each for each in record.chain if each not in record.anchors),  # a root is in the bundle
    )
