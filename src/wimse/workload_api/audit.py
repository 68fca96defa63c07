"""The audit log: one line of JSON for each issue, each refusal, each change of an entry and each of the keys.

Rules:

1. A line says who, what and until when. It holds no token, no key, and nothing that a caller has sent as it is.
2. Everything outside of printable ASCII is escaped, so that a line is a line whatever a file is called.
3. A credential leaves the server, and a change of an entry becomes true, after its line is written. So a process that
   is killed leaves a line too many, never one too few. Where that is demanded (`required`) a line that cannot be
   written means that nothing is issued and nothing is changed; else it is said in the log, and counted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import stat
import time
from pathlib import Path
from typing import Any, Final

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.workload_api.events import EntryChanged, EntryChangeFailed, Event, Issued, KeysChanged, Recorder

__all__ = ["AuditLog"]

log = logging.getLogger("wimse.workload_api")

_write: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


class AuditLog(Recorder):
    """Writes events to a file; an observer of `IdentityServer`."""

    def __init__(self, path: str | os.PathLike[str], *, required: bool = False) -> None:
        """Open the file, which is made with mode 0600.

        Args:
            path: where lines are appended.
            required: whether an issue, or a change of an entry, that cannot be recorded is refused.

        Raises:
            ConfigurationError: when it cannot be opened, is no regular file, or others may write to it.
        """
        self._path = Path(path)
        self._required = required
        self._torn = False
        self.failures = 0
        self._descriptor = self._open()

    def __call__(self, event: Event) -> None:
        """Write one line.

        Raises:
            Unavailable: `issuer_unavailable` when it cannot be written and is required.
        """
        line = _write(_document(event, time.time())).encode("ascii")
        # After a line that was cut off, by a full disk say, the next one begins on a line of its own.
        data = (b"\n" if self._torn else b"") + line + b"\n"
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        if written == len(data):
            self._torn = False
            return
        self._torn = self._torn or written > 0
        self.failures += 1
        log.error("the audit log %s cannot be written", self._path)
        if self._required and isinstance(event, Issued | EntryChanged):
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the audit log cannot be written")

    def reopen(self) -> None:
        """Open the file again, after it was moved away.

        Raises:
            ConfigurationError: as on construction; the old file stays in use.
        """
        descriptor = self._open()
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot open the audit log {self._path}: {error.strerror}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
            os.close(descriptor)
            raise ConfigurationError(
                f"the audit log {self._path} must be a regular file that only its owner may write: chmod 0600"
            )
        return descriptor


def _document(event: Event, now: float) -> dict[str, Any]:
    return {"time": round(now, 3), **_members(event)}


def _members(event: Event) -> dict[str, Any]:
    if isinstance(event, Issued):
        caller = event.caller
        return {
            "event": "issued",
            "credential": event.credential,
            "subject": event.subject,
            "issued_at": event.issued_at,
            "expires_at": event.expires_at,
            **({"jti": event.token_id} if event.token_id else {}),
            "pid": caller.pid,
            "uid": caller.uid,
            "gid": caller.gid,
            "executable": caller.executable,
        }
    if isinstance(event, KeysChanged):
        return {"event": "keys_changed", **dataclasses.asdict(event)}
    if isinstance(event, EntryChangeFailed):
        return {"event": "entry_change_failed", **dataclasses.asdict(event.change)}
    if isinstance(event, EntryChanged):
        members = dataclasses.asdict(event)
        return {"event": f"entry_{members.pop('action')}", **members}
    return {
        "event": "refused",
        "method": event.method,
        "status": event.status,
        "reason": None if event.reason is None else event.reason.code,
        "detail": event.detail,
        "pid": event.pid,
        "uid": event.uid,
    }
