# ruff: noqa: ASYNC240 - a test may wait for the disk
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workload_api.admin_support import DOMAIN, open_store, spec
from tests.workload_api.support import eventually
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer import Caller
from wimse.stores.issuer import SQLIssuerStore
from wimse.workload_api import check_config
from wimse.workload_api.admin import (
    TEMPLATE_PATH,
    AdminSettings,
    EntriesFile,
    EntrySpec,
    StoredEntry,
    difference,
    parse_entries,
    read_entries,
)
from wimse.workload_api.events import EntryChanged, Event
from wimse.workload_api.keeping import ServedEntries

FAST = AdminSettings(poll_interval=timedelta(seconds=0.02), retry_interval=timedelta(seconds=0.05))
PAYMENTS = '[[entries]]\nentry_id = "payments"\npath = "/payments"\nselectors = ["unix:uid:1000"]\n'
ORDERS = '[[entries]]\nentry_id = "orders"\npath = "/orders"\nselectors = ["unix:uid:1001"]\nhint = "h"\n'
TEMPLATE = f'[[entries]]\nentry_id = "any"\npath = "{TEMPLATE_PATH}"\n'


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as name:
        yield Path(name)


@pytest.fixture
def store(folder: Path) -> Iterator[SQLIssuerStore]:
    opened = open_store(folder)
    yield opened
    opened.close()


def names(store: SQLIssuerStore) -> list[str]:
    return [each.entry_id for each in store.load().entries]


def replace(path: Path, text: str) -> None:
    """As an editor does it: another file in its place."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        ("prune = maybe\n", 1, "this is not TOML"),
        (PAYMENTS + "[[entries]\n", 5, "this is not TOML"),
        ("prune = 1\n", 1, "Expected `bool`"),
        (PAYMENTS + '\n[[entries]]\nentry_id = "b"\n', 6, "missing required field `path`"),
        (PAYMENTS + 'spiffe_id = "x"\n', 5, "unknown field `spiffe_id`"),
        (PAYMENTS + ORDERS.replace("1001", "01"), 5, "without leading zeros"),
        (PAYMENTS + ORDERS.replace('"/orders"', '"spiffe://example.org/orders"'), 5, "another trust domain"),
        (PAYMENTS + ORDERS.replace('"/orders"', '"/payments"'), 5, "the identity is that of an earlier entry"),
        (PAYMENTS + ORDERS.replace('"orders"', '"payments"'), 5, "the entry_id is that of an earlier entry"),
        (PAYMENTS + TEMPLATE + 'hint = "h"\n', 5, "a template entry has an entry_id and its path"),
        (PAYMENTS.replace("/payments", "/bin/{exe}/uid/{uid}"), 1, "the identity of an entry"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(text: str, line: int, detail: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_entries(text.encode(), DOMAIN, "f.toml")
    assert refused.value.detail.startswith(f"f.toml, line {line}: ")
    assert detail in refused.value.detail


@pytest.mark.parametrize("data", [b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"a = 2026-13-40\n"])
def test_what_is_no_text_or_too_deep_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError):
        parse_entries(data, DOMAIN)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='[]{}entris_dpah="=\n./,1-', max_size=80).map(str.encode))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_entries(data, DOMAIN)


def test_files_that_cannot_be_read_are_refused(folder: Path) -> None:
    big = folder / "big"
    big.write_bytes(b"#" * (8_388_608 + 1))
    for path in (folder / "none", folder, big, Path("a\0b")):
        with pytest.raises(ConfigurationError):
            read_entries(path, DOMAIN)


async def test_the_store_follows_the_file(folder: Path, store: SQLIssuerStore) -> None:
    file, told, changed = folder / "e.toml", list[Event](), list[None]()
    file.write_text(PAYMENTS)
    store.create_entry(spec("mine").registration(DOMAIN), now=1)
    watching = EntriesFile(store, file, DOMAIN, FAST, observers=[told.append], on_change=lambda: changed.append(None))
    async with watching:
        assert names(store) == ["mine", "payments"]  # without prune nothing of others is deleted
        replace(file, PAYMENTS.replace('["unix:uid:1000"]', '["unix:uid:1000", "unix:gid:7"]') + ORDERS)
        await eventually(lambda: names(store) == ["mine", "payments", "orders"])
        assert store.load().entries[1].revision == 2
        replace(file, "prune = true\n" + ORDERS)
        await eventually(lambda: names(store) == ["orders"])
        store.delete_entry("orders", revision=None, now=2)  # by somebody else: the file says otherwise
        await eventually(lambda: names(store) == ["orders"])
    actions = [(each.action, each.entry_id) for each in told if isinstance(each, EntryChanged)]
    assert actions[:3] == [("created", "payments"), ("updated", "payments"), ("created", "orders")]
    assert sorted(actions[3:]) == [("created", "orders"), ("deleted", "mine"), ("deleted", "payments")]
    assert {(each.source, each.pid) for each in told if isinstance(each, EntryChanged)} == {("file", os.getpid())}
    assert len(changed) == len(actions)


async def test_a_malformed_file_keeps_the_last_good_state(
    folder: Path, store: SQLIssuerStore, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "e.toml"
    file.write_text("prune = true\n" + PAYMENTS)
    async with EntriesFile(store, file, DOMAIN, FAST) as watching:
        replace(file, "prune = true\n\nentries = oops\n")
        await eventually(lambda: watching.problem)
        assert "e.toml, line 3: " in watching.problem
        file.unlink()
        await eventually(lambda: "No such file" in watching.problem)
        replace(file, "prune = true\n" + PAYMENTS)
        file.chmod(0o666)
        await eventually(lambda: "others may write" in watching.problem)
        assert names(store) == ["payments"]
        file.chmod(0o644)
        await eventually(lambda: not watching.problem)
        replace(file, "prune = true\n" + ORDERS)
        await eventually(lambda: names(store) == ["orders"])
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len([each for each in said if "line 3" in each]) == 1  # once, not at each look


async def test_a_server_starts_with_a_malformed_file(folder: Path, store: SQLIssuerStore) -> None:
    store.create_entry(spec("mine").registration(DOMAIN), now=1)
    (folder / "e.toml").write_text("prune = true\nentries = 1\n")
    async with EntriesFile(store, folder / "e.toml", DOMAIN, FAST) as watching:
        assert "line 2" in watching.problem
        assert names(store) == ["mine"]


async def test_what_the_store_refuses_is_said_and_tried_again(
    folder: Path, store: SQLIssuerStore, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "e.toml"
    store.create_entry(spec("theirs", "/payments").registration(DOMAIN), now=1)
    file.write_text(PAYMENTS + ORDERS)
    async with EntriesFile(store, file, DOMAIN, FAST):
        assert names(store) == ["theirs", "orders"]  # the rest is done
        await asyncio.sleep(0.2)
        said = [each.getMessage() for each in caplog.records if "cannot create payments" in each.getMessage()]
        assert len(said) == 1
        assert Reason.ENTRY_CONFLICT.code in said[0]
        store.delete_entry("theirs", revision=None, now=2)
        await eventually(lambda: names(store) == ["orders", "payments"])


async def test_a_store_that_fails_is_waited_for(folder: Path, store: SQLIssuerStore) -> None:
    file = folder / "e.toml"
    file.write_text(PAYMENTS)
    database = folder / "issuer.db"
    store.close()
    aside = {each: each.with_name(f"aside-{each.name}") for each in folder.glob("issuer.db*")}
    for each, other in aside.items():
        each.rename(other)
    database.mkdir()
    async with EntriesFile(store, file, DOMAIN, FAST):
        await asyncio.sleep(0.1)
        database.rmdir()
        for each, other in aside.items():
            other.rename(each)
        await eventually(lambda: names(store) == ["payments"])


async def test_a_template_is_for_development_and_says_so(
    folder: Path, store: SQLIssuerStore, caplog: pytest.LogCaptureFixture
) -> None:
    file, changed = folder / "e.toml", list[None]()
    file.write_text(PAYMENTS + TEMPLATE)
    async with EntriesFile(store, file, DOMAIN, FAST) as refused:
        assert "a template entry is for development" in refused.problem
        assert not refused.template
        assert names(store) == []
    assert "EVERY PROCESS" not in caplog.text
    watching = EntriesFile(store, file, DOMAIN, FAST, development=True, on_change=lambda: changed.append(None))
    async with watching:
        assert watching.template
        assert names(store) == ["payments"]  # the template is no entry of the store
        assert len(changed) == 2
        replace(file, PAYMENTS)
        await eventually(lambda: not watching.template)
        assert len(changed) == 3
    assert "EVERY PROCESS OF THIS MACHINE HAS AN IDENTITY" in caplog.text


# ------------------------------------------------------------------------------------------- the difference

_SELECTORS = st.lists(
    st.sampled_from(["unix:uid:1", "unix:gid:2", "unix:path:/bin/x", "unix:user:u"]),
    min_size=1,
    max_size=4,
    unique=True,
).map(tuple)
_SPECS = st.builds(
    EntrySpec,
    entry_id=st.sampled_from("abcdef"),
    path=st.sampled_from(["/1", "/2", "/3", "spiffe://example.com/1"]),
    selectors=_SELECTORS,
    hint=st.sampled_from(["", "h"]),
    wit_lifetime_seconds=st.sampled_from([None, 60]),
    federates_with=st.sampled_from([None, (), ("a.test", "b.test"), ("b.test", "a.test")]),
)
_FILES = st.lists(_SPECS, unique_by=lambda each: each.entry_id)


def stored(specs: list[EntrySpec]) -> list[StoredEntry]:
    return [StoredEntry.of(each.registration(DOMAIN)) for each in specs]


def normal(specs: dict[str, EntrySpec]) -> dict[str, EntrySpec]:
    return {name: each.normal(DOMAIN) for name, each in specs.items()}


@settings(max_examples=200, deadline=None)
@given(_FILES, _FILES)
def test_the_difference_leads_from_one_to_the_other(before: list[EntrySpec], after: list[EntrySpec]) -> None:
    there, wanted = ({each.entry_id: each for each in specs} for specs in (before, after))
    found = difference(after, stored(before), DOMAIN, prune=True)
    assert normal(found.applied(there)) == normal(wanted)
    assert not difference(after, stored(list(found.applied(there).values())), DOMAIN, prune=True)
    # nothing is touched that does not have to be
    assert not difference(before, stored(before), DOMAIN, prune=True)
    assert all(old.normal(DOMAIN) != new.normal(DOMAIN) for old, new in found.update)
    assert bool(found) == bool(list(found.lines()))
    kept = difference(after, stored(before), DOMAIN, prune=False)
    assert (kept.delete, kept.unlisted) == ((), found.delete)
    assert normal(kept.applied(there)) == normal({**there, **wanted})


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        ('admin_socket = "/run/wimse/admin.sock"\n', 1, "there is no [store]"),
        ('entries_file = "/etc/wimse/entries.toml"\n', 1, "there is no [store]"),
        ("admin_socket = 'relative'\n{store}", 1, "absolute"),
        ("\nentries_file = 'relative'\n{store}", 2, "entries_file must be an absolute path"),
        pytest.param(
            "socket = '/run/w.sock'\nadmin_socket = '/run/w.sock'\n{store}",
            2,
            "must not be the socket that workloads use",
            id="IS-32",
        ),
    ],
)
def test_a_configuration_that_cannot_be_managed_is_refused(folder: Path, text: str, line: int, detail: str) -> None:
    config = folder / "c.toml"
    store = 'development = true\n[store]\nsqlite = "/var/lib/wimse/issuer.db"\n[encryption]\nplaintext = true\n'
    config.write_text(text.replace("{store}", store))
    (problem,) = check_config(config)
    assert problem.line == line
    assert detail in problem.detail


async def test_a_created_entry_is_served_with_its_terms_and_ends(store: SQLIssuerStore) -> None:
    entries = ServedEntries((), default_identities=False, now=1)
    store.create_entry(spec(expires_at=100, wit_lifetime_seconds=60).registration(DOMAIN), now=1)
    assert entries.take_stored(store.load().entries, now=99)
    caller = Caller(pid=5, uid=1000, gid=1, executable="/usr/bin/x")
    (grant,) = entries.registrations().grants(caller)
    assert (grant.path, grant.terms.wit_lifetime) == ("/payments", timedelta(seconds=60))
    assert entries.take_stored(store.load().entries, now=100)
    with pytest.raises(Refused):
        entries.registrations().grants(caller)
