"""Where content waits until it is verified: in memory while it is small, then in a file that has no name.

Rules:

1. Nothing can be read before all of it is verified.
2. The file belongs to this process alone: it never has a name in the directory (O_TMPFILE), or where the system has no
   such files, loses it at once; its mode is 0600, and it is gone when it is closed, also by the end of the process.
3. What is handed on from the file is hashed once more, as it is handed on: between the check and the use a file can be
   written, by a fault of the disk or by whoever has a way to it. The last chunk comes only when the whole was right.
4. Memory does not depend on the size of the content.

Reading and writing block, as files do; an asynchronous server calls from a thread where its disk is slow.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import DigestVerifier, Fields, held_back

__all__ = ["Spool", "SpoolSettings"]

_NO_FIELDS: Final = Fields()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Where content waits, and how much of it.

    Attributes:
        max_memory_bytes: content up to this size stays in memory; above it all goes to a file. Default 64 KiB; 0 writes
            every content to a file.
        max_bytes: most content taken. Default 1 GiB, of disk space.
        chunk_bytes: size of the chunks in which it is handed on. Default 64 KiB.
        directory: where the file is made; None takes the system's directory for temporary files.

    Raises on construction:
        ConfigurationError: for a negative size, or chunks of less than one byte.
    """

    max_memory_bytes: int = 65_536
    max_bytes: int = 1_073_741_824
    chunk_bytes: int = 65_536
    directory: Path | None = None

    def __post_init__(self) -> None:
        if self.max_memory_bytes < 0 or self.max_bytes < 0:
            raise ConfigurationError("a spool's size must not be negative")
        if self.chunk_bytes < 1:
            raise ConfigurationError("chunk_bytes must be at least 1")


class Spool:
    """One message's content: written, verified, then read as often as is needed.

    A context manager; leaving it frees the memory and the file. What fails frees them at once.
    """

    def __init__(self, verifier: DigestVerifier, settings: SpoolSettings | None = None) -> None:
        """Begin with nothing.

        Args:
            verifier: a fresh one, made from the message's fields.
            settings: sizes and place.
        """
        self._verifier = verifier
        self._settings = settings or SpoolSettings()
        self._memory = bytearray()
        self._content = b""
        self._file: IO[bytes] | None = None
        self._size = 0
        self._state = "taking"

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._size

    @property
    def in_file(self) -> bool:
        """Whether the content is in a file."""
        return self._file is not None

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes.

        Raises:
            Refused: `body_too_large` above `max_bytes`; as `DigestVerifier.update`.
            Unavailable: `spool_unavailable` when the file cannot be made or written.
            ConfigurationError: after `finish`, a failure or `close`.
        """
        self._expect("taking")
        taken = bytes(chunk)  # what is hashed is what is kept
        try:
            self._size += len(taken)
            if self._size > self._settings.max_bytes:
                raise Refused(Reason.BODY_TOO_LARGE, f"the content is larger than {self._settings.max_bytes} bytes")
            self._verifier.update(taken)
            self._keep(taken)
        except BaseException:
            self.close()
            raise

    def finish(self, trailers: Fields = _NO_FIELDS) -> None:
        """Verify what was written. When this returns it can be read.

        Args:
            trailers: the fields of the trailer section.

        Raises:
            Refused: as `DigestVerifier.finish`.
            ConfigurationError: after `finish`, a failure or `close`.
        """
        self._expect("taking")
        try:
            self._verifier.finish(trailers)
        except BaseException:
            self.close()
            raise
        self._content, self._memory = bytes(self._memory), bytearray()
        self._state = "verified"

    def chunks(self) -> Iterator[bytes]:
        """Hand on the content, from its beginning; several readers do not disturb each other.

        Yields:
            Chunks, none of them empty.

        Raises:
            Unavailable: `spool_unavailable`, before the last chunk, when the file does not hold any more what was
                verified, or cannot be read.
            ConfigurationError: before `finish` has returned, and after `close`.
        """
        self._expect("verified")
        if self._file is None:
            step = self._settings.chunk_bytes
            return (self._content[start : start + step] for start in range(0, len(self._content), step))
        return self._from_file(self._file)

    def close(self) -> None:
        """Free the memory and the file; whoever is reading from the file gets an error."""
        self._state = "closed"
        self._memory, self._content = bytearray(), b""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _expect(self, state: str) -> None:
        if self._state != state:
            raise ConfigurationError(f"the spool is {self._state}")

    def _keep(self, chunk: bytes) -> None:
        if self._file is None and len(self._memory) + len(chunk) <= self._settings.max_memory_bytes:
            self._memory += chunk
            return
        try:
            if self._file is None:
                # O_TMPFILE with mode 0600, or mkstemp (0600 too) and unlink; unbuffered, so that an error is ours.
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._settings.directory)  # noqa: SIM115
                _write(self._file, self._memory)
                self._memory = bytearray()
            _write(self._file, chunk)
        except OSError:
            raise Unavailable(Reason.SPOOL_UNAVAILABLE, "the content cannot be written to a file") from None

    def _from_file(self, file: IO[bytes]) -> Iterator[bytes]:
        verifier = self._verifier.again()
        try:
            yield from held_back(self._blocks(file), verifier)
        except Refused:
            # The peer's content was right when it came: what is wrong now is ours.
            raise Unavailable(Reason.SPOOL_UNAVAILABLE, "the file does not hold any more what was verified") from None

    def _blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        position = 0
        while position < self._size:
            self._expect("verified")
            try:
                # Without moving the file's own position, which other readers share.
                size = min(self._settings.chunk_bytes, self._size - position)
                block = os.pread(file.fileno(), size, position)
            except OSError:
                raise Unavailable(Reason.SPOOL_UNAVAILABLE, "the file of the content cannot be read") from None
            if not block:
                raise Unavailable(Reason.SPOOL_UNAVAILABLE, "the file does not hold any more what was verified")
            yield block
            position += len(block)


def _write(file: IO[bytes], data: bytes | bytearray) -> None:
    # An unbuffered file may take less than it is given.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
