"""Two signers whose key is in the agent: one for synchronous programs, one for asyncio.

Each is all that `wimse.httpsig.sign` and `sign_async` ask for: the public key, and one method. A KMS or an HSM looks
the same: put its client where the socket is here, and bring its answer into the form of `PublicKey.verify` (many answer
ECDSA in DER; `cryptography`'s `decode_dss_signature` gives r and s). Whatever it answers is checked with the public key
before it is sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from wimse.errors import Reason, Unavailable
from wimse.keys import PublicKey

TIMEOUT_SECONDS = 5
MAX_SIGNATURE_BYTES = 1_024


class AgentSigner:
    """Signs through the agent at a Unix socket, and waits for it."""

    def __init__(self, path: str, public_key: PublicKey) -> None:
        self.path, self.public_key = path, public_key

    def sign(self, data: bytes) -> bytes:
        """Ask the agent."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_SECONDS)
                connection.connect(self.path)
                connection.sendall(struct.pack(">I", len(data)) + data)
                with connection.makefile("rb") as stream:
                    return stream.read(size_of(stream.read(4)))
        except OSError:
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the agent does not answer") from None


class AsyncAgentSigner:
    """Signs through the agent at a Unix socket; other tasks run meanwhile."""

    def __init__(self, path: str, public_key: PublicKey) -> None:
        self.path, self.public_key = path, public_key

    async def sign(self, data: bytes) -> bytes:
        """Ask the agent."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write(struct.pack(">I", len(data)) + data)
                    return await reader.readexactly(size_of(await reader.readexactly(4)))
                finally:
                    writer.close()
        except (OSError, EOFError):  # TimeoutError is an OSError
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the agent does not answer") from None


def size_of(head: bytes) -> int:
    """The length that an answer says it has; 0 for one that cannot be."""
    size: int = struct.unpack(">I", head)[0] if len(head) == 4 else 0
    return size if size <= MAX_SIGNATURE_BYTES else 0
