"""No change of an entry without its line in the audit log, whenever the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.workload_api.admin_support import DOMAIN, open_store, spec
from wimse.errors import Reason, Unavailable
from wimse.issuer import Registration
from wimse.stores.issuer import SQLIssuerStore
from wimse.workload_api import AuditLog
from wimse.workload_api.admin import EntrySpec
from wimse.workload_api.admin.changes import EntryChanges, Who
from wimse.workload_api.events import EntryChanged, EntryChangeFailed, Event

OPERATOR = Who(41, 0, "admin")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def store(folder: Path) -> Iterator[SQLIssuerStore]:
    opened = open_store(folder)
    yield opened
    opened.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_line_of_a_change_is_written_before_it_is_so(store: SQLIssuerStore, folder: Path) -> None:
    """Whoever reads the store while the line is written still finds the entry as it was."""
    audit, seen = AuditLog(folder / "audit"), list[tuple[str, list[str]]]()
    other = open_store(folder)

    def look(happened: Event) -> None:
        assert isinstance(happened, EntryChanged)
        seen.append((happened.action, [each.hint for each in other.load().entries]))

    changes = EntryChanges(store, DOMAIN, observers=[audit, look])
    made = await changes.create(spec(), OPERATOR)
    await changes.update(
        EntrySpec(entry_id="payments", path="/payments", selectors=made.selectors, hint="h"), 1, OPERATOR
    )
    await changes.delete("payments", None, OPERATOR)
    assert seen == [("created", []), ("updated", [""]), ("deleted", ["h"])]
    assert other.load().entries == ()
    other.close()
    audit.close()
    assert [(each["event"], each["revision"]) for each in lines(folder / "audit")] == [
        ("entry_created", 1),
        ("entry_updated", 2),
        ("entry_deleted", 2),
    ]
    assert lines(folder / "audit")[2]["path"] == "/payments"  # what has gone is named


async def test_change_that_cannot_be_recorded_is_not_made_where_that_is_required(
    store: SQLIssuerStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`audit_required` is for changes as for issues."""
    required, lax = AuditLog(folder / "audit", required=True), AuditLog(folder / "audit")
    changed: list[None] = []
    for audit, made in ((required, False), (lax, True)):
        changes = EntryChanges(store, DOMAIN, observers=[audit], on_change=lambda: changed.append(None))
        with monkeypatch.context() as patched:
            patched.setattr("os.write", lambda *_: 0)
            if made:
                await changes.create(spec(), OPERATOR)
            else:
                with pytest.raises(Unavailable) as unavailable:
                    await changes.create(spec(), OPERATOR)
                assert unavailable.value.reason is Reason.ISSUER_UNAVAILABLE
        assert [each.entry_id for each in store.load().entries] == (["payments"] if made else [])
        assert len(changed) == made
        audit.close()


async def test_change_that_the_store_fails_to_keep_is_told_as_such(store: SQLIssuerStore, folder: Path) -> None:
    """A full disk at the commit, say: there is a second line."""
    told, audit = list[Event](), AuditLog(folder / "audit")
    changes = EntryChanges(store, DOMAIN, observers=[told.append, audit])

    def fail(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    event.listen(store._engine, "commit", fail)
    with pytest.raises(Unavailable) as unavailable:
        await changes.create(spec(), OPERATOR)
    event.remove(store._engine, "commit", fail)
    audit.close()
    assert unavailable.value.reason is Reason.STORE_UNAVAILABLE
    assert store.load().entries == ()
    first, second = told
    assert isinstance(first, EntryChanged)
    assert second == EntryChangeFailed(change=first)
    assert [(each["event"], each.get("action"), each["entry_id"]) for each in lines(folder / "audit")] == [
        ("entry_created", None, "payments"),
        ("entry_change_failed", "created", "payments"),
    ]


async def test_recording_that_takes_too_long_makes_no_change(
    store: SQLIssuerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event loop that does not turn holds no transaction open for ever."""
    monkeypatch.setattr("wimse.workload_api.admin.changes._RECORD_SECONDS", 0.05)
    waiting = asyncio.Event()

    async def never(_: object) -> None:
        await waiting.wait()

    monkeypatch.setattr("wimse.workload_api.admin.changes._called", never)
    with pytest.raises(Unavailable, match="cannot be recorded in time"):
        await EntryChanges(store, DOMAIN).create(spec(), OPERATOR)
    assert store.load().entries == ()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.workload_api.admin_support import DOMAIN, open_store, spec
from wimse.workload_api import AuditLog
from wimse.workload_api.admin.changes import EntryChanges, Who
folder, moment = Path(sys.argv[1]), sys.argv[2]
def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)
observers = [AuditLog(folder / "audit", required=True), *([end] if moment == "line" else [])]
changes = EntryChanges(open_store(folder), DOMAIN, observers=observers, on_change=end)
asyncio.run(changes.create(spec(), Who(41, 0, "admin")))
"""


@pytest.mark.parametrize(("moment", "stored"), [("line", []), ("commit", ["payments"])])
def test_kill_leaves_a_line_too_many_and_never_one_too_few(folder: Path, moment: str, stored: list[str]) -> None:
    """kill -9 right after the line, and right after the commit."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], timeout=60, check=False)
    assert ended.returncode == -9
    assert [each["event"] for each in lines(folder / "audit")] == ["entry_created"]
    with contextlib.closing(open_store(folder)) as store:
        entries: tuple[Registration, ...] = store.load().entries
        assert [each.entry_id for each in entries] == stored
