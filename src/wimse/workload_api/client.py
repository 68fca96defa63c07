"""A thin client of the endpoint: one method for each call, with the security header, and errors of our own tree.

What a gRPC status becomes (SPIFFE_Workload_Endpoint §6):

| status | error | retry |
|---|---|---|
| PermissionDenied | `Refused`, with the server's reason or `no_identity` | with backoff |
| InvalidArgument | `Refused`, with the server's reason or `message_malformed` | no |
| Unimplemented | `ConfigurationError` | no |
| any other, or no connection | `Unavailable`, `issuer_unavailable` | with backoff |
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import DecodeError, Message
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError

from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, WimseError
from wimse.workload_api.address import EndpointAddress, default_socket
from wimse.workload_api.calls import SECURITY_HEADER
from wimse.workload_api.connections import LOST, Connection
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings

__all__ = ["WorkloadAPIClient"]

_REASONS = {reason.code: reason for reason in Reason}
_METADATA = (SECURITY_HEADER,)
# What a server lacks that answers Unimplemented: SPIRE's agent has no WIT-SVID profile (§7: it is optional).
_MISSING = {
    "FetchWITSVID": "has no WITs",
    "FetchWITBundles": "has no WITs",  # one profile, and which of its calls is answered first is chance
    "FetchX509SVID": "has no X.509-SVIDs",
    "FetchX509Bundles": "has no X.509 bundles",
    "FetchJWTSVID": "has no JWT-SVIDs",
    "FetchJWTBundles": "has no JWT bundles",
    "MintWITSVID": "is not minispire and mints no WITs",
}


class WorkloadAPIClient:
    """A client of the Workload API; used as ``async with``, inside one event loop.

    It connects with the first call, and again with the next call after the connection was lost.
    """

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        *,
        settings: SourceSettings | None = None,
        shared: bool = False,
    ) -> None:
        """Choose the endpoint.

        Args:
            socket: ``unix:///path`` or ``tcp://address:port``; by default what `SPIFFE_ENDPOINT_SOCKET` says, else
                ``unix:///tmp/spire.sock``.
            settings: `call_timeout` is used.
            shared: use the connection that all who say so have in this event loop to this address, as sources do.

        Raises:
            ConfigurationError: when the address is malformed.
        """
        if isinstance(socket, str):
            socket = EndpointAddress.parse(socket)
        self.address = socket or default_socket()
        self._timeout = (settings or SourceSettings()).call_timeout.total_seconds()
        self._shared = shared
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. The last one to do so closes it; calls that are open end with `Unavailable`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def drop_connection(self) -> None:
        """Close a connection that is up and does not answer, for all who share it: their next calls connect anew."""
        if self._connection is not None:
            self._connection.drop()

    def watch_wit_svids(self, spiffe_id: str = "") -> AsyncIterator[pb.WITSVIDResponse]:
        """FetchWITSVID: every message holds all WITs; close the iterator to end the call.

        Args:
            spiffe_id: the identity that is wanted; empty for all.

        Raises:
            Refused: see the module.
            Unavailable: see the module; also when the server ends the stream.
            ConfigurationError: when the server does not have the call.
        """
        return self._stream("FetchWITSVID", pb.WITSVIDRequest(spiffe_id=spiffe_id), pb.WITSVIDResponse)

    def watch_wit_bundles(self) -> AsyncIterator[pb.WITBundlesResponse]:
        """FetchWITBundles: every message holds all bundles; as `watch_wit_svids`."""
        return self._stream("FetchWITBundles", pb.WITBundlesRequest(), pb.WITBundlesResponse)

    def watch_x509_svids(self) -> AsyncIterator[pb.X509SVIDResponse]:
        """FetchX509SVID: every message holds all certificates and keys; as `watch_wit_svids`."""
        return self._stream("FetchX509SVID", pb.X509SVIDRequest(), pb.X509SVIDResponse)

    def watch_x509_bundles(self) -> AsyncIterator[pb.X509BundlesResponse]:
        """FetchX509Bundles: every message holds all bundles; as `watch_wit_svids`."""
        return self._stream("FetchX509Bundles", pb.X509BundlesRequest(), pb.X509BundlesResponse)

    def watch_jwt_bundles(self) -> AsyncIterator[pb.JWTBundlesResponse]:
        """FetchJWTBundles: every message holds all bundles; as `watch_wit_svids`."""
        return self._stream("FetchJWTBundles", pb.JWTBundlesRequest(), pb.JWTBundlesResponse)

    async def fetch_jwt_svids(self, audience: Sequence[str], spiffe_id: str = "") -> pb.JWTSVIDResponse:
        """FetchJWTSVID.

        Args:
            audience: at least one recipient.
            spiffe_id: the identity that is wanted; empty for all.

        Raises:
            Refused: see the module.
            Unavailable: see the module.
            ConfigurationError: when the server does not have the call.
        """
        request = pb.JWTSVIDRequest(audience=audience, spiffe_id=spiffe_id)
        response: pb.JWTSVIDResponse = await self._call("FetchJWTSVID", request, pb.JWTSVIDResponse)
        return response

    async def validate_jwt_svid(self, token: str, audience: str) -> pb.ValidateJWTSVIDResponse:
        """ValidateJWTSVID: the server's judgement on a token.

        Args:
            token: the JWT-SVID.
            audience: who we are.

        Raises:
            Refused: with the reason for which the token is not valid; else as `fetch_jwt_svids`.
            Unavailable: see the module.
            ConfigurationError: when the server does not have the call.
        """
        request = pb.ValidateJWTSVIDRequest(audience=audience, svid=token)
        response: pb.ValidateJWTSVIDResponse = await self._call("ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse)
        return response

    async def mint_wit_svids(self, spiffe_id: str = "") -> pb.WITSVIDResponse:
        """MintWITSVID of minispire; keys are base64 PKCS#8. Errors as `fetch_jwt_svids`."""
        request = pb.WITSVIDRequest(spiffe_id=spiffe_id)
        response: pb.WITSVIDResponse = await self._call(
            "MintWITSVID", request, pb.WITSVIDResponse, service="MiniSPIREWorkloadAPI"
        )
        return response

    def _open_channel(self) -> Channel:
        if self._connection is None:
            self._connection = Connection.acquire(self.address, shared=self._shared)
        return self._connection.channel

    async def _call(
        self, name: str, request: Message, kind: type[Message], *, service: str = "SpiffeWorkloadAPI"
    ) -> Any:
        with _translated(name):
            method = UnaryUnaryMethod(self._open_channel(), f"/{service}/{name}", type(request), kind)
            return await method(request, timeout=self._timeout, metadata=_METADATA)

    async def _stream(self, name: str, request: Message, kind: type[Message]) -> AsyncIterator[Any]:
        with _translated(name):
            method = UnaryStreamMethod(self._open_channel(), f"/SpiffeWorkloadAPI/{name}", type(request), kind)
            async with method.open(metadata=_METADATA) as stream:
                # No timeout for the stream as a whole; its first message is due at once (§4.3).
                async with asyncio.timeout(self._timeout):
                    await stream.send_message(request, end=True)
                    message = await stream.recv_message()
                while message is not None:
                    yield message
                    message = await stream.recv_message()
        raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server has ended the stream")


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except GRPCError as error:
        raise _from_status(name, error) from None
    except TimeoutError:
        raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server does not answer") from None
    except LOST:
        raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server cannot be reached") from None
    except (DecodeError, AssertionError, NotImplementedError, ProtocolError):
        raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server's answer is malformed") from None


def _from_status(name: str, error: GRPCError) -> WimseError:
    said = _REASONS.get(error.message or "")
    if error.status is Status.PERMISSION_DENIED:
        reason = said if said and said.reason_class is ReasonClass.AUTHORIZATION else Reason.NO_IDENTITY
        return Refused(reason, f"{name}: the identity server gives this process no such identity")
    if error.status is Status.INVALID_ARGUMENT:
        return Refused(said or Reason.MESSAGE_MALFORMED, f"{name}: the identity server refuses the request")
    if error.status is Status.UNIMPLEMENTED:
        what = _MISSING.get(name, "does not have this call")
        return ConfigurationError(f"the identity server {what} ({name} is not implemented)")
    return Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server answers {error.status.name}")
