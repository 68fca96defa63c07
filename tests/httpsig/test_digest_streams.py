"""Verified content as a stream: what comes out, and when."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    Digester,
    DigestVerifier,
    Fields,
    HeldBack,
    collected,
    collected_async,
    content_digest,
    held_back,
    held_back_async,
)

CHUNKS = [b"one", b"two", b"three"]
CONTENT = b"".join(CHUNKS)
Chunks = Iterable[bytes | bytearray | memoryview]


def verifier(content: bytes = CONTENT, *, max_bytes: int | None = None) -> DigestVerifier:
    return DigestVerifier(Fields([("Content-Digest", content_digest(content))]), max_bytes=max_bytes)


async def awaited(chunks: Chunks) -> AsyncIterator[bytes | bytearray | memoryview]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def handed_on(
    chunks: Chunks, check: DigestVerifier, trailers: Fields | None = None
) -> tuple[list[bytes], Reason | None]:
    out: list[bytes] = []
    try:
        out.extend(held_back(chunks, check, trailers=lambda: trailers or Fields()))
    except Refused as error:
        return out, error.reason
    return out, None


def handed_on_async(
    chunks: Chunks, check: DigestVerifier, trailers: Fields | None = None
) -> tuple[list[bytes], Reason | None]:
    async def read() -> tuple[list[bytes], Reason | None]:
        out: list[bytes] = []
        try:
            async for chunk in held_back_async(awaited(chunks), check, trailers=lambda: trailers or Fields()):
                out.append(chunk)
        except Refused as error:
            return out, error.reason
        return out, None

    return asyncio.run(read())


both = pytest.mark.parametrize("read", [handed_on, handed_on_async], ids=["sync", "async"])
Read = Callable[..., tuple[list[bytes], Reason | None]]


@both
def test_right_content_comes_out_whole(read: Read) -> None:
    assert read(CHUNKS, verifier()) == (CHUNKS, None)
    assert read([], verifier(b"")) == ([], None)
    assert read([], DigestVerifier(Fields())) == ([], None)


@both
def test_the_error_comes_before_the_last_chunk(read: Read) -> None:
    """DG-18: the explicit streaming mode."""
    assert read(CHUNKS, verifier(b"other")) == (CHUNKS[:-1], Reason.DIGEST_MISMATCH)
    assert read([CONTENT], verifier(b"other")) == ([], Reason.DIGEST_MISMATCH)


@both
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_empty_chunk_at_the_end_is_not_the_last_one(read: Read, kind: type) -> None:
    """DG-18: else all bytes would be out before the error."""
    assert read([*CHUNKS, kind(b""), kind(b"")], verifier(b"other")) == (CHUNKS[:-1], Reason.DIGEST_MISMATCH)
    assert read([b"", CONTENT, b""], verifier()) == ([CONTENT], None)


@both
def test_content_without_a_digest_does_not_begin(read: Read) -> None:
    """DG-03"""
    assert read(CHUNKS, DigestVerifier(Fields())) == ([], Reason.DIGEST_MISSING)


@both
def test_a_limit_ends_the_stream(read: Read) -> None:
    """DG-21: the rest is not even asked for."""

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10

    out, reason = read(endless(), verifier(b"", max_bytes=35))
    assert reason is Reason.BODY_TOO_LARGE
    assert sum(map(len, out)) < 35


@both
def test_a_digest_in_the_trailer(read: Read) -> None:
    """DG-23: where the caller says so, and only there."""
    trailers = Fields([("Content-Digest", content_digest(CONTENT))])
    assert read(CHUNKS, DigestVerifier(Fields(), trailer=True), trailers) == (CHUNKS, None)
    assert read([b"x"], DigestVerifier(Fields(), trailer=True), trailers) == ([], Reason.DIGEST_MISMATCH)
    assert read(CHUNKS, DigestVerifier(Fields(), trailer=True)) == (CHUNKS[:-1], Reason.DIGEST_MISSING)
    assert read(CHUNKS, verifier(), trailers) == (CHUNKS[:-1], Reason.DIGEST_IN_TRAILER)


@both
def test_a_buffer_that_is_used_again_changes_nothing(read: Read) -> None:
    """DG-19: what was hashed is what comes out."""
    buffer = bytearray(4)

    def reused() -> Iterator[bytearray | memoryview]:
        for number, word in enumerate((b"abcd", b"efgh", b"ijkl")):
            buffer[:] = word
            yield buffer if number % 2 else memoryview(buffer)
        buffer[:] = b"evil"

    assert read(reused(), verifier(b"abcdefghijkl")) == ([b"abcd", b"efgh", b"ijkl"], None)


@both
def test_an_error_of_the_source_goes_through(read: Read) -> None:
    def broken() -> Iterator[bytes]:
        yield from CHUNKS
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        read(broken(), verifier())


def test_whoever_swallows_an_error_gets_no_last_chunk() -> None:
    """DG-18"""
    core = HeldBack(verifier(b"other"))
    assert core.push(CONTENT) == b""
    for _ in range(2):
        with refused(Reason.DIGEST_MISMATCH):
            core.finish(Fields())
    with refused(Reason.DIGEST_MISMATCH):
        core.push(b"more")


@given(st.lists(st.binary(max_size=20), max_size=10), st.booleans())
def test_all_but_the_last_chunk_comes_out_and_the_last_when_it_is_right(chunks: list[bytes], right: bool) -> None:
    content = b"".join(chunks)
    full = [chunk for chunk in chunks if chunk]
    expected = (full, None) if right else (full[:-1], Reason.DIGEST_MISMATCH)
    check = verifier(content if right else content + b"\0")
    assert handed_on(chunks, check) == expected


@pytest.mark.parametrize("asynchronous", [False, True])
class TestCollected:
    @staticmethod
    def read(asynchronous: bool, chunks: Chunks, check: DigestVerifier, max_bytes: int = 100) -> bytes:
        if asynchronous:
            return asyncio.run(collected_async(awaited(chunks), check, max_bytes=max_bytes))
        return collected(chunks, check, max_bytes=max_bytes)

    def test_all_of_it(self, asynchronous: bool) -> None:
        assert self.read(asynchronous, CHUNKS, verifier()) == CONTENT

    def test_or_nothing(self, asynchronous: bool) -> None:
        """DG-01, DG-18"""
        with refused(Reason.DIGEST_MISMATCH):
            self.read(asynchronous, CHUNKS, verifier(b"other"))

    def test_the_limit_is_exact(self, asynchronous: bool) -> None:
        """DG-21"""
        assert self.read(asynchronous, CHUNKS, verifier(), len(CONTENT)) == CONTENT
        with refused(Reason.BODY_TOO_LARGE):
            self.read(asynchronous, CHUNKS, verifier(), len(CONTENT) - 1)
        with pytest.raises(ConfigurationError):
            self.read(asynchronous, CHUNKS, verifier(), -1)

    def test_what_comes_out_cannot_be_changed(self, asynchronous: bool) -> None:
        """DG-19"""
        buffer = bytearray(CONTENT)
        out = self.read(asynchronous, [buffer], verifier())
        buffer[:] = bytes(len(buffer))
        assert type(out) is bytes
        assert out == CONTENT


@pytest.mark.parametrize("read", [collected, lambda *both: b"".join(held_back(*both))], ids=["all", "held back"])
def test_a_bomb_is_limited_and_digested_as_it_came(read: Callable[[Chunks, DigestVerifier], bytes]) -> None:
    """DG-17: 64 MiB of zeros in 64 KiB, rightly digested; no coding is undone, before the limit or after it."""
    bomb = gzip.compress(bytes(67_108_864))
    fields = Fields([("Content-Encoding", "gzip"), ("Content-Digest", content_digest(bomb))])
    chunks = [bomb[start : start + 4_096] for start in range(0, len(bomb), 4_096)]

    def within(limit: int) -> bytes:
        return read(chunks, DigestVerifier(fields, max_bytes=limit))

    tracemalloc.start()
    try:
        assert within(len(bomb)) == bomb
        with refused(Reason.BODY_TOO_LARGE):
            within(len(bomb) - 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_memory_does_not_depend_on_the_size() -> None:
    """DG-21: 100 MB through the stream, sync and async, each chunk a new one."""
    size, count = 65_536, 1_600
    digester = Digester()
    for number in range(count):
        digester.update(number.to_bytes(8) * (size // 8))
    fields = Fields([("Content-Digest", digester.finish())])

    def content() -> Iterator[bytes]:
        return (number.to_bytes(8) * (size // 8) for number in range(count))

    async def read() -> int:
        total = 0
        async for chunk in held_back_async(awaited(content()), DigestVerifier(fields)):
            total += len(chunk)
        return total

    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in held_back(content(), DigestVerifier(fields))) == size * count
        assert asyncio.run(read()) == size * count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
