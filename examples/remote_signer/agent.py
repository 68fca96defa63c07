"""The agent: holds a private key and signs what comes over a Unix socket. The key never leaves this process.

    python agent.py KEY.json SOCKET

One request on each connection: four bytes of length, most significant first, and as many bytes to sign. The answer has
the same form; an empty one means no. Who may connect is what the permissions of the socket say.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

from wimse.keys import load_private_key

MAX_BYTES = 1_048_576


def read_frame(connection: socket.socket) -> bytes:
    """Read four bytes of length, and what follows; empty when it is too long or ends early."""
    with connection.makefile("rb") as stream:
        head = stream.read(4)
        size = struct.unpack(">I", head)[0] if len(head) == 4 else 0
        data = stream.read(size) if size <= MAX_BYTES else b""
        return data if len(data) == size else b""


def serve(key_file: str, path: str) -> None:
    """Answer one connection after the other, for ever."""
    key = load_private_key(Path(key_file).read_bytes())
    with socket.socket(socket.AF_UNIX) as listener:
        os.umask(0o177)
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                try:
                    data = read_frame(connection)
                    made = key.sign(data) if data else b""
                    connection.sendall(struct.pack(">I", len(made)) + made)
                except OSError:
                    continue


if __name__ == "__main__":
    serve(*sys.argv[1:3])
