"""Content that waits in memory or in a file until it is verified."""

from __future__ import annotations

import os
import resource
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.httpsig import Digester, DigestVerifier, Fields, content_digest
from wimse.stores import Spool, SpoolSettings

CONTENT = bytes(range(256)) * 10
SMALL = SpoolSettings(max_memory_bytes=16, chunk_bytes=100)


def verifier(content: bytes = CONTENT) -> DigestVerifier:
    return DigestVerifier(Fields([("Content-Digest", content_digest(content))]))


def filled(settings: SpoolSettings, content: bytes = CONTENT) -> Spool:
    spool = Spool(verifier(content), settings)
    for start in range(0, len(content), 7):
        spool.write(content[start : start + 7])
    return spool


def descriptor(spool: Spool) -> int:
    assert spool._file is not None
    return spool._file.fileno()


@pytest.mark.parametrize("max_memory_bytes", [0, 1, len(CONTENT) - 1, len(CONTENT)])
def test_what_was_written_is_read_as_often_as_is_needed(max_memory_bytes: int) -> None:
    with filled(SpoolSettings(max_memory_bytes=max_memory_bytes, chunk_bytes=100)) as spool:
        assert spool.in_file == (max_memory_bytes < len(CONTENT))
        assert spool.size == len(CONTENT)
        spool.finish()
        for _ in range(2):
            chunks = list(spool.chunks())
            assert b"".join(chunks) == CONTENT
            assert {len(chunk) for chunk in chunks[:-1]} == {100}


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 100), st.integers(1, 50))
def test_how_the_content_is_cut_does_not_matter(chunks: list[bytes], max_memory_bytes: int, chunk_bytes: int) -> None:
    content = b"".join(chunks)
    settings = SpoolSettings(max_memory_bytes=max_memory_bytes, chunk_bytes=chunk_bytes)
    with Spool(verifier(content), settings) as spool:
        for chunk in chunks:
            spool.write(chunk)
        spool.finish()
        assert spool.in_file == (len(content) > max_memory_bytes)
        assert b"".join(spool.chunks()) == content


@pytest.mark.parametrize("settings", [SMALL, SpoolSettings()], ids=["file", "memory"])
def test_nothing_is_read_before_it_is_verified(settings: SpoolSettings) -> None:
    """DG-18"""
    spool = filled(settings)
    with pytest.raises(ConfigurationError):
        spool.chunks()
    spool.write(b"one byte more")
    with refused(Reason.DIGEST_MISMATCH):
        spool.finish()
    for call in (spool.chunks, spool.finish, lambda: spool.write(b"")):
        with pytest.raises(ConfigurationError):
            call()


def test_the_file_has_no_name_and_belongs_to_us_alone(tmp_path: Path) -> None:
    """DG-19: no link, mode 0600, whatever the umask; not handed to programs that we start."""
    before = os.umask(0)
    try:
        spool = filled(SpoolSettings(max_memory_bytes=0, directory=tmp_path))
    finally:
        os.umask(before)
    with spool:
        found = os.fstat(descriptor(spool))
        assert found.st_nlink == 0
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert found.st_size == len(CONTENT)
        assert found.st_dev == tmp_path.stat().st_dev
        assert not os.get_inheritable(descriptor(spool))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", [0, 1_000, len(CONTENT) - 1])
def test_a_file_that_changed_after_the_check_is_not_handed_on_whole(position: int) -> None:
    """DG-19: it is hashed again as it is handed on; the error is ours, not the peer's."""
    with filled(SMALL) as spool:
        spool.finish()
        os.pwrite(descriptor(spool), bytes([CONTENT[position] ^ 1]), position)
        out: list[bytes] = []
        with pytest.raises(Unavailable) as caught:
            out.extend(spool.chunks())
        assert caught.value.reason is Reason.SPOOL_UNAVAILABLE
        assert caught.value.http_status == 503


def test_the_last_chunk_of_a_changed_file_is_held_back() -> None:
    """DG-19"""
    with filled(SMALL) as spool:
        spool.finish()
        os.pwrite(descriptor(spool), b"\xff", 0)
        out: list[bytes] = []
        with pytest.raises(Unavailable):
            out.extend(spool.chunks())
        assert 0 < len(b"".join(out)) < len(CONTENT)


@pytest.mark.parametrize("size", [0, 100, len(CONTENT) - 1])
def test_a_file_that_was_cut_is_noticed(size: int) -> None:
    """DG-19"""
    with filled(SMALL) as spool:
        spool.finish()
        os.ftruncate(descriptor(spool), size)
        with pytest.raises(Unavailable):
            list(spool.chunks())


def test_a_file_that_was_cut_is_noticed_without_a_digest() -> None:
    with Spool(DigestVerifier(Fields(), required=False), SMALL) as spool:
        spool.write(CONTENT)
        spool.finish()
        os.ftruncate(descriptor(spool), 100)
        with pytest.raises(Unavailable):
            list(spool.chunks())


def test_a_file_that_cannot_be_read_is_said() -> None:
    with filled(SMALL) as spool:
        spool.finish()
        write_only = os.open(os.devnull, os.O_WRONLY)
        os.dup2(write_only, descriptor(spool))
        os.close(write_only)
        with pytest.raises(Unavailable) as caught:
            list(spool.chunks())
        assert caught.value.reason is Reason.SPOOL_UNAVAILABLE


def test_a_buffer_that_changes_later_changes_nothing() -> None:
    """DG-19"""
    for settings in (SMALL, SpoolSettings()):
        buffer = bytearray(CONTENT)
        with Spool(verifier(), settings) as spool:
            spool.write(memoryview(buffer))
            buffer[:] = bytes(len(buffer))
            spool.finish()
            assert b"".join(spool.chunks()) == CONTENT


def test_readers_do_not_disturb_each_other() -> None:
    with filled(SMALL) as spool:
        spool.finish()
        one, other = spool.chunks(), spool.chunks()
        assert next(one) == next(other) == CONTENT[:100]
        assert b"".join(one) == b"".join(other) == CONTENT[100:]


def test_a_digest_in_the_trailer() -> None:
    """DG-23: it counts for what is read again as well."""
    for settings in (SMALL, SpoolSettings()):
        with Spool(DigestVerifier(Fields(), trailer=True), settings) as spool:
            spool.write(CONTENT)
            spool.finish(Fields([("Content-Digest", content_digest(CONTENT))]))
            assert b"".join(spool.chunks()) == CONTENT


def test_what_fails_is_freed_at_once() -> None:
    spool = filled(SMALL)
    number = descriptor(spool)
    spool.write(b"x")
    with refused(Reason.DIGEST_MISMATCH):
        spool.finish()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


def test_the_limit_is_exact() -> None:
    """DG-21"""
    with Spool(verifier(), SpoolSettings(max_bytes=len(CONTENT))) as spool:
        spool.write(CONTENT)
        spool.finish()
    spool = Spool(verifier(), SpoolSettings(max_bytes=len(CONTENT) - 1))
    with refused(Reason.BODY_TOO_LARGE):
        spool.write(CONTENT)
    with pytest.raises(ConfigurationError):
        spool.write(b"")


def test_content_without_a_digest_is_not_kept() -> None:
    """DG-03"""
    with refused(Reason.DIGEST_MISSING):
        Spool(DigestVerifier(Fields()), SpoolSettings(max_memory_bytes=0)).write(b"x")


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with Spool(verifier(), SpoolSettings(max_memory_bytes=0, directory=tmp_path / "none")) as spool:
        with pytest.raises(Unavailable) as caught:
            spool.write(CONTENT)
        assert caught.value.reason is Reason.SPOOL_UNAVAILABLE


def test_a_full_disk_is_said_and_nothing_is_verified() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Spool(verifier(), SpoolSettings(max_memory_bytes=0)) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            with pytest.raises(Unavailable):
                spool.write(CONTENT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(ConfigurationError):
            spool.finish()


def test_nothing_is_read_after_it_is_closed() -> None:
    for settings in (SMALL, SpoolSettings()):
        spool = filled(settings)
        spool.finish()
        reader = spool.chunks()
        assert next(reader) == CONTENT[: settings.chunk_bytes]
        spool.close()
        spool.close()
        with pytest.raises(ConfigurationError):
            spool.chunks()
    spool = filled(SMALL)
    spool.finish()
    reader = spool.chunks()
    next(reader)
    spool.close()
    with pytest.raises(ConfigurationError):
        list(reader)


@pytest.mark.parametrize("wrong", ["max_memory_bytes", "max_bytes", "chunk_bytes"])
def test_a_size_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        SpoolSettings(**{wrong: -1})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        SpoolSettings(chunk_bytes=0)


def test_memory_does_not_depend_on_the_size() -> None:
    """DG-21: 100 MB in and out again."""
    size, count = 65_536, 1_600
    digester = Digester()
    for number in range(count):
        digester.update(number.to_bytes(8) * (size // 8))
    check = DigestVerifier(Fields([("Content-Digest", digester.finish())]))
    tracemalloc.start()
    try:
        with Spool(check) as spool:
            for number in range(count):
                spool.write(number.to_bytes(8) * (size // 8))
            spool.finish()
            assert sum(len(chunk) for chunk in spool.chunks()) == size * count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_several_at_once_do_not_meet() -> None:
    failures: list[str] = []

    def one(number: int) -> None:
        content = bytes([number]) * 5_000
        with filled(SMALL, content) as spool:
            spool.finish()
            if b"".join(spool.chunks()) != content:
                failures.append(str(number))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
