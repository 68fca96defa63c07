"""Two of gRPC's own services on the endpoint: health, and server reflection (SPIFFE_Workload_Endpoint §7).

Both need the security header, because every request to the endpoint does (§3), and neither asks who the caller is.
Reflection shows the .proto files of the services that are served and what they import, nothing else that happens to be
loaded in this process. It answers from values that are made once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.struct_pb2 import DESCRIPTOR as _STRUCT
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from wimse.workload_api.call import Call, Method
from wimse.workload_api.calls import CallGate, Session
from wimse.workload_api.proto import minispire_pb2, workload_pb2
from wimse.workload_api.standard_messages import HEALTH_FILE, REFLECTION_FILES, StandardFile
from wimse.workload_api.state import ServedState

__all__ = ["HealthService", "ReflectionService", "reflection_services"]

_NOT_FOUND: Final = 5  # google.rpc.Code
_INVALID_ARGUMENT: Final = 3
_UNKNOWN, _SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = range(4)


class HealthService:
    """`grpc.health.v1.Health`: whether the server accepts calls and its issuer issues."""

    def __init__(self, state: ServedState, gate: CallGate, services: Sequence[str]) -> None:
        """Answer for these services, and for the server as a whole under the empty name."""
        self._state = state
        self._gate = gate
        self._services = frozenset({"", *services})
        self._response = HEALTH_FILE.message("HealthCheckResponse")

    def __mapping__(self) -> dict[str, Method]:
        """The methods by path."""
        request, response = HEALTH_FILE.message("HealthCheckRequest"), self._response
        return {
            "/grpc.health.v1.Health/Check": self._gate.guard(request, response, self._check),
            "/grpc.health.v1.Health/Watch": self._gate.guard(request, response, self._watch, streams=True),
        }

    def _status(self, service: str) -> int:
        if service not in self._services:
            return _SERVICE_UNKNOWN
        return _SERVING if self._state.healthy else _NOT_SERVING

    async def _check(self, call: Call, session: Session, request: Any) -> None:
        status = self._status(request.service)
        if status == _SERVICE_UNKNOWN:
            raise GRPCError(Status.NOT_FOUND, "no such service")
        await session.send(call, self._response(status=status))

    async def _watch(self, call: Call, session: Session, request: Any) -> None:
        sent = _UNKNOWN
        while True:
            seen, status = session.version, self._status(request.service)
            if status != sent:
                await session.send(call, self._response(status=status))
                sent = status
            self._state.check_running()
            await session.wait(seen, session.recheck_seconds)


class ReflectionService:
    """`grpc.reflection.*.ServerReflection` of one version."""

    def __init__(self, gate: CallGate, services: Sequence[str], version: StandardFile) -> None:
        """Show `services`."""
        self._gate = gate
        self._services = services
        self._file = version
        self._response = version.message("ServerReflectionResponse")
        files = [
            FileDescriptorProto.FromString(_STRUCT.serialized_pb),
            FileDescriptorProto.FromString(workload_pb2.DESCRIPTOR.serialized_pb),
            FileDescriptorProto.FromString(minispire_pb2.DESCRIPTOR.serialized_pb),
            HEALTH_FILE.descriptor,
            *(each.descriptor for each in REFLECTION_FILES),
        ]
        hidden = {symbol for file in files for symbol in _services(file)} - set(services)
        shown = [file for file in files if not set(_services(file)) or not hidden.issuperset(_services(file))]
        self._by_name = {file.name: file.SerializeToString() for file in shown}
        self._by_symbol = {symbol: self._by_name[file.name] for file in shown for symbol in _symbols(file)}
        self._messages = {symbol for file in shown for symbol in _message_names(file)}

    def __mapping__(self) -> dict[str, Method]:
        """The method by path."""
        request = self._file.message("ServerReflectionRequest")
        method = self._gate.guard(request, self._response, self._info, streams=True, takes_many=True)
        return {f"/{self._file.descriptor.package}.ServerReflection/ServerReflectionInfo": method}

    async def _info(self, call: Call, session: Session, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            await session.send(call, self._answer(request))

    def _answer(self, request: Any) -> Any:
        response = self._response(valid_host=request.host, original_request=request)
        asked = request.WhichOneof("message_request")
        found: bytes | None = None
        if asked == "list_services":
            for name in self._services:
                response.list_services_response.service.add(name=name)
            return response
        if asked == "file_by_filename":
            found = self._by_name.get(request.file_by_filename)
        elif asked == "file_containing_symbol":
            found = self._by_symbol.get(request.file_containing_symbol)
        elif asked == "all_extension_numbers_of_type" and request.all_extension_numbers_of_type in self._messages:
            # messages of proto3: there are none
            response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
            return response
        if found is not None:
            response.file_descriptor_response.file_descriptor_proto.append(found)
        else:
            response.error_response.error_code = _NOT_FOUND if asked else _INVALID_ARGUMENT
            response.error_response.error_message = "not found" if asked else "nothing is asked for"
        return response


def reflection_services(gate: CallGate, served: Sequence[str]) -> list[ReflectionService]:
    """Both versions, which show `served` and themselves."""
    own = [f"{file.descriptor.package}.ServerReflection" for file in REFLECTION_FILES]
    return [ReflectionService(gate, (*served, *own), file) for file in REFLECTION_FILES]


def _full(file: FileDescriptorProto, name: str) -> str:
    return f"{file.package}.{name}" if file.package else name


def _services(file: FileDescriptorProto) -> Iterator[str]:
    return (_full(file, service.name) for service in file.service)


def _message_names(file: FileDescriptorProto) -> Iterator[str]:
    def inside(prefix: str, message: DescriptorProto) -> Iterator[str]:
        yield prefix + message.name
        for nested in message.nested_type:
            yield from inside(f"{prefix}{message.name}.", nested)

    prefix = f"{file.package}." if file.package else ""
    for message in file.message_type:
        yield from inside(prefix, message)


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    yield from _message_names(file)
    for service in file.service:
        yield _full(file, service.name)
        yield from (f"{_full(file, service.name)}.{method.name}" for method in service.method)
    for message in file.message_type:
        for enum in message.enum_type:
            yield f"{_full(file, message.name)}.{enum.name}"
