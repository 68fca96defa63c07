"""Entries declared in a TOML file: read with line numbers, compared with the store, watched.

    prune = false                        # true: what is not in the file is deleted

    [[entries]]
    entry_id = "payments"
    path = "/payments"
    selectors = ["unix:user:payments"]

A template entry gives every caller without another identity one that is made of its executable, group, process and
user, as minispire does. It is for development.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, WimseError
from wimse.issuer import IssuerStore
from wimse.issuer.entries import MAX_ENTRIES
from wimse.workload_api.admin.changes import EntryChanges, Who
from wimse.workload_api.admin.difference import Difference, Failure, difference, perform
from wimse.workload_api.admin.documents import StoredEntry
from wimse.workload_api.admin.settings import AdminSettings
from wimse.workload_api.config_lines import line_of
from wimse.workload_api.entry_spec import TEMPLATE_PATH, EntrySpec, entry_problems
from wimse.workload_api.events import Observer
from wimse.workload_api.toml_documents import decode_toml, read_bounded

__all__ = ["DeclaredEntries", "EntriesFile", "parse_entries", "read_entries"]

log = logging.getLogger("wimse.workload_api")

MAX_ENTRIES_FILE_BYTES: Final = 8_388_608


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prune: bool = False
    entries: tuple[EntrySpec, ...] = ()


class DeclaredEntries(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says.

    Attributes:
        entries: in order, without the template.
        prune: whether what is not in it is deleted.
        template: whether callers without an entry have an identity, in development.
    """

    entries: tuple[EntrySpec, ...]
    prune: bool
    template: bool


def parse_entries(data: bytes, trust_domain: TrustDomain, name: str = "the file of entries") -> DeclaredEntries:
    """Read a file's content.

    Args:
        data: the content.
        trust_domain: which the entries belong to.
        name: of the file, for messages.

    Raises:
        ConfigurationError: for the first thing that is wrong, with its line.
    """
    file, text, wrong = decode_toml(data, _File)
    if file is not None:
        wrong = [(line_of(text, where), why) for where, why in _problems(file, trust_domain)][:1]
    if file is None or wrong:
        line, why = wrong[0]
        where = f", line {line}" if line else ""
        raise ConfigurationError(f"{name}{where}: {why}")
    ordinary = tuple(each for each in file.entries if each.path != TEMPLATE_PATH)
    return DeclaredEntries(entries=ordinary, prune=file.prune, template=len(ordinary) < len(file.entries))


def read_entries(path: str | os.PathLike[str], trust_domain: TrustDomain) -> DeclaredEntries:
    """Read a file.

    Raises:
        ConfigurationError: when it cannot be read, is larger than 8 MiB, or as `parse_entries`.
    """
    return parse_entries(read_bounded(Path(path), MAX_ENTRIES_FILE_BYTES)[0], trust_domain, os.fspath(path))


def _problems(file: _File, trust_domain: TrustDomain) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if len(file.entries) > MAX_ENTRIES:
        yield ("entries", MAX_ENTRIES), f"there are more than {MAX_ENTRIES} entries"
        return
    for place, why in entry_problems(file.entries, trust_domain, templates=True):
        yield ("entries", place), why


def _check_writers(path: Path) -> None:
    """Refuse a file that others than root and this user may write: it says who gets which identity."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"others may write to {path}: let it belong to root, and chmod go-w it")


class EntriesFile:
    """Keeps the entries of a store as a file says; used as ``async with`` beside an `IdentityServer`.

    A file that is malformed, missing or open to others changes nothing: the last good state stays, and the log says
    why, with the line. What the store refuses is tried again; the rest is done.
    """

    def __init__(
        self,
        store: IssuerStore,
        path: str | os.PathLike[str],
        trust_domain: TrustDomain,
        settings: AdminSettings | None = None,
        *,
        development: bool = False,
        observers: Sequence[Observer] = (),
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            store: keeps the entries.
            path: of the file.
            trust_domain: which the entries belong to.
            settings: how often to look.
            development: whether a template entry is permitted.
            observers: called with each change.
            on_change: called after each change, also of `template`, in the event loop.
        """
        self._path = Path(path)
        self._settings = settings or AdminSettings()
        self._development = development
        self._on_change = on_change
        self._changes = EntryChanges(store, trust_domain, observers=observers, on_change=on_change)
        self._actions = _FileActions(self._changes)
        self._good: DeclaredEntries | None = None
        self._content: bytes | None = None
        self._revision = -1
        self._retry_at = 0.0
        self._said: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self.problem: str = ""

    @property
    def template(self) -> bool:
        """Whether callers without an entry have an identity."""
        return self._good is not None and self._good.template

    async def __aenter__(self) -> Self:
        """Take the file over once, then watch it."""
        await self._look()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching, and wait for a change that has begun."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._changes.settled(self._settings.stop_timeout.total_seconds())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_interval.total_seconds())
            await self._look()

    async def _look(self) -> None:
        try:
            fresh = await asyncio.to_thread(self._read_if_changed)
            self.problem = ""
        except ConfigurationError as error:
            fresh = None
            if error.detail != self.problem:
                log.error("the entries stay as they were: %s", error.detail)  # noqa: TRY400 - one sentence says it
            self.problem = error.detail
        try:
            await self._take_over(fresh)
        except WimseError as error:
            log.warning("the entries of %s wait: %s", self._path, error.detail)
            self._retry_at = 0.0
            self._revision = -1

    def _read_if_changed(self) -> DeclaredEntries | None:
        _check_writers(self._path)
        data, _ = read_bounded(self._path, MAX_ENTRIES_FILE_BYTES)
        if data == self._content:
            if self.problem:  # the same content is as wrong as before
                return self._checked(data)
            return None
        declared = self._checked(data)
        self._content = data
        return declared

    def _checked(self, data: bytes) -> DeclaredEntries:
        declared = parse_entries(data, self._changes.trust_domain, os.fspath(self._path))
        if declared.template and not self._development:
            raise ConfigurationError(f"{self._path}: a template entry is for development, and this server is not")
        return declared

    async def _take_over(self, fresh: DeclaredEntries | None) -> None:
        if fresh is not None:
            self._take_template(fresh)
        if self._good is None:
            return
        due = bool(self._said) and time.monotonic() >= self._retry_at
        if fresh is None and not due and await self._changes.revision() == self._revision:
            return
        found = await self._difference(self._good)
        failures = await perform(found, self._actions)
        self._revision = await self._changes.revision()
        self._retry_at = time.monotonic() + self._settings.retry_interval.total_seconds()
        if found:
            log.info(
                "entries of %s: %d created, %d updated, %d deleted, %d refused",
                self._path,
                len(found.create),
                len(found.update),
                len(found.delete),
                len(failures),
            )
        self._say(failures)

    def _take_template(self, fresh: DeclaredEntries) -> None:
        before, self._good = self.template, fresh
        if fresh.template and not before:
            log.warning(
                "EVERY PROCESS OF THIS MACHINE HAS AN IDENTITY, by the template %s: for development only", TEMPLATE_PATH
            )
        if fresh.template != before and self._on_change is not None:
            self._on_change()

    async def _difference(self, wanted: DeclaredEntries) -> Difference:
        _, stored = await self._changes.all()
        return await asyncio.to_thread(
            difference, wanted.entries, stored, self._changes.trust_domain, prune=wanted.prune
        )

    def _say(self, failures: Sequence[Failure]) -> None:
        said = tuple(f"{each.action} {each.entry_id}: {each.error}" for each in failures)
        if said != self._said:
            for line in said:
                log.error("the file of entries: cannot %s", line)
        self._said = said


class _FileActions:
    """Changes in the name of the file."""

    def __init__(self, changes: EntryChanges) -> None:
        self._changes = changes
        self._who = Who(os.getpid(), os.geteuid(), "file")

    async def create(self, entry: EntrySpec) -> StoredEntry:
        return await self._changes.create(entry, self._who)

    async def update(self, entry: EntrySpec, *, revision: int) -> StoredEntry:
        return await self._changes.update(entry, revision, self._who)

    async def delete(self, entry_id: str, *, revision: int | None = None) -> None:
        await self._changes.delete(entry_id, revision, self._who)
