"""What has to change so that the entries are those of a file, and doing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from wimse.credentials import TrustDomain
from wimse.errors import WimseError
from wimse.workload_api.admin.documents import StoredEntry
from wimse.workload_api.entry_spec import EntrySpec

__all__ = ["Difference", "EntryActions", "Failure", "difference", "perform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What has to change.

    Attributes:
        delete: entries that are not wanted any more.
        update: entries that are to be others, each with what it is to be.
        create: entries that are not there.
        unlisted: entries that are not wanted and stay, because nobody said `prune`.
    """

    delete: tuple[StoredEntry, ...] = ()
    update: tuple[tuple[StoredEntry, EntrySpec], ...] = ()
    create: tuple[EntrySpec, ...] = ()
    unlisted: tuple[StoredEntry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.delete or self.update or self.create)

    def lines(self) -> Iterator[str]:
        """The difference for people: ``-`` is deleted, ``~`` is changed, ``+`` is created."""
        for stored in self.delete:
            yield f"- {stored.entry_id} {stored.path}"
        for stored, wanted in self.update:
            yield f"~ {stored.entry_id} {stored.path}"
            for name, (before, after) in _changed(stored.spec, wanted).items():
                yield f"    {name}: {_text(before)} -> {_text(after)}"
        for wanted in self.create:
            yield f"+ {wanted.entry_id} {wanted.path} {' '.join(wanted.selectors)}"

    def applied(self, entries: Mapping[str, EntrySpec]) -> dict[str, EntrySpec]:
        """What `entries`, by their `entry_id`, are afterwards."""
        gone = {each.entry_id for each in self.delete}
        kept = {name: each for name, each in entries.items() if name not in gone}
        wanted = [*(each for _, each in self.update), *self.create]
        return {**kept, **{each.entry_id: each for each in wanted}}


@dataclass(frozen=True, slots=True)
class Failure:
    """A change that was not made.

    Attributes:
        action: ``delete``, ``update`` or ``create``.
        entry_id: of which entry.
        error: why.
    """

    action: str
    entry_id: str
    error: WimseError


class EntryActions(Protocol):
    """Who makes the changes: `AdminClient`, for one."""

    async def create(self, entry: EntrySpec) -> StoredEntry:
        """See `AdminClient`."""
        ...

    async def update(self, entry: EntrySpec, *, revision: int) -> StoredEntry:
        """See `AdminClient`."""
        ...

    async def delete(self, entry_id: str, *, revision: int | None = None) -> None:
        """See `AdminClient`."""
        ...


def difference(
    wanted: Iterable[EntrySpec], stored: Iterable[StoredEntry], trust_domain: TrustDomain, *, prune: bool
) -> Difference:
    """Compare what is wanted with what is there; the order of selectors makes no difference.

    Args:
        wanted: entries of a file.
        stored: entries of a store.
        trust_domain: which they belong to.
        prune: whether what is not wanted is deleted.

    Raises:
        ConfigurationError: for an entry that is not acceptable.
    """
    named = {each.entry_id: each for each in wanted}
    there = {each.entry_id: each for each in stored}
    surplus = tuple(each for name, each in there.items() if name not in named)
    return Difference(
        delete=surplus if prune else (),
        update=tuple(
            (there[name], each)
            for name, each in named.items()
            if name in there and there[name].normal(trust_domain) != each.normal(trust_domain)
        ),
        create=tuple(each for name, each in named.items() if name not in there),
        unlisted=() if prune else surplus,
    )


async def perform(changes: Difference, actions: EntryActions) -> tuple[Failure, ...]:
    """Make the changes, each one by itself: deletions first, so that what they free can be taken.

    Returns:
        What was refused. The rest is done.
    """
    failures: list[Failure] = []
    for stored in changes.delete:
        try:
            await actions.delete(stored.entry_id, revision=stored.revision)
        except WimseError as error:
            failures.append(Failure("delete", stored.entry_id, error))
    for stored, wanted in changes.update:
        try:
            await actions.update(wanted, revision=stored.revision)
        except WimseError as error:
            failures.append(Failure("update", stored.entry_id, error))
    for wanted in changes.create:
        try:
            await actions.create(wanted)
        except WimseError as error:
            failures.append(Failure("create", wanted.entry_id, error))
    return tuple(failures)


def _changed(before: EntrySpec, after: EntrySpec) -> dict[str, tuple[object, object]]:
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in EntrySpec.__struct_fields__}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + " ".join(map(str, value)) + "]"
    return "none" if value in (None, "") else str(value)
