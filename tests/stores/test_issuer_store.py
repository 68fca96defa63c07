from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.stores.issuers import ISSUER, NAME, NOW, entry, keeper, postgres, sqlite
from tests.stores.postgresql import postgresql
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import IssuerStore, KeySet, KeyState, KeyUse
from wimse.issuer.rotation import revoke
from wimse.stores.issuer import SQLIssuerStore, StoreSettings
from wimse.stores.issuer.migrations import migrate
from wimse.stores.issuer.schema import MIGRATIONS

HOLD = 60 + 180  # the longest life of a credential, and the leeway


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SQLIssuerStore, SQLIssuerStore]]:
    """Two servers on one new database."""
    if request.param == "sqlite":
        stores = [sqlite(tmp_path / "issuer.db") for _ in range(2)]
    else:
        url = request.getfixturevalue("server")
        stores = [postgres(url) for _ in range(2)]
    yield stores[0], stores[1]
    if request.param == "postgresql":
        with stores[0]._engine.begin() as connection:
            for table in ("schema", "state", "signing_keys", "entries", "holds"):
                connection.execute(text(f"DROP TABLE wimse_{table}"))
    for each in stores:
        each.close()


Pair = tuple[SQLIssuerStore, SQLIssuerStore]


def test_it_is_what_the_issuer_asks_for(pair: Pair) -> None:
    store: IssuerStore = pair[0]
    state = store.load()
    assert (state.revision, state.keys, state.entries, state.clock_at) == (1, KeySet(), (), NOW)


def test_what_one_server_writes_the_other_reads(pair: Pair) -> None:
    keys = keeper(pair[0])
    keys.start(now=NOW)
    full = entry(
        hint="external",
        wit_lifetime=timedelta(seconds=9),
        jwt_svid_lifetime=timedelta(seconds=8),
        x509_svid_lifetime=timedelta(seconds=7),
        dns_names=("a.example",),
        federates_with=("other.org",),
        expires_at=NOW + 99,
        key_algorithm="ES384",
    )
    made = pair[0].create_entry(full, now=NOW)
    assert made == replace(full, created_at=NOW, updated_at=NOW, revision=1)
    state = pair[1].load()
    assert state.keys == keys.key_set
    assert state.entries == (made,)
    assert state.revision == pair[1].revision()


def test_every_change_raises_the_revision_and_nothing_else_does(pair: Pair) -> None:
    store, seen = pair[0], [pair[0].revision()]
    made = store.create_entry(entry(), now=NOW)
    seen.append(store.revision())
    store.update_entry(replace(made, hint="x"), revision=1, now=NOW)
    seen.append(store.revision())
    store.delete_entry("e1", revision=2, now=NOW)
    seen.append(store.revision())
    assert seen == [1, 2, 3, 4]
    store.witness(NOW + 1000)
    with pytest.raises(Refused):
        store.delete_entry("e1", revision=None, now=NOW)
    assert pair[1].revision() == 4


def test_keys_that_another_server_has_changed_are_not_overwritten(pair: Pair) -> None:
    """IS-33: compare and swap of the whole set."""
    first = keeper(pair[0])
    first.start(now=NOW)
    before = first.key_set
    active = before.active(KeyUse.WIT)
    assert active is not None
    after = revoke(before, active.kid, now=NOW)
    pair[1].replace_keys(before, after, now=NOW)
    with pytest.raises(Unavailable) as refusal:
        pair[0].replace_keys(before, before, now=NOW)
    assert refusal.value.reason is Reason.STORE_CONFLICT
    assert pair[0].load().keys == after


def test_an_identity_is_registered_once_among_all_servers(pair: Pair) -> None:
    """ID-14."""
    pair[0].create_entry(entry(), now=NOW)
    for rival in (entry("e2", "/payments", "unix:uid:2000"), entry("e1", "/other")):
        with pytest.raises(Refused) as refusal:
            pair[1].create_entry(rival, now=NOW)
        assert refusal.value.reason is Reason.ENTRY_CONFLICT
    assert len(pair[1].load().entries) == 1


def test_the_database_itself_refuses_a_second_principal_and_a_second_active_key(pair: Pair) -> None:
    """ID-14: behind the check stands a unique index."""
    pair[0].create_entry(entry(), now=NOW)
    keeper(pair[0]).start(now=NOW)
    again = (
        "INSERT INTO wimse_entries SELECT 'e2', path, hint, place, revision, document FROM wimse_entries",
        "UPDATE wimse_signing_keys SET state = 'active' WHERE use = 'wit'",
    )
    for statement in again:
        with pytest.raises(Exception, match=r"(?i)unique"), pair[0]._engine.begin() as connection:
            connection.execute(text(statement))


def test_an_identity_is_not_given_to_others_while_a_credential_of_it_may_live(pair: Pair) -> None:
    """ID-13: refused until the last one has ended, on whichever server."""
    store, others = pair
    store.create_entry(entry(), now=NOW)
    store.delete_entry("e1", revision=None, now=NOW + 5)
    successor = entry("e2", "/payments", "unix:uid:2000")
    for now in (NOW + 5, NOW + 5 + HOLD - 1):
        with pytest.raises(Refused) as refusal:
            others.create_entry(successor, now=now)
        assert refusal.value.reason is Reason.ENTRY_CONFLICT
    others.create_entry(successor, now=NOW + 5 + HOLD)


def test_the_same_callers_may_have_their_identity_back_at_once(pair: Pair) -> None:
    """ID-13."""
    pair[0].create_entry(entry(), now=NOW)
    pair[0].delete_entry("e1", revision=1, now=NOW)
    pair[0].create_entry(entry("e2", "/payments", "unix:uid:1000", "unix:gid:7"), now=NOW)


def test_selectors_are_made_narrower_in_place_and_nothing_else(pair: Pair) -> None:
    """ID-13."""
    made = pair[0].create_entry(entry(), now=NOW)
    narrow = replace(made, selectors=entry("e1", "/p", "unix:uid:1000", "unix:gid:7").selectors)
    made = pair[0].update_entry(narrow, revision=1, now=NOW + 1)
    assert (made.created_at, made.updated_at, made.revision) == (NOW, NOW + 1, 2)
    wide = replace(made, selectors=entry().selectors)
    with pytest.raises(Refused):
        pair[0].update_entry(wide, revision=2, now=NOW + 9999)
    moved = pair[0].update_entry(replace(made, path="/new"), revision=2, now=NOW + 2)
    assert moved.revision == 3
    with pytest.raises(Refused):
        pair[0].create_entry(entry("e2", "/payments", "unix:uid:5"), now=NOW + 3)  # the old one is held back


def test_an_entry_that_was_changed_meanwhile_is_not_overwritten(pair: Pair) -> None:
    made = pair[0].create_entry(entry(), now=NOW)
    pair[1].update_entry(replace(made, hint="theirs"), revision=1, now=NOW)
    for change in (
        lambda: pair[0].update_entry(replace(made, hint="mine"), revision=1, now=NOW),
        lambda: pair[0].delete_entry("e1", revision=1, now=NOW),
    ):
        with pytest.raises(Refused) as refusal:
            change()
        assert refusal.value.reason is Reason.ENTRY_CONFLICT
    with pytest.raises(Refused) as refusal:
        pair[0].update_entry(entry("nobody", "/nobody"), revision=1, now=NOW)
    assert refusal.value.reason is Reason.ENTRY_UNKNOWN


def test_one_caller_never_has_a_hint_twice(pair: Pair) -> None:
    """IS-15: where it can be known; different users cannot be one caller."""
    pair[0].create_entry(entry(hint="db"), now=NOW)
    pair[0].create_entry(entry("e2", "/b", "unix:uid:2000", hint="db"), now=NOW)
    with pytest.raises(Refused) as refusal:
        pair[1].create_entry(entry("e3", "/c", "unix:gid:5", hint="db"), now=NOW)
    assert refusal.value.reason is Reason.ENTRY_CONFLICT
    with pytest.raises(Refused):
        pair[1].update_entry(
            entry("e2", "/b", "unix:uid:2000", "unix:gid:1", hint="db").__class__(
                entry_id="e2", path="/b2", selectors=entry().selectors, hint="db"
            ),
            revision=1,
            now=NOW,
        )


@pytest.mark.parametrize(
    "hostile", ["x'; DROP TABLE wimse_entries; --", '"; DELETE FROM wimse_entries', "%", "\u202e", "🔑"]
)
def test_text_of_an_entry_is_data(pair: Pair, hostile: str) -> None:
    """IS-30: parameters, never text of statements."""
    made = pair[0].create_entry(entry(hint=hostile), now=NOW)
    assert pair[1].load().entries == (made,)
    with pytest.raises(Refused):
        pair[1].delete_entry(hostile, revision=None, now=NOW)


def test_a_lifetime_above_the_servers_is_refused(pair: Pair) -> None:
    with pytest.raises(ConfigurationError, match="wit_lifetime"):
        pair[0].create_entry(entry(wit_lifetime=ISSUER.wit_lifetime + timedelta(seconds=1)), now=NOW)
    with pytest.raises(ConfigurationError, match="itself"):
        pair[0].create_entry(entry(federates_with=(NAME,)), now=NOW)
    assert pair[0].revision() == 1


def test_more_entries_than_the_limit_are_refused(tmp_path: Path) -> None:
    store = SQLIssuerStore.sqlite(tmp_path / "db", NAME, now=NOW, settings=StoreSettings(max_entries=1))
    store.create_entry(entry(), now=NOW)
    with pytest.raises(Refused, match="1 entries"):
        store.create_entry(entry("e2", "/b"), now=NOW)
    store.close()


def test_a_database_of_another_trust_domain_or_of_a_newer_version_is_refused(pair: Pair) -> None:
    engine = pair[0]._engine
    with pytest.raises(ConfigurationError, match="another trust domain"):
        migrate(engine, "other.org", now=NOW)
    migrate(engine, NAME, now=NOW, migrations=(*MIGRATIONS, ("CREATE TABLE wimse_extra (x BIGINT)",)))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE wimse_extra"))
    with pytest.raises(ConfigurationError, match="version 2; this program knows 1"):
        migrate(engine, NAME, now=NOW)


def test_a_migration_that_fails_leaves_what_was_there(pair: Pair) -> None:
    """IS-33: one transaction, changes of tables among them."""
    pair[0].create_entry(entry(), now=NOW)
    broken = (*MIGRATIONS, ("ALTER TABLE wimse_entries ADD COLUMN more TEXT", "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(Unavailable):
        migrate(pair[0]._engine, NAME, now=NOW, migrations=broken)
    assert migrate(pair[0]._engine, NAME, now=NOW) == 1
    with pair[0]._engine.begin() as connection:
        assert "more" not in tuple(connection.execute(text("SELECT * FROM wimse_entries")).keys())
    better = (*MIGRATIONS, ("ALTER TABLE wimse_entries ADD COLUMN more TEXT",))
    assert migrate(pair[0]._engine, NAME, now=NOW, migrations=better) == 2
    assert len(pair[1].load().entries) == 1


def test_what_is_stored_and_cannot_be_read_is_not_taken(pair: Pair) -> None:
    pair[0].create_entry(entry(), now=NOW)
    keeper(pair[0]).start(now=NOW)
    for table in ("entries", "signing_keys"):
        with pair[0]._engine.begin() as connection:
            connection.execute(text(f"UPDATE wimse_{table} SET document = '{{}}'"))
        with pytest.raises(Unavailable) as refusal:
            pair[0].load()
        assert refusal.value.reason is Reason.STORE_UNAVAILABLE


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_sqlite_file_and_its_journal_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """IS-29."""
    before = os.umask(umask)
    try:
        store = sqlite(tmp_path / "issuer.db")
        keeper(store).start(now=NOW)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("issuer.db", "issuer.db-wal", "issuer.db-shm"), 0o600)
    store.close()


def test_an_unsafe_file_or_directory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """IS-29."""
    path = tmp_path / "issuer.db"
    sqlite(path).close()
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        sqlite(path)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "fifo").mkdir()
    for name, words in (
        ("link", "regular"),
        ("fifo", "regular"),
        ("no/where", "No such file"),
        ("issuer.db/x", "not a"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            sqlite(tmp_path / name)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="others may write"):
        sqlite(shared / "issuer.db")


@pytest.mark.parametrize("url", ["mysql://x", "nonsense", "sqlite:///x"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        postgres(url)


def test_a_database_that_is_not_there_is_unavailable_and_says_no_secrets() -> None:
    with pytest.raises(Unavailable) as refusal:
        postgres("postgresql://me:hunter2@127.0.0.1:1/x")
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert "hunter2" not in str(refusal.value)


def test_a_busy_database_is_unavailable_and_not_waited_for_without_end(tmp_path: Path) -> None:
    settings = StoreSettings(busy_timeout=timedelta(milliseconds=50))
    store = SQLIssuerStore.sqlite(tmp_path / "db", NAME, now=NOW, settings=settings)
    with store._engine.connect() as other:
        other.exec_driver_sql("COMMIT") if other.in_transaction() else None
        raw = other.connection.dbapi_connection
        assert raw is not None
        raw.cursor().execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            store.create_entry(entry(), now=NOW)
        assert store.load().entries == ()  # reading goes on
        raw.cursor().execute("ROLLBACK")
    store.create_entry(entry(), now=NOW)
    store.close()


@pytest.mark.parametrize("wrong", [{"pool_size": 0}, {"max_entries": 0}, {"busy_timeout": timedelta(0)}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        StoreSettings(**wrong)  # type: ignore[arg-type]


def test_key_states_survive_the_store(pair: Pair) -> None:
    keys = keeper(pair[0])
    keys.start(now=NOW)
    kid = keys.key_set.active(KeyUse.WIT).kid  # type: ignore[union-attr]
    keys.refresh(now=NOW + 30)
    keys.taint(kid, now=NOW + 30)
    stored = pair[1].load().keys.key(kid)
    assert (stored.state, stored.tainted, stored.retired_at) == (KeyState.OLD, True, NOW + 30)
