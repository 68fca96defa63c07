"""What happens in an identity server, for those who record it: the audit log and the metrics.

An event holds names, times and reasons; never a token, a key or anything else that a caller has sent as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wimse.errors import Reason
from wimse.issuer import Caller, SigningKeys

__all__ = ["CallRefused", "EntryChangeFailed", "EntryChanged", "Event", "Issued", "KeysChanged", "Observer", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A credential was signed; the event comes before the caller has it.

    Attributes:
        credential: ``wit``, ``jwt-svid`` or ``x509-svid``.
        subject: the identity.
        issued_at: seconds since 1970.
        expires_at: seconds since 1970.
        token_id: `jti` of a WIT, else empty.
        caller: who gets it.
    """

    credential: str
    subject: str
    issued_at: int
    expires_at: int
    token_id: str = ""
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A call was refused or failed.

    Attributes:
        method: the path of the call, one that this server has.
        status: of gRPC, such as ``PERMISSION_DENIED``.
        reason: why, where there is a reason of ours.
        detail: one line; names no input.
        pid: of the process that connected; 0 where the kernel did not say.
        uid: of that process, or None.
    """

    method: str
    status: str
    reason: Reason | None
    detail: str
    pid: int
    uid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChanged:
    """A registration entry is created, updated or deleted; the event comes right before it is so.

    Attributes:
        action: ``created``, ``updated`` or ``deleted``.
        entry_id: of the entry.
        path: of its identity.
        selectors: what it asks for from now on; of one that is deleted, until now.
        revision: of the entry from now on; of one that is deleted, its last one.
        source: ``admin`` for the admin socket, ``file`` for the watched file.
        pid: of the process that asked for it; of the server for the file.
        uid: of that process's user.
    """

    action: str
    entry_id: str
    path: str
    selectors: tuple[str, ...]
    revision: int
    source: str
    pid: int
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChangeFailed:
    """What `EntryChanged` has told did not become so: the store failed to keep it.

    Attributes:
        change: what was told.
    """

    change: EntryChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysChanged:
    """This server signs with other keys from now on, publishes others, or distrusts others.

    Attributes:
        sequence: of the bundle, or None.
        active: the kid that signs, by what it signs: ``wit``, ``jwt``, ``x509``.
        published: the kids of the keys for tokens that are in the bundle.
        distrusted: the kids of those that are tainted or revoked.
    """

    sequence: int | None
    active: Mapping[str, str]
    published: tuple[str, ...]
    distrusted: tuple[str, ...]

    @classmethod
    def to(cls, keys: SigningKeys) -> KeysChanged:
        """The change to these keys."""
        published = {str(each.kid) for each in (*keys.wit_keys, *keys.jwt_keys)}
        return cls(
            sequence=keys.sequence,
            active={use.value: str(each.key.kid) for use, each in sorted(keys.active.items())},
            published=tuple(sorted(published)),
            distrusted=tuple(sorted(keys.distrusted)),
        )


Event = Issued | CallRefused | EntryChanged | EntryChangeFailed | KeysChanged
Observer = Callable[[Event], None]


class Recorder(ABC):
    """An observer that keeps each event, so that nobody else need say that something was issued."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Keep it."""
