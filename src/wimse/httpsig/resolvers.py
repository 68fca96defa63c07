"""Finding the key of a signature among keys that are at hand: configured ones, or a JWK Set.

No key is ever tried after another: a signature names one key, or there is only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.needs import NeedKey
from wimse.keys import PublicKey, VerificationKey, parse_json_object
from wimse.keys.algorithms import algorithm_of_http_name

__all__ = ["JWKSet", "StaticKeys"]

DEFAULT_MAX_BYTES: Final = 1_048_576
DEFAULT_MAX_KEYS: Final = 256


class StaticKeys:
    """A resolver of configured keys: found by `keyid`, or the only one when the signature names none.

    The only key, when it has no identifier, verifies whatever `keyid` a signature has: it is "known through external
    means" (RFC 9421 §3.2 step 5), and what cannot be compared cannot differ.
    """

    def __init__(self, keys: Mapping[str, VerificationKey] | Iterable[VerificationKey]) -> None:
        """Hold `keys`.

        Args:
            keys: by keyid; or one after the other, each then found by its own `kid`.

        Raises:
            ConfigurationError: for no key at all, what is no key to verify with, two keys of one `kid`, or a key
                without `kid` among several.
        """
        named: list[tuple[str | None, VerificationKey]] = (
            [*keys.items()] if isinstance(keys, Mapping) else [(getattr(each, "kid", None), each) for each in keys]
        )
        if not named:
            raise ConfigurationError("a resolver without keys verifies nothing")
        if not all(isinstance(key, VerificationKey) for _, key in named):
            raise ConfigurationError("what is configured is not a key to verify with")
        self._keys = dict(named)
        if len(self._keys) != len(named):
            raise ConfigurationError("two of the keys have the same kid")
        if None in self._keys and len(named) > 1:
            raise ConfigurationError("one of several keys has no kid, so that nothing can name it")

    def __call__(self, need: NeedKey) -> VerificationKey:
        """Find the key.

        Raises:
            Refused: `key_unknown`, or `key_id_missing` when the signature names none of several.
        """
        if len(self._keys) == 1 and (need.keyid is None or None in self._keys):
            return next(iter(self._keys.values()))
        if need.keyid is None:
            raise Refused(Reason.KEY_ID_MISSING, "the signature has no keyid, and there is more than one key")
        if need.keyid not in self._keys:
            raise Refused(Reason.KEY_UNKNOWN, "no key has the kid that the signature's keyid names")
        return self._keys[need.keyid]


class JWKSet:
    """The public keys of a JWK Set (RFC 7517 §5) as a resolver: `keyid` is compared with `kid`.

    Attributes:
        keys: those that can verify signatures, in the order of the set.
    """

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        """Hold `keys`; there may be none, and then every signature is refused."""
        self.keys = tuple(keys)

    @classmethod
    def parse(cls, data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES, max_keys: int = DEFAULT_MAX_KEYS) -> JWKSet:
        """Read a JWK Set.

        Keys that cannot be used are left out, as RFC 7517 §5 advises: of an unknown type or curve, malformed or weak,
        or not for signatures by `use` or `key_ops`. A set with a private or secret key is refused as a whole: whoever
        publishes one has lost it, and may be about to publish the next.

        Args:
            data: the JSON document.
            max_bytes: largest document, in bytes. Default 1 MiB.
            max_keys: most keys, whether they can be used or not. Default 256.

        Raises:
            Refused: `key_private`; `key_malformed` when there is no list of objects under `keys`, or too many;
                `json_malformed`, `json_duplicate_member`, `json_too_deep`, `document_too_large`.
        """
        entries = parse_json_object(data, "the JWK Set", max_bytes=max_bytes).get("keys")
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise Refused(Reason.KEY_MALFORMED, "the JWK Set has no list of keys")
        if len(entries) > max_keys:
            raise Refused(Reason.KEY_MALFORMED, f"the JWK Set has more than {max_keys} keys")
        keys = [_usable(each) for each in entries]
        return cls(key for key in keys if key is not None)

    def __call__(self, need: NeedKey) -> PublicKey:
        """Find the key; of several with one `kid` the one for the parameter `alg`.

        Raises:
            Refused: `key_unknown`, or `key_id_missing` when the signature names none and there is not exactly one.
        """
        if need.keyid is None:
            if len(self.keys) != 1:
                raise Refused(Reason.KEY_ID_MISSING, "the signature has no keyid, and there is not exactly one key")
            return self.keys[0]
        named = [key for key in self.keys if key.kid == need.keyid]
        if len(named) > 1:
            # RFC 7517 §4.5: keys of different types may share a kid, as "equivalent alternatives".
            algorithm = algorithm_of_http_name(need.signature.input.text("alg"))
            named = [key for key in named if key.algorithm is algorithm]
        if len(named) != 1:
            raise Refused(Reason.KEY_UNKNOWN, "not exactly one key has the kid that the signature's keyid names")
        return named[0]


def _usable(jwk: Mapping[str, object]) -> PublicKey | None:
    operations = jwk.get("key_ops")
    for_signatures = jwk.get("use", "sig") == "sig" and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )
    try:
        key = PublicKey.from_jwk(jwk)  # also of a key for something else: it must not be private either
    except Refused as refused:
        if refused.reason is Reason.KEY_PRIVATE:
            raise
        return None
    return key if for_signatures else None
