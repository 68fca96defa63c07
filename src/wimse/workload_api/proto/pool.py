"""The descriptor pool of the generated code: our own, not the one that the whole process shares.

A pool takes each name once, and the standard's messages have no package: in the shared pool ours would clash with those
of every other library of the Workload API (py-spiffe, say), and the second one to be imported would fail.
`tools/generate_proto.sh` puts this module in the place of `google.protobuf.descriptor_pool` in what protoc writes.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.struct_pb2 import DESCRIPTOR as _STRUCT

__all__ = ["POOL", "Default"]

POOL: Final = DescriptorPool()
POOL.AddSerializedFile(_STRUCT.serialized_pb)  # what workload.proto imports


def Default() -> DescriptorPool:  # noqa: N802 - the name that protoc writes
    """The pool of this package."""
    return POOL
