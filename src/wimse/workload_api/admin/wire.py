"""The admin service on the wire: gRPC whose messages are JSON (`application/grpc+json`), decoded strictly.

A failure is a gRPC status whose message is the reason's code, a colon and the detail; both ends are operators' here, so
that the detail may be told.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from grpclib.const import Status
from grpclib.encoding.base import CodecBase

from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, WimseError

__all__ = ["SERVICE", "JSONCodec", "StrictType", "error_of", "printable", "status_of"]

SERVICE: Final = "wimse.admin.v1.Entries"

_REASONS: Final = {reason.code: reason for reason in Reason}
_STATUS: Final = {
    Reason.ENTRY_UNKNOWN: Status.NOT_FOUND,
    Reason.ENTRY_CONFLICT: Status.FAILED_PRECONDITION,
    Reason.STORE_CONFLICT: Status.ABORTED,
    Reason.CONFIGURATION: Status.INVALID_ARGUMENT,  # the caller's, not the server's
}
_MAX_DETAIL: Final = 400  # characters: some name a field of the request


class JSONCodec(CodecBase):
    """Messages as JSON, for grpclib."""

    __content_subtype__ = "json"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's signature
        """Write a message."""
        return msgspec.json.encode(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Read a message; raises msgspec's errors."""
        return msgspec.json.decode(data, type=message_type)


class StrictType:
    """A type of message with the one method that a `Method` needs of its requests."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        """Read messages of this type."""
        self._decoder = msgspec.json.Decoder(kind)

    def FromString(self, data: bytes) -> Any:  # noqa: N802 - protobuf's name
        """Read one.

        Raises:
            Refused: `json_malformed`, with the place.
        """
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(Reason.JSON_MALFORMED, printable(f"the request: {error}")) from None


def printable(text: str) -> str:
    """`text` as one line that a log can take."""
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_DETAIL])


def status_of(error: WimseError) -> tuple[Status, str]:
    """Status and message that tell an error."""
    status = _STATUS.get(error.reason) or Status[error.reason_class.grpc_status]
    return status, f"{error.reason.code}: {printable(error.detail)}"


def error_of(status: Status, message: str | None) -> WimseError:
    """The error that a status and its message tell."""
    code, _, detail = (message or "").partition(": ")
    reason = _REASONS.get(code)
    if status in (Status.UNIMPLEMENTED, Status.UNKNOWN):  # grpclib makes the second of what it answers for the first
        return ConfigurationError("there is no admin service on this socket; is it the Workload API's?")
    if reason is None:
        return Unavailable(Reason.ISSUER_UNAVAILABLE, f"the admin socket answers {status.name}")
    detail = printable(detail) or f"the admin socket answers {status.name}"
    if reason is Reason.CONFIGURATION:
        return ConfigurationError(detail)
    kind = Unavailable if reason.reason_class is ReasonClass.UNAVAILABLE else Refused
    return kind(reason, detail)
