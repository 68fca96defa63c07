"""grpcio's own clients of health and reflection, in a process of their own: `python -m … SOCKET`, JSON on stdout.

Their messages are registered under the standard's names, which only one library may do in a process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

HEADER = (("workload.spiffe.io", "true"),)


class WithHeader(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        return proceed(details._replace(metadata=HEADER), request)

    intercept_stream_stream = intercept_unary_unary


def status(call: Any) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def main(address: str) -> dict[str, Any]:
    with grpc.insecure_channel(address) as plain:
        stub = health_pb2_grpc.HealthStub(plain)
        without = status(lambda: stub.Check(health_pb2.HealthCheckRequest(), timeout=5))
        reflection = reflection_pb2_grpc.ServerReflectionStub(plain)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        reflection_without = status(lambda: list(reflection.ServerReflectionInfo(iter([asked]), timeout=5)))
        channel = grpc.intercept_channel(plain, WithHeader())
        stub = health_pb2_grpc.HealthStub(channel)
        names = ("", "SpiffeWorkloadAPI")
        checks = {n: stub.Check(health_pb2.HealthCheckRequest(service=n), timeout=5).status for n in names}
        unknown = status(lambda: stub.Check(health_pb2.HealthCheckRequest(service="x"), timeout=5))
        watch = health_pb2_grpc.HealthStub(plain).Watch(health_pb2.HealthCheckRequest(), metadata=HEADER, timeout=5)
        watched = next(watch).status
        watch.cancel()

        database = ProtoReflectionDescriptorDatabase(channel)
        services = list(database.get_services())
        files, missing = {}, []
        for symbol in (*services, "X509SVIDResponse", "google.protobuf.Struct"):
            file = database.FindFileContainingSymbol(symbol)
            files[symbol] = [file.name, [method.name for s in file.service for method in s.method]]
        imported = [database.FindFileByName(n).name for n in database.FindFileContainingSymbol("X509SVID").dependency]
        # what is loaded in the server's process as well, and is none of its services
        for symbol in ("google.protobuf.FileDescriptorProto", "google.protobuf.Duration", "MiniSPIREWorkloadAPI"):
            try:
                database.FindFileContainingSymbol(symbol)
            except KeyError:
                missing.append(symbol)
        stub = reflection_pb2_grpc.ServerReflectionStub(plain)
        odd = [
            reflection_pb2.ServerReflectionRequest(),
            reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="X509SVID"),
            reflection_pb2.ServerReflectionRequest(
                file_containing_extension=reflection_pb2.ExtensionRequest(
                    containing_type="X509SVID", extension_number=1
                )
            ),
        ]
        answers = [a.WhichOneof("message_response") for a in stub.ServerReflectionInfo(iter(odd), metadata=HEADER)]
        many = (asked for _ in range(300))
        flood = status(lambda: list(stub.ServerReflectionInfo(many, metadata=HEADER, timeout=10)))
    return {
        "without": [without, reflection_without],
        "checks": checks,
        "unknown": unknown,
        "watched": watched,
        "services": services,
        "files": files,
        "imported": imported,
        "missing": missing,
        "answers": answers,
        "flood": flood,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201
