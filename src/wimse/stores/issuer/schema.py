"""The tables of the issuer's store, and the way from each version of them to the next.

Migrations only go forward. Each is a list of statements that runs in one transaction with the change of the version;
SQLite and PostgreSQL both take changes of tables back when a transaction fails. A schema that is newer than this
program is refused: an older program does not know what it would destroy.

The statements are the same for both databases: text, big integers and blobs (`BYTEA` in PostgreSQL), and partial
indexes, which both have.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text

__all__ = ["MIGRATIONS", "entries", "holds", "signing_keys", "state"]

_VERSION_1: Final = (
    """CREATE TABLE wimse_state (
         id BIGINT PRIMARY KEY CHECK (id = 1),
         trust_domain TEXT NOT NULL,
         revision BIGINT NOT NULL,
         sequence BIGINT NOT NULL,
         changed_at BIGINT NOT NULL,
         clock_at BIGINT NOT NULL)""",
    """CREATE TABLE wimse_signing_keys (
         kid TEXT PRIMARY KEY,
         place BIGINT NOT NULL,
         use TEXT NOT NULL CHECK (use IN ('wit', 'jwt', 'x509')),
         state TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'old', 'revoked')),
         document TEXT NOT NULL,
         sealed {blob} NOT NULL)""",
    # Whatever a server does, no use has two keys that sign.
    "CREATE UNIQUE INDEX wimse_one_active ON wimse_signing_keys (use) WHERE state = 'active'",
    """CREATE TABLE wimse_entries (
         entry_id TEXT PRIMARY KEY,
         path TEXT NOT NULL UNIQUE,
         hint TEXT NOT NULL,
         place BIGINT NOT NULL,
         revision BIGINT NOT NULL,
         document TEXT NOT NULL)""",
    """CREATE TABLE wimse_holds (
         path TEXT PRIMARY KEY,
         selectors TEXT NOT NULL,
         until BIGINT NOT NULL)""",
)
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_VERSION_1,)
"""The statements that lead to version 1, 2 and so on."""

_metadata = MetaData()

state = Table(
    "wimse_state",
    _metadata,
    Column("id", BigInteger, primary_key=True),
    Column("trust_domain", Text),
    Column("revision", BigInteger),
    Column("sequence", BigInteger),
    Column("changed_at", BigInteger),
    Column("clock_at", BigInteger),
)
signing_keys = Table(
    "wimse_signing_keys",
    _metadata,
    Column("kid", Text, primary_key=True),
    Column("place", BigInteger),
    Column("use", Text),
    Column("state", Text),
    Column("document", Text),
    Column("sealed", LargeBinary),
)
entries = Table(
    "wimse_entries",
    _metadata,
    Column("entry_id", Text, primary_key=True),
    Column("path", Text),
    Column("hint", Text),
    Column("place", BigInteger),
    Column("revision", BigInteger),
    Column("document", Text),
)
holds = Table(
    "wimse_holds",
    _metadata,
    Column("path", Text, primary_key=True),
    Column("selectors", Text),
    Column("until", BigInteger),
)
