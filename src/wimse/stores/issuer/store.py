"""The issuer's store on SQLAlchemy Core: one row of state, the keys, the entries, the identities that are held back.

Rules:

1. Every change is one transaction that only one server has at a time, and raises `revision` by one.
2. What depends on other rows is checked inside that transaction: two servers cannot both find an identity free. The
   unique indexes stand behind it.
3. Values go into statements as parameters, never as text.
4. Private keys pass as they are sealed; this room cannot open them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, Engine, and_, delete, func, insert, or_, select, update

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import IssuerSettings, IssuerState, KeySet, Registration
from wimse.issuer.registration import check_registration, check_successor, token_horizon
from wimse.stores.issuer import schema
from wimse.stores.issuer.database import open_postgresql, open_sqlite, others_connected, reading, writing
from wimse.stores.issuer.documents import (
    read_entry,
    read_key,
    read_selectors,
    write_entry,
    write_key,
    write_selectors,
)
from wimse.stores.issuer.migrations import migrate

__all__ = ["SQLIssuerStore", "StoreSettings"]

RecordIt = Callable[[Registration], None]
_CLOCK_STEP: Final = 10  # seconds: how far the clock moves before it is written again


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Bounds of the issuer's store.

    Attributes:
        busy_timeout: how long a transaction waits for another one. Default 5 s.
        connect_timeout: how long it takes to connect to PostgreSQL at most. Default 5 s; from 2 s on.
        pool_size: connections to PostgreSQL at most. Default 4.
        max_entries: registration entries at most. Default 10,000.
        verifier_leeway: how much longer than it lives a credential is taken, by servers and verifiers that have not
            heard yet; for so long an identity is held back. Default 3 min.

    Raises on construction:
        ConfigurationError: for a value that is not positive.
    """

    busy_timeout: timedelta = timedelta(seconds=5)
    connect_timeout: timedelta = timedelta(seconds=5)
    pool_size: int = 4
    max_entries: int = 10_000
    verifier_leeway: timedelta = timedelta(minutes=3)

    def __post_init__(self) -> None:
        zero = timedelta(0)
        if self.busy_timeout <= zero or self.connect_timeout < timedelta(seconds=2) or self.verifier_leeway < zero:
            raise ConfigurationError("busy_timeout and verifier_leeway are positive, connect_timeout is 2 s or more")
        if self.pool_size < 1 or self.max_entries < 1:
            raise ConfigurationError("pool_size and max_entries must be at least 1")


@dataclass(slots=True, eq=False)
class SQLIssuerStore:
    """Keeps keys and entries of one trust domain; see `wimse.issuer.IssuerStore`.

    Attributes:
        trust_domain: its name.
        issuer: lifetimes, which bound those of entries.
        settings: bounds of the store.
    """

    _engine: Engine = field(repr=False)
    trust_domain: str
    issuer: IssuerSettings
    settings: StoreSettings

    @classmethod
    def sqlite(
        cls,
        path: Path,
        trust_domain: str,
        *,
        now: int,
        issuer: IssuerSettings | None = None,
        settings: StoreSettings | None = None,
    ) -> Self:
        """Open a SQLite file, or make it.

        Args:
            path: of the file; its directory is there, and only this user and root may write to it.
            trust_domain: its name; a file belongs to one.
            now: seconds since 1970.
            issuer: lifetimes.
            settings: bounds.

        Raises:
            ConfigurationError: when the file is open to others, of another trust domain or of a newer version.
            Unavailable: `store_unavailable`.
        """
        settings = settings or StoreSettings()
        engine = open_sqlite(path, busy_timeout=settings.busy_timeout.total_seconds())
        return cls._opened(engine, trust_domain, now, issuer, settings)

    @classmethod
    def postgresql(
        cls,
        url: str,
        trust_domain: str,
        *,
        now: int,
        issuer: IssuerSettings | None = None,
        settings: StoreSettings | None = None,
    ) -> Self:
        """Open a PostgreSQL database, which several servers may share; arguments and errors as `sqlite`.

        Args:
            url: ``postgresql://user@host/database``; never logged.
            trust_domain: its name; a database belongs to one.
            now: seconds since 1970.
            issuer: lifetimes; the same on every server.
            settings: bounds.
        """
        settings = settings or StoreSettings()
        engine = open_postgresql(
            url,
            connect_timeout=int(settings.connect_timeout.total_seconds()),
            statement_timeout_ms=int(settings.busy_timeout.total_seconds() * 1000),
            pool_size=settings.pool_size,
        )
        return cls._opened(engine, trust_domain, now, issuer, settings)

    @classmethod
    def _opened(
        cls, engine: Engine, trust_domain: str, now: int, issuer: IssuerSettings | None, settings: StoreSettings
    ) -> Self:
        try:
            TrustDomain("spiffe", trust_domain)
            migrate(engine, trust_domain, now=now)
        except Refused as refused:
            engine.dispose()
            raise ConfigurationError(refused.detail) from None
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, trust_domain, issuer or IssuerSettings(), settings)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def in_use_elsewhere(self) -> bool:
        """Whether other processes have this PostgreSQL database open; of SQLite see `wimse.stores.issuer.using`.

        Raises:
            Unavailable: `store_unavailable`.
        """
        return others_connected(self._engine)

    def revision(self) -> int:
        """See `IssuerStore`."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(schema.state.c.revision)).scalar_one())

    def load(self) -> IssuerState:
        """See `IssuerStore`."""
        with reading(self._engine) as connection:
            return _load(connection)

    def replace_keys(self, before: KeySet, after: KeySet, *, now: int) -> int:
        """See `IssuerStore`."""
        with writing(self._engine) as connection:
            # Whole records are compared, so nothing that changed since is overwritten: not even a new sealing.
            if _load_keys(connection) != before:
                raise Unavailable(Reason.STORE_CONFLICT, "another server has changed the signing keys")
            table = schema.signing_keys
            # All rows anew, in one transaction: at no moment do two active keys meet the index.
            connection.execute(delete(table))
            rows = [
                {
                    "kid": each.kid,
                    "place": place,
                    "use": each.use.value,
                    "state": each.state.value,
                    "document": write_key(each),
                    "sealed": each.sealed,
                }
                for place, each in enumerate(after.keys)
            ]
            if rows:
                connection.execute(insert(table), rows)
            connection.execute(update(schema.state).values(sequence=after.sequence, changed_at=after.changed_at))
            return _advance(connection, now)

    def witness(self, now: int) -> None:
        """See `IssuerStore`."""
        with reading(self._engine) as connection:
            known = int(connection.execute(select(schema.state.c.clock_at)).scalar_one())
        if now >= known + _CLOCK_STEP:
            with writing(self._engine) as connection:
                table = schema.state
                connection.execute(update(table).where(table.c.clock_at < now).values(clock_at=now))

    def create_entry(self, record: Registration, *, now: int, record_it: RecordIt | None = None) -> Registration:
        """See `IssuerStore`."""
        with writing(self._engine) as connection:
            table = schema.entries
            if connection.execute(select(table.c.place).where(table.c.entry_id == record.entry_id)).first():
                raise Refused(Reason.ENTRY_CONFLICT, "the entry_id is taken")
            number, last = connection.execute(select(func.count(), func.max(table.c.place)).select_from(table)).one()
            if number >= self.settings.max_entries:
                raise Refused(Reason.ENTRY_CONFLICT, f"there are {self.settings.max_entries} entries already")
            check_registration(record, _rivals(connection, record), self.issuer, self.trust_domain)
            self._check_hold(connection, record, now)
            made = replace(record, created_at=now, updated_at=now, revision=1)
            connection.execute(insert(table).values(entry_id=made.entry_id, place=(last or 0) + 1, **_columns(made)))
            _advance(connection, now)
            _record(record_it, made)
            return made

    def update_entry(
        self, record: Registration, *, revision: int, now: int, record_it: RecordIt | None = None
    ) -> Registration:
        """See `IssuerStore`."""
        with writing(self._engine) as connection:
            former = _entry(connection, record.entry_id, revision)
            check_registration(record, _rivals(connection, record), self.issuer, self.trust_domain)
            if record.path == former.path:
                check_successor(record, former.selectors)
            else:
                self._check_hold(connection, record, now)
                self._hold(connection, former, now)
            made = replace(record, created_at=former.created_at, updated_at=now, revision=former.revision + 1)
            table = schema.entries
            connection.execute(update(table).where(table.c.entry_id == made.entry_id).values(**_columns(made)))
            _advance(connection, now)
            _record(record_it, made)
            return made

    def delete_entry(self, entry_id: str, *, revision: int | None, now: int, record_it: RecordIt | None = None) -> None:
        """See `IssuerStore`."""
        with writing(self._engine) as connection:
            former = _entry(connection, entry_id, revision)
            self._hold(connection, former, now)
            connection.execute(delete(schema.entries).where(schema.entries.c.entry_id == entry_id))
            _advance(connection, now)
            _record(record_it, former)

    def _check_hold(self, connection: Connection, record: Registration, now: int) -> None:
        table = schema.holds
        connection.execute(delete(table).where(table.c.until <= now))
        row = connection.execute(select(table.c.selectors).where(table.c.path == record.path)).first()
        if row is not None:
            check_successor(record, read_selectors(row.selectors))

    def _hold(self, connection: Connection, former: Registration, now: int) -> None:
        leeway = int(self.settings.verifier_leeway.total_seconds())
        ended = now if former.expires_at is None else min(now, former.expires_at)
        # The most that an entry may ask for, since an earlier state of it may have asked for more than it does now.
        until = token_horizon(self.issuer, now=ended, leeway=leeway)
        table = schema.holds
        # An earlier hold had fewer selectors, which these contain, and ends earlier.
        connection.execute(delete(table).where(table.c.path == former.path))
        connection.execute(
            insert(table).values(path=former.path, selectors=write_selectors(former.selectors), until=until)
        )


def _record(record_it: RecordIt | None, entry: Registration) -> None:
    """The last thing of a transaction: nothing but the commit itself can fail any more."""
    if record_it is not None:
        record_it(entry)


def _columns(record: Registration) -> dict[str, object]:
    return {
        "path": record.path,
        "hint": record.hint,
        "revision": record.revision,
        "document": write_entry(record),
    }


def _load(connection: Connection) -> IssuerState:
    row = connection.execute(select(schema.state)).one()
    return IssuerState(
        revision=row.revision,
        keys=_load_keys(connection),
        entries=tuple(_load_entries(connection)),
        clock_at=row.clock_at,
    )


def _load_keys(connection: Connection) -> KeySet:
    row = connection.execute(select(schema.state)).one()
    table = schema.signing_keys
    keys = tuple(
        read_key(each.kid, each.use, each.state, each.document, each.sealed)
        for each in connection.execute(select(table).order_by(table.c.place))
    )
    return KeySet(keys=keys, sequence=row.sequence, changed_at=row.changed_at)


def _load_entries(connection: Connection) -> list[Registration]:
    table = schema.entries
    rows = connection.execute(select(table.c.document).order_by(table.c.place))
    return [read_entry(each.document) for each in rows]


def _entry(connection: Connection, entry_id: str, revision: int | None) -> Registration:
    table = schema.entries
    row = connection.execute(select(table.c.document).where(table.c.entry_id == entry_id)).first()
    if row is None:
        raise Refused(Reason.ENTRY_UNKNOWN, "no entry has this entry_id")
    entry = read_entry(row.document)
    if revision is not None and entry.revision != revision:
        raise Refused(Reason.ENTRY_CONFLICT, "the entry was changed since it was read")
    return entry


def _rivals(connection: Connection, record: Registration) -> list[Registration]:
    """The other entries that have the identity or the hint of this one."""
    table = schema.entries
    alike = or_(table.c.path == record.path, and_(table.c.hint == record.hint, table.c.hint != ""))
    rows = connection.execute(select(table.c.document).where(table.c.entry_id != record.entry_id, alike))
    return [read_entry(each.document) for each in rows]


def _advance(connection: Connection, now: int) -> int:
    table = schema.state
    row = connection.execute(select(table.c.revision, table.c.clock_at)).one()
    connection.execute(update(table).values(revision=row.revision + 1, clock_at=max(row.clock_at, now)))
    return int(row.revision) + 1
