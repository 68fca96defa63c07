"""Brings the tables of the issuer's store to the version that this program knows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, insert, inspect, select, text

from wimse.errors import ConfigurationError
from wimse.stores.issuer import schema
from wimse.stores.issuer.database import writing

__all__ = ["migrate"]


def migrate(
    engine: Engine,
    trust_domain: str,
    *,
    now: int,
    migrations: Sequence[Sequence[str]] = schema.MIGRATIONS,
) -> int:
    """Make or migrate the tables, in one transaction, while no other server does.

    Args:
        engine: the database.
        trust_domain: to which it belongs.
        now: seconds since 1970.
        migrations: the statements of each version.

    Returns:
        The version.

    Raises:
        ConfigurationError: for a schema that is newer, or another trust domain.
        Unavailable: `store_unavailable`; nothing is changed then.
    """
    with writing(engine) as connection:
        version = _version(connection)
        if version > len(migrations):
            raise ConfigurationError(
                f"the issuer's database has schema version {version}; this program knows {len(migrations)}: "
                "use the newer program, or restore the backup from before the upgrade"
            )
        blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"
        for statements in migrations[version:]:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("{blob}", blob))
        if version < len(migrations):
            connection.exec_driver_sql("DELETE FROM wimse_schema")
            connection.execute(
                text("INSERT INTO wimse_schema (version) VALUES (:version)"), {"version": len(migrations)}
            )
        owner = connection.execute(select(schema.state.c.trust_domain)).scalar()
        if owner is None:
            connection.execute(
                insert(schema.state).values(
                    id=1, trust_domain=trust_domain, revision=1, sequence=0, changed_at=0, clock_at=now
                )
            )
        elif owner != trust_domain:
            raise ConfigurationError("the issuer's database belongs to another trust domain")
        return len(migrations)


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table("wimse_schema"):
        connection.exec_driver_sql("CREATE TABLE wimse_schema (version BIGINT NOT NULL)")
        return 0
    row = connection.exec_driver_sql("SELECT version FROM wimse_schema").first()
    return 0 if row is None else int(row[0])
