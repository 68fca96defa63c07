"""The messages of gRPC's health and reflection services, made at run time in a descriptor pool of their own.

The standard's .proto files have names that other libraries register as well (grpcio-health-checking, grpclib); in a
shared pool the second one to be imported fails. See `wimse.workload_api.proto.pool`. Field numbers are those of
grpc/health/v1/health.proto and grpc/reflection/v1/reflection.proto; v1alpha is v1 under another package.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["HEALTH_FILE", "REFLECTION_FILES", "StandardFile"]

_TYPES: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}
_Fields = tuple[str, ...]  # "number name type", where * means repeated and ? the oneof of the message


class StandardFile:
    """One .proto file and its messages.

    Attributes:
        descriptor: the file, as reflection gives it.
    """

    def __init__(self, descriptor: FileDescriptorProto) -> None:
        """Build the messages of a file."""
        self.descriptor = descriptor
        self._pool = DescriptorPool()
        self._pool.AddSerializedFile(descriptor.SerializeToString())

    def message(self, name: str) -> Any:
        """The class of a message, by its name without the package."""
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{self.descriptor.package}.{name}"))


def _message(package: str, name: str, fields: _Fields, oneof: str) -> DescriptorProto:
    message = DescriptorProto(name=name)
    if any(field.endswith("?") for field in fields):
        message.oneof_decl.add(name=oneof)
    for text in fields:
        number, field_name, kind = text.rstrip("?*").split()
        field = message.field.add(name=field_name, number=int(number))
        field.label = FieldDescriptorProto.LABEL_REPEATED if text.endswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
        if kind in _TYPES:
            field.type = _TYPES[kind]
        else:
            field.type_name = f".{package}.{kind}"
            enum = kind.endswith("ServingStatus")
            field.type = FieldDescriptorProto.TYPE_ENUM if enum else FieldDescriptorProto.TYPE_MESSAGE
        if text.endswith("?"):
            field.oneof_index = 0
    return message


def _health() -> FileDescriptorProto:
    package = "grpc.health.v1"
    file = FileDescriptorProto(name="grpc/health/v1/health.proto", package=package, syntax="proto3")
    file.message_type.append(_message(package, "HealthCheckRequest", ("1 service string",), ""))
    response = _message(package, "HealthCheckResponse", ("1 status HealthCheckResponse.ServingStatus",), "")
    values = response.enum_type.add(name="ServingStatus").value
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        values.add(name=name, number=number)
    file.message_type.append(response)
    service = file.service.add(name="Health")
    types = {"input_type": f".{package}.HealthCheckRequest", "output_type": f".{package}.HealthCheckResponse"}
    service.method.add(name="Check", **types)
    service.method.add(name="Watch", server_streaming=True, **types)
    return file


_REFLECTION_MESSAGES: Final[dict[str, _Fields]] = {
    "ServerReflectionRequest": (
        "1 host string",
        "3 file_by_filename string?",
        "4 file_containing_symbol string?",
        "5 file_containing_extension ExtensionRequest?",
        "6 all_extension_numbers_of_type string?",
        "7 list_services string?",
    ),
    "ExtensionRequest": ("1 containing_type string", "2 extension_number int32"),
    "ServerReflectionResponse": (
        "1 valid_host string",
        "2 original_request ServerReflectionRequest",
        "4 file_descriptor_response FileDescriptorResponse?",
        "5 all_extension_numbers_response ExtensionNumberResponse?",
        "6 list_services_response ListServiceResponse?",
        "7 error_response ErrorResponse?",
    ),
    "FileDescriptorResponse": ("1 file_descriptor_proto bytes*",),
    "ExtensionNumberResponse": ("1 base_type_name string", "2 extension_number int32*"),
    "ListServiceResponse": ("1 service ServiceResponse*",),
    "ServiceResponse": ("1 name string",),
    "ErrorResponse": ("1 error_code int32", "2 error_message string"),
}


def _reflection(version: str) -> FileDescriptorProto:
    package = f"grpc.reflection.{version}"
    file = FileDescriptorProto(name=f"grpc/reflection/{version}/reflection.proto", package=package, syntax="proto3")
    for name, fields in _REFLECTION_MESSAGES.items():
        oneof = "message_request" if name.endswith("Request") else "message_response"
        file.message_type.append(_message(package, name, fields, oneof))
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo",
        input_type=f".{package}.ServerReflectionRequest",
        output_type=f".{package}.ServerReflectionResponse",
        client_streaming=True,
        server_streaming=True,
    )
    return file


HEALTH_FILE: Final = StandardFile(_health())
REFLECTION_FILES: Final = (StandardFile(_reflection("v1")), StandardFile(_reflection("v1alpha")))
