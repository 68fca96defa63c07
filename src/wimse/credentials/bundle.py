"""Trust bundles: the keys that may speak for one trust domain, and for no other.

Rules (SPIFFE Trust Domain and Bundle §4, WIT-SVID §6, JWT-SVID §6, X509-SVID §6):

1. A bundle belongs to one trust domain, scheme included. Bundles are never merged (Federation §4.2).
2. A key speaks for the one kind of credential that its `use` says. In a `spiffe` bundle a JWK without `use`, or with an
   unknown one, is ignored (§4.2.2). A plain JWK Set of a `wimse` domain may leave `use` out, or say `sig`.
3. `kid` is unique within the bundle; two keys under one `kid` make the whole bundle unacceptable.
4. A private key in a bundle makes the whole bundle unacceptable: it is no secret any more.
5. A bundle without keys is a bundle: it distrusts every credential (§4.1.3).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from wimse.credentials.identifier import TrustDomain
from wimse.errors import Reason, Refused
from wimse.keys import RS256, PublicKey, b64url_encode, parse_json_object
from wimse.keys.public import PRIVATE_MEMBERS

__all__ = ["JWT_SVID", "WIT_SVID", "X509_SVID", "TrustBundle", "TrustBundles"]

WIT_SVID: Final = "wit-svid"
JWT_SVID: Final = "jwt-svid"
X509_SVID: Final = "x509-svid"

MAX_BUNDLE_BYTES: Final = 1_048_576
MAX_BUNDLE_KEYS: Final = 256

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # RFC 7518 §6.2.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundle:
    """The trust anchors of one trust domain.

    Attributes:
        trust_domain: whose they are.
        wit_keys: keys that sign WITs.
        jwt_keys: keys that sign JWT-SVIDs.
        x509_authorities: CA certificates, DER.
        sequence: `spiffe_sequence`, or None.
        refresh_hint: `spiffe_refresh_hint` in seconds, or None.
    """

    trust_domain: TrustDomain
    wit_keys: tuple[PublicKey, ...] = ()
    jwt_keys: tuple[PublicKey, ...] = ()
    x509_authorities: tuple[bytes, ...] = field(default=(), repr=False)
    sequence: int | None = None
    refresh_hint: int | None = None
    _texts: dict[tuple[str, ...], bytes] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        kids = [key.kid for key in (*self.wit_keys, *self.jwt_keys) if key.kid is not None]
        if len(kids) != len(set(kids)):
            raise Refused(Reason.BUNDLE_MALFORMED, "the bundle has two keys with one kid")

    @classmethod
    def parse(cls, trust_domain: TrustDomain, data: bytes, *, default_use: str | None = None) -> TrustBundle:
        """Read a SPIFFE bundle or, for a `wimse` domain, a plain JWK Set.

        Args:
            trust_domain: whose bundle it is; it does not say so itself.
            data: the JSON document.
            default_use: what a key without `use` is for, where the document's source implies it (the answers
                of FetchJWTBundles hold JWT-SVID keys only).

        Raises:
            Refused: `bundle_malformed`, `key_private`, or the reason of a key that is of a known type and
                malformed; `json_…` and `document_too_large` for the document.
        """
        return cls.from_jwks(
            trust_domain,
            parse_json_object(data, "the bundle", max_bytes=MAX_BUNDLE_BYTES),
            default_use=default_use,
        )

    @classmethod
    def from_jwks(
        cls, trust_domain: TrustDomain, document: Mapping[str, object], *, default_use: str | None = None
    ) -> TrustBundle:
        """Take a bundle from a parsed JWK Set; arguments and errors as `parse`."""
        entries = document.get("keys")
        if not isinstance(entries, list):
            raise Refused(Reason.BUNDLE_MALFORMED, "the bundle has no list of keys")
        if len(entries) > MAX_BUNDLE_KEYS:
            raise Refused(Reason.BUNDLE_MALFORMED, f"the bundle has more than {MAX_BUNDLE_KEYS} keys")
        if default_use is None and trust_domain.scheme == "wimse":
            default_use = WIT_SVID
        keys: dict[str, list[PublicKey]] = {WIT_SVID: [], JWT_SVID: []}
        authorities: list[bytes] = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise Refused(Reason.BUNDLE_MALFORMED, "the bundle has a key that is not an object")
            use = _use_of(entry, default_use, plain=trust_domain.scheme == "wimse")
            if use == X509_SVID:
                authorities.extend(_certificates(entry))
            elif use in keys:
                keys[use].extend(_usable_key(entry, trust_domain))
        return cls(
            trust_domain=trust_domain,
            wit_keys=tuple(keys[WIT_SVID]),
            jwt_keys=tuple(keys[JWT_SVID]),
            x509_authorities=tuple(authorities),
            sequence=_whole_number(document, "spiffe_sequence"),
            refresh_hint=_whole_number(document, "spiffe_refresh_hint"),
        )

    def wit_key(self, kid: str | None) -> PublicKey:
        """The key that signs WITs under `kid`; without `kid` the only one there is (workload-creds §3).

        Raises:
            Refused: `key_unknown`, or `key_id_missing` when there is no `kid` and not exactly one key.
        """
        return _select(self.wit_keys, kid)

    def jwt_key(self, kid: str | None) -> PublicKey:
        """The key that signs JWT-SVIDs under `kid`; as `wit_key`."""
        return _select(self.jwt_keys, kid)

    def to_jwks(self, *uses: str) -> dict[str, object]:
        """Write the bundle as a JWK Set.

        Args:
            uses: which kinds of key to write; all of them when none is named.
        """
        wanted = uses or (X509_SVID, JWT_SVID, WIT_SVID)
        keys: list[dict[str, object]] = []
        if X509_SVID in wanted:
            keys.extend(_certificate_jwk(der) for der in self.x509_authorities)
        for use, members in ((JWT_SVID, self.jwt_keys), (WIT_SVID, self.wit_keys)):
            if use in wanted:
                keys.extend({**key.to_jwk(use=use)} for key in members)
        document: dict[str, object] = {"keys": keys}
        if self.sequence is not None:
            document["spiffe_sequence"] = self.sequence
        if self.refresh_hint is not None:
            document["spiffe_refresh_hint"] = self.refresh_hint
        return document

    def to_json(self, *uses: str) -> bytes:
        """Write the bundle as the bytes of a JWK Set; arguments as `to_jwks`."""
        text = self._texts.get(uses)
        if text is None:  # once: thousands of streams are given the same bundle
            text = json.dumps(self.to_jwks(*uses), separators=(",", ":")).encode("utf-8")
            self._texts[uses] = text
        return text


class TrustBundles(Mapping[TrustDomain, TrustBundle]):
    """The bundles of several trust domains, each found by its own (scheme, name)."""

    def __init__(self, *bundles: TrustBundle) -> None:
        """Hold `bundles`.

        Raises:
            Refused: `bundle_malformed` when two are for one trust domain.
        """
        self._by_domain = {bundle.trust_domain: bundle for bundle in bundles}
        if len(self._by_domain) != len(bundles):
            raise Refused(Reason.BUNDLE_MALFORMED, "two bundles are for one trust domain")

    def __getitem__(self, trust_domain: TrustDomain) -> TrustBundle:
        return self._by_domain[trust_domain]

    def find(self, trust_domain: TrustDomain) -> TrustBundle | None:
        """The bundle of a trust domain, if there is one; as `get`, for each message, in half of the time."""
        return self._by_domain.get(trust_domain)

    def __iter__(self) -> Iterator[TrustDomain]:
        return iter(self._by_domain)

    def __len__(self) -> int:
        return len(self._by_domain)


def _select(keys: tuple[PublicKey, ...], kid: str | None) -> PublicKey:
    if kid is None:
        # No trial of one key after the other: without a name the policy must be unambiguous.
        if len(keys) != 1:
            raise Refused(
                Reason.KEY_ID_MISSING,
                "the token names no key, and the trust domain does not have exactly one",
            )
        return keys[0]
    for key in keys:
        if key.kid == kid:
            return key
    raise Refused(Reason.KEY_UNKNOWN, "the token's key is not in the bundle of its trust domain")


def _use_of(entry: Mapping[str, object], default_use: str | None, *, plain: bool) -> str | None:
    if not PRIVATE_MEMBERS.isdisjoint(entry):
        raise Refused(Reason.KEY_PRIVATE, "the bundle publishes a private key")
    use = entry.get("use", default_use)
    if plain and use == "sig":
        return WIT_SVID
    return use if isinstance(use, str) else None


def _usable_key(entry: Mapping[str, object], trust_domain: TrustDomain) -> list[PublicKey]:
    try:
        # Many a bundle gives an RSA key without alg (RFC 7517 §4.4 lets it). One key has one algorithm here, and RS256
        # is what SPIRE signs with such a key; another one has to be said.
        unsaid = entry.get("kty") == "RSA" and "alg" not in entry
        key = PublicKey.from_jwk(entry, algorithm=RS256 if unsaid else None)
    except Refused as refused:
        # §4.1.3: unknown key types are ignored, so that a domain can introduce new ones; and so are new algorithms.
        if refused.reason in (Reason.KEY_UNSUPPORTED, Reason.ALGORITHM_NOT_ALLOWED):
            return []
        raise
    if key.kid is None and trust_domain.scheme == "spiffe":
        raise Refused(Reason.BUNDLE_MALFORMED, "a key of the bundle has no kid")  # WIT-SVID §6.1, JWT-SVID §6.1
    return [key]


def _certificates(entry: Mapping[str, object]) -> list[bytes]:
    # X509-SVID §6.2: without x5c the entry is ignored; of several certificates only the first one counts.
    chain = entry.get("x5c")
    if not isinstance(chain, list) or not chain:
        return []
    try:
        der = base64.b64decode(chain[0] if isinstance(chain[0], str) else "-", validate=True)
        _public_members(der)  # what cannot be written again is not taken in
    except ValueError:  # among them binascii.Error, and text outside ASCII
        raise Refused(Reason.BUNDLE_MALFORMED, "an x5c of the bundle is not a certificate") from None
    except UnsupportedAlgorithm:  # an unknown type of key is ignored, as among the others
        return []
    return [der]


def _certificate_jwk(der: bytes) -> dict[str, object]:
    return {**_public_members(der), "use": X509_SVID, "x5c": [base64.b64encode(der).decode("ascii")]}


def _public_members(der: bytes) -> dict[str, str]:
    # An authority's key need not be one that we verify with: TLS stacks do, and know more types and curves.
    from cryptography import x509  # noqa: PLC0415 - only bundles with certificates need it

    try:
        native = x509.load_der_x509_certificate(der).public_key()
    except x509.InvalidVersion as error:  # the one error for malformed certificates that is not a ValueError
        raise ValueError("the certificate's version does not exist") from error
    if isinstance(native, rsa.RSAPublicKey):
        modulus, exponent = native.public_numbers().n, native.public_numbers().e
        return {"kty": "RSA", "n": _base64url_uint(modulus), "e": _base64url_uint(exponent)}
    if isinstance(native, ec.EllipticCurvePublicKey) and native.curve.name in _CURVES:
        size, point = (native.key_size + 7) // 8, native.public_numbers()
        x, y = (b64url_encode(number.to_bytes(size, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": _CURVES[native.curve.name], "x": x, "y": y}
    if isinstance(native, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        curve = "Ed25519" if isinstance(native, ed25519.Ed25519PublicKey) else "Ed448"
        return {"kty": "OKP", "crv": curve, "x": b64url_encode(native.public_bytes_raw())}
    raise UnsupportedAlgorithm("the certificate's key has no JWK here")


def _base64url_uint(number: int) -> str:
    return b64url_encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))  # RFC 7518 §2


def _whole_number(document: Mapping[str, object], name: str) -> int | None:
    value = document.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise Refused(Reason.BUNDLE_MALFORMED, f"the bundle's {name} is not a whole number")
    return value if isinstance(value, int) else None
