"""The signing keys of a trust domain as records, and the states that each goes through.

    prepared ──────► active ──────► old ──────► gone
    published,       published,     published,   not published,
    signs nothing    signs          signs        forgotten
                                    nothing

Rules:

1. For each kind of credential at most one key is active. Only an active key signs.
2. A key is published in every state but `revoked`; so what signs is published, always.
3. A tainted key signs no more, and stays published until the last token that it signed has ended.
4. A revoked key leaves the bundle at once. Its record stays without its private half, so that its name is not used
   again, until the last token that it signed has ended.
5. `sequence` grows with each change of what is published (SPIFFE_Trust_Domain_and_Bundle §4.1.1). It is never below
   the time of the change in seconds, so that it grows also over the restoring of an older backup.
6. A key signs no token that lives longer than `max_token_seconds`, which is settled when the key is prepared. So the
   end of its last token is known, whatever the settings of today, of this server or of another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys import PublicKey

__all__ = ["KeyRecord", "KeySet", "KeyState", "KeyUse"]

MAX_KEYS: Final = 64  # of one trust domain at one time; a bundle takes 256


class KeyUse(StrEnum):
    """What a key signs: one kind of credential."""

    WIT = "wit"
    JWT_SVID = "jwt"
    X509_SVID = "x509"


class KeyState(StrEnum):
    """Where a key is in its life."""

    PREPARED = "prepared"
    ACTIVE = "active"
    OLD = "old"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One signing key, without its private half in the clear. All times are seconds since 1970.

    Attributes:
        kid: its identifier, the RFC 7638 thumbprint.
        use: what it signs.
        state: where it is in its life.
        public_key: its public half, with `kid`.
        sealed: its private half as `KeySealer` wrote it; empty when it is revoked.
        chain: for X.509, the CA certificate of this key, then those above it except the root; DER.
        anchors: for X.509, what the bundle publishes for it; DER.
        not_before: when it begins.
        not_after: when it ends; nothing that it signs outlives it.
        max_token_seconds: longest life of what it signs.
        prepared_at: since when it is published.
        due_at: when it is to be replaced; for an active key.
        retired_at: since when it signs no more; for an old or revoked key.
        tainted: whether it is suspected.
    """

    kid: str
    use: KeyUse
    state: KeyState
    public_key: PublicKey
    sealed: bytes = field(repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    anchors: tuple[bytes, ...] = field(default=(), repr=False)
    not_before: int
    not_after: int
    max_token_seconds: int
    prepared_at: int
    due_at: int | None = None
    retired_at: int | None = None
    tainted: bool = False

    @property
    def published(self) -> bool:
        """Whether the bundle has it."""
        return self.state is not KeyState.REVOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """All signing keys of a trust domain at one moment.

    Attributes:
        keys: in the order in which they were prepared.
        sequence: of what is published; 0 before anything was.
        changed_at: when the set last changed, in seconds since 1970.

    Raises on construction:
        ConfigurationError: for two keys of one kid or two active keys of one use, an active key that is tainted, or
            more than 64 keys.
    """

    keys: tuple[KeyRecord, ...] = ()
    sequence: int = 0
    changed_at: int = 0

    def __post_init__(self) -> None:
        if len(self.keys) > MAX_KEYS:
            raise ConfigurationError(f"the trust domain has more than {MAX_KEYS} signing keys")
        if len({each.kid for each in self.keys}) != len(self.keys):
            raise ConfigurationError("two signing keys have one kid")
        active = [each for each in self.keys if each.state is KeyState.ACTIVE]
        if len({each.use for each in active}) != len(active):
            raise ConfigurationError("two signing keys of one use are active")
        if any(each.tainted for each in active):
            raise ConfigurationError("a tainted signing key is active")

    def active(self, use: KeyUse) -> KeyRecord | None:
        """The key that signs `use`, or None."""
        return next((each for each in self.keys if each.use is use and each.state is KeyState.ACTIVE), None)

    def prepared(self, use: KeyUse) -> KeyRecord | None:
        """The key of `use` that comes next, or None."""
        return next((each for each in self.keys if each.use is use and each.state is KeyState.PREPARED), None)

    def published(self, use: KeyUse | None = None) -> tuple[KeyRecord, ...]:
        """What the bundle has, of one use or of all."""
        return tuple(each for each in self.keys if each.published and use in (None, each.use))

    def key(self, kid: str) -> KeyRecord:
        """The key of that name.

        Raises:
            Refused: `key_unknown`.
        """
        for each in self.keys:
            if each.kid == kid:
                return each
        raise Refused(Reason.KEY_UNKNOWN, "no signing key has this kid")

    def replaced(self, changed: Iterable[KeyRecord], *, now: int, without: Iterable[str] = ()) -> KeySet:
        """The set after a change: records of known kids are replaced, others come at the end.

        Args:
            changed: the new state of some keys.
            now: seconds since 1970.
            without: kids of keys that are gone.
        """
        by_kid = {each.kid: each for each in self.keys}
        by_kid.update({each.kid: each for each in changed})
        for kid in without:
            del by_kid[kid]
        after = KeySet(keys=tuple(by_kid.values()), sequence=self.sequence, changed_at=max(self.changed_at, now))
        if _contents(after) == _contents(self):
            return after
        return replace(after, sequence=max(self.sequence + 1, now))


def _contents(keys: KeySet) -> list[tuple[str, tuple[bytes, ...]]]:
    return [(each.kid, each.anchors) for each in keys.published()]
