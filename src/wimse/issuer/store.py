"""What an issuer needs of its store. `wimse.stores.issuer` has it on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from wimse.issuer.keyset import KeySet
from wimse.issuer.registration import Registration

__all__ = ["IssuerState", "IssuerStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerState:
    """All that is stored of a trust domain, of one moment.

    Attributes:
        revision: grows with every change.
        keys: the signing keys.
        entries: the registration entries, in the order in which they were created.
        clock_at: the newest time that any server has seen, in seconds since 1970.
    """

    revision: int
    keys: KeySet
    entries: tuple[Registration, ...] = field(repr=False)
    clock_at: int


class IssuerStore(Protocol):
    """Keeps keys and entries of one trust domain, for one server or several.

    Every change is one transaction, and makes `revision` grow. All methods block, and may be called from several
    threads. They raise `Unavailable` (`store_unavailable`) when the store cannot be reached or written.
    """

    def revision(self) -> int:
        """The number of the newest change: cheap, to ask often."""
        ...

    def load(self) -> IssuerState:
        """Everything, of one moment."""
        ...

    def replace_keys(self, before: KeySet, after: KeySet, *, now: int) -> int:
        """Change the signing keys, if nobody else has since they were read.

        Args:
            before: as they were read.
            after: as they are to be.
            now: seconds since 1970.

        Returns:
            The new revision.

        Raises:
            Unavailable: `store_conflict` when they are not as `before` any more: load again.
        """
        ...

    def witness(self, now: int) -> None:
        """Remember that it is at least `now`, so that a later start notices a clock that has gone back."""
        ...

    def create_entry(
        self, record: Registration, *, now: int, record_it: Callable[[Registration], None] | None = None
    ) -> Registration:
        """Register an entry.

        Args:
            record: the entry.
            now: seconds since 1970.
            record_it: called with the entry as it will be when all has been checked, right before it is so; what it
                raises is raised, and nothing is changed.

        Raises:
            ConfigurationError, Refused: see `check_registration` and `check_successor`; `entry_conflict` as well for
                an `entry_id` that is taken, or above the limit of entries.
        """
        ...

    def update_entry(
        self, record: Registration, *, revision: int, now: int, record_it: Callable[[Registration], None] | None = None
    ) -> Registration:
        """Change an entry that is still at `revision`; arguments as `create_entry`.

        Raises:
            ConfigurationError, Refused: as `create_entry`; `entry_unknown`; `entry_conflict` when it has another
                revision.
        """
        ...

    def delete_entry(
        self,
        entry_id: str,
        *,
        revision: int | None,
        now: int,
        record_it: Callable[[Registration], None] | None = None,
    ) -> None:
        """Delete an entry; its identity is held back until the last credential of it has ended.

        Args:
            entry_id: which.
            revision: that it still has; None for whatever it has.
            now: seconds since 1970.
            record_it: as in `create_entry`, called with the entry as it was.

        Raises:
            Refused: `entry_unknown`; `entry_conflict` when it has another revision.
        """
        ...
