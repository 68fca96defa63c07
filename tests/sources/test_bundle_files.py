"""Bundles in files: replaced while somebody looks, half written, gone, and not what they should be."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.sources.bundles import QUICK, Events, bundle, document, until
from tests.sources.publisher import Clock, key
from wimse.credentials import TrustBundles, TrustDomain, bundle_map_json
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.sources import BundleFile, BundleMapFile, BundleSettings, TrustBundleKeeper

A, B = TrustDomain("spiffe", "a.example"), TrustDomain("spiffe", "b.example")
OLD, NEW = key("old"), key("new")


def replace(path: Path, content: bytes) -> None:
    """Whole, as it should be done."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


def kids(keeper: TrustBundleKeeper, domain: TrustDomain = A) -> list[str | None]:
    found = keeper(domain)
    return [] if found is None else [each.kid for each in found.wit_keys]


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path, events = tmp_path / "bundle.json", Events()
    path.write_bytes(document(OLD, sequence=1))
    with TrustBundleKeeper(BundleFile(A, path), settings=QUICK, on_event=events) as keeper:
        assert keeper.ready
        before = keeper(A)
        keeper.refresh()
        assert keeper(A) is before
        replace(path, document(NEW, sequence=2))
        until(lambda: kids(keeper) == ["new"])
        assert keeper(B) is None
    assert events.changes == ["updated", "updated"]
    assert (events[0].trust_domain, events[0].source, events[1].sequence) == (A, str(path), 2)


def test_a_link_that_is_turned_is_seen(tmp_path: Path) -> None:
    """As Kubernetes replaces what it mounts."""
    for name, content in (("one", document(OLD)), ("two", document(NEW))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").write_bytes(content)
    (tmp_path / "data").symlink_to("one")
    with TrustBundleKeeper(BundleFile(A, tmp_path / "data" / "bundle.json"), settings=QUICK) as keeper:
        assert kids(keeper) == ["old"]
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        until(lambda: kids(keeper) == ["new"])


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        document(NEW)[:-5],
        b"<html>",
        b'{"keys": [], "keys": []}',
        json.dumps({"keys": [NEW.to_jwk()]}).encode(),
        b" " * 1_048_577,
    ],
    ids=["empty", "half", "page", "twice", "private", "large"],
)
def test_a_poisoned_file_changes_nothing_and_is_told_of(tmp_path: Path, poison: bytes) -> None:
    """D11, MW-11: the last good one stays."""
    path, events = tmp_path / "bundle.json", Events()
    path.write_bytes(document(OLD))
    with TrustBundleKeeper(BundleFile(A, path), settings=QUICK, on_event=events) as keeper:
        before = keeper(A)
        replace(path, poison)
        until(lambda: "failed" in events.changes)
        assert keeper(A) is before
        replace(path, document(NEW))
        until(lambda: kids(keeper) == ["new"])


@pytest.mark.parametrize("case", ["gone", "folder", "pipe", "unreadable"])
def test_a_file_that_cannot_be_read_is_an_outage(tmp_path: Path, case: str) -> None:
    """MW-11, MW-12: not ready, then the last good one, then refused."""
    path, events, clock = tmp_path / "bundle.json", Events(), Clock()
    source = BundleFile(A, path)

    def break_it() -> None:
        path.unlink(missing_ok=True)
        if case == "folder":
            path.mkdir()
        elif case == "pipe":
            os.mkfifo(path)
        elif case == "unreadable":
            path.symlink_to(path)

    break_it()
    settings = BundleSettings(
        first_wait=timedelta(seconds=5), file_interval=timedelta(seconds=0.02), first_retry=timedelta(seconds=0.02)
    )
    with TrustBundleKeeper(source, settings=settings, on_event=events, clock=clock) as keeper:
        assert not keeper.ready
        with pytest.raises(Unavailable) as caught:
            keeper(A)
        assert caught.value.reason is Reason.TRUST_UNAVAILABLE
        if path.is_dir():
            path.rmdir()
        replace(path, document(OLD))
        until(lambda: keeper.ready)
        assert kids(keeper) == ["old"]
        break_it()
        keeper.refresh()
        clock.now += 86_400
        assert kids(keeper) == ["old"]
        clock.now += 1
        with pytest.raises(Unavailable, match="too old"):
            keeper(A)
        keeper.refresh()
        assert not keeper.ready
        assert events.changes.count("too_old") == 1
        if path.is_dir():
            path.rmdir()
        replace(path, document(NEW))
        keeper.refresh()
        assert kids(keeper) == ["new"]
        assert keeper.ready


def test_a_file_that_stays_as_it_is_does_not_grow_old(tmp_path: Path) -> None:
    path, clock = tmp_path / "bundle.json", Clock()
    path.write_bytes(document(OLD))
    os.utime(path, (1, 1))
    with TrustBundleKeeper(BundleFile(A, path), clock=clock) as keeper:
        for _ in range(3):
            clock.now += 80_000
            keeper.refresh()
            assert kids(keeper) == ["old"]


def test_an_older_file_renews_nothing(tmp_path: Path) -> None:
    """IS-35: put back from a backup."""
    path, clock, events = tmp_path / "bundle.json", Clock(), Events()
    path.write_bytes(document(NEW, sequence=2))
    with TrustBundleKeeper(BundleFile(A, path), clock=clock, on_event=events) as keeper:
        replace(path, document(OLD, sequence=1))
        os.utime(path, (1, 1))
        for _ in range(3):
            clock.now += 40_000
            if clock.now < 1_000 + 86_400:
                assert kids(keeper) == ["new"]
            keeper.refresh()
        with pytest.raises(Unavailable, match="too old"):
            keeper(A)
    assert events.changes == ["updated", "ignored", "too_old"]


def test_a_file_that_is_written_twice_within_a_tick_is_read_twice(tmp_path: Path) -> None:
    """The same length, the same inode, and times that a clock of the file system cannot tell apart."""
    path = tmp_path / "bundle.json"
    path.write_bytes(document(OLD))
    with TrustBundleKeeper(BundleFile(A, path)) as keeper:
        status = path.stat()
        path.write_bytes(document(NEW))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        keeper.refresh()
        assert kids(keeper) == ["new"]


def test_a_map_gives_the_bundles_of_its_domains(tmp_path: Path) -> None:
    path, events = tmp_path / "map.json", Events()
    path.write_bytes(bundle_map_json(TrustBundles(bundle(A, OLD), bundle(B, NEW))))
    with TrustBundleKeeper(BundleMapFile(path), settings=QUICK, on_event=events) as keeper:
        assert (kids(keeper), kids(keeper, B)) == (["old"], ["new"])
        assert keeper(TrustDomain("wimse", "a.example")) is None
        replace(path, bundle_map_json(TrustBundles(bundle(B, NEW))))
        until(lambda: keeper(A) is None)
        assert kids(keeper, B) == ["new"]
        os.utime(path, (1, 1))
        before = keeper(B)
        for _ in range(3):  # read for its new times, and then not any more
            keeper.refresh()
        assert keeper(B) is before
        assert set(keeper.bundles()) == {B}
    assert "removed" in events.changes


def test_a_map_with_a_domain_twice_changes_nothing(tmp_path: Path) -> None:
    """IS-36."""
    path, events = tmp_path / "map.json", Events()
    path.write_bytes(bundle_map_json(TrustBundles(bundle(A, OLD))))
    with TrustBundleKeeper(BundleMapFile(path), settings=QUICK, on_event=events) as keeper:
        good, evil = document(OLD).decode(), document(NEW).decode()
        replace(path, f'{{"trust_domains": {{"a.example": {good}, "a.example": {evil}}}}}'.encode())
        until(lambda: "failed" in events.changes)
        assert kids(keeper) == ["old"]
        assert events[-1].trust_domain is None


def test_a_map_is_asked_for_what_no_other_source_is_for(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_bytes(bundle_map_json(TrustBundles(bundle(A, OLD), bundle(B, OLD))))
    mine = bundle(A, NEW)
    with TrustBundleKeeper(mine, BundleMapFile(path)) as keeper:
        assert keeper(A) is mine
        assert kids(keeper, B) == ["old"]
        assert keeper.bundles()[A] is mine


def test_sources_that_contradict_each_other_are_a_mistake(tmp_path: Path) -> None:
    """SV-33: bundles are never merged."""
    file = BundleFile(A, tmp_path / "a")
    for sources in (
        (),
        (file, BundleFile(A, tmp_path / "b")),
        (bundle(A, OLD), bundle(A, NEW)),
        (bundle(A, OLD), file),
        (BundleMapFile(tmp_path / "a"), BundleMapFile(tmp_path / "b")),
    ):
        with pytest.raises(ConfigurationError):
            TrustBundleKeeper(*sources)
