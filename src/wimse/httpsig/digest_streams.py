"""Verified content as a stream: all or nothing, or in the explicit streaming mode with the last chunk held back.

`collected` hands on nothing that is not verified, and needs memory for all of it. `held_back` needs memory for one
chunk, and whoever reads from it may act on bytes that turn out to be wrong: it ends in an error before the last chunk,
so that only a reader who commits nothing before the end of the stream is safe. The choice is the caller's, and neither
function stands in for the other in silence.

What was hashed is what is handed on: a chunk that somebody could change meanwhile is copied first.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.digest import Chunk, DigestVerifier
from wimse.httpsig.message import Fields

__all__ = ["HeldBack", "collected", "collected_async", "held_back", "held_back_async"]


def no_trailers() -> Fields:
    """The trailer section of a message that has none."""
    return Fields()


class HeldBack:
    """The core of the streaming mode: a chunk comes out when the next one has gone in, the last one when verified."""

    __slots__ = ("_held", "_verifier")

    def __init__(self, verifier: DigestVerifier) -> None:
        """Begin.

        Args:
            verifier: a fresh one, made from the message's fields.
        """
        self._verifier = verifier
        self._held = b""

    def push(self, chunk: Chunk) -> bytes:
        """Take the next chunk.

        Returns:
            The chunk before, to be handed on; empty when there is none. It is not verified.

        Raises:
            Refused: as `DigestVerifier.update`.
        """
        # bytes() of bytes is the same object; of anything else a copy that nobody can change.
        taken = bytes(chunk)
        self._verifier.update(taken)
        if not taken:  # an empty last chunk would hold back nothing at all
            return b""
        ready, self._held = self._held, taken
        return ready

    def finish(self, trailers: Fields) -> bytes:
        """Verify all that was taken.

        Args:
            trailers: the fields of the trailer section.

        Returns:
            The last chunk; everything is verified now.

        Raises:
            Refused: as `DigestVerifier.finish`.
        """
        self._verifier.finish(trailers)
        ready, self._held = self._held, b""
        return ready


def held_back(
    chunks: Iterable[Chunk], verifier: DigestVerifier, *, trailers: Callable[[], Fields] = no_trailers
) -> Iterator[bytes]:
    """Hand on chunks as they come, and the last one only when everything is verified.

    Args:
        chunks: the content. An error of its own goes through, and nothing after it is handed on.
        verifier: a fresh one, made from the message's fields.
        trailers: called after the last chunk for the fields of the trailer section.

    Yields:
        Chunks, none of them empty. Whoever stops before the end has verified nothing.

    Raises:
        Refused: as `DigestVerifier.update` and `finish`, always before the last chunk.
    """
    core = HeldBack(verifier)
    for chunk in chunks:
        if ready := core.push(chunk):
            yield ready
    if ready := core.finish(trailers()):
        yield ready


async def held_back_async(
    chunks: AsyncIterable[Chunk], verifier: DigestVerifier, *, trailers: Callable[[], Fields] = no_trailers
) -> AsyncIterator[bytes]:
    """Do as `held_back` does, for chunks that have to be awaited; arguments, results and errors are the same."""
    core = HeldBack(verifier)
    async for chunk in chunks:
        if ready := core.push(chunk):
            yield ready
    if ready := core.finish(trailers()):
        yield ready


class _Collection:
    # All or nothing: the one way out is through `finish`.
    def __init__(self, verifier: DigestVerifier, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ConfigurationError("max_bytes must not be negative")
        self._verifier = verifier
        self._max_bytes = max_bytes
        self._data = bytearray()

    def push(self, chunk: Chunk) -> None:
        taken = bytes(chunk)
        if len(self._data) + len(taken) > self._max_bytes:
            raise Refused(Reason.BODY_TOO_LARGE, f"the content is larger than {self._max_bytes} bytes")
        self._verifier.update(taken)
        self._data += taken

    def finish(self, trailers: Fields) -> bytes:
        self._verifier.finish(trailers)
        return bytes(self._data)


def collected(
    chunks: Iterable[Chunk],
    verifier: DigestVerifier,
    *,
    max_bytes: int = 1_048_576,
    trailers: Callable[[], Fields] = no_trailers,
) -> bytes:
    """Read all content into memory and return it when it is verified.

    Args:
        chunks: the content; how it is cut does not matter. No more is read once it is too large.
        verifier: a fresh one, made from the message's fields.
        max_bytes: most content taken, in bytes. Default 1 MiB.
        trailers: called after the last chunk for the fields of the trailer section.

    Raises:
        Refused: `body_too_large`; as `DigestVerifier.update` and `finish`.
        ConfigurationError: for a negative `max_bytes`.
    """
    collection = _Collection(verifier, max_bytes)
    for chunk in chunks:
        collection.push(chunk)
    return collection.finish(trailers())


async def collected_async(
    chunks: AsyncIterable[Chunk],
    verifier: DigestVerifier,
    *,
    max_bytes: int = 1_048_576,
    trailers: Callable[[], Fields] = no_trailers,
) -> bytes:
    """Do as `collected` does, for chunks that have to be awaited; arguments, results and errors are the same."""
    collection = _Collection(verifier, max_bytes)
    async for chunk in chunks:
        collection.push(chunk)
    return collection.finish(trailers())
