"""Run the generated code, a server and a client with several versions of the protobuf runtime.

    .venv/bin/python tools/protobuf_versions.py [VERSION …]

Each version is downloaded into a throw-away directory that stands before the environment's own on the path. Without
arguments: the oldest that pyproject.toml permits, one of each series since, and the newest. Not part of `make test`,
because it downloads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

VERSIONS = ("4.25.0", "5.26.1", "5.29.5", "6.30.2", "6.33.0", "")  # "" is the newest
PROGRAM = """
import asyncio, sys, time
import google.protobuf
from google.protobuf.internal import api_implementation
from wimse.issuer import Authority, Registrations
from wimse.workload_api import IdentityServer, WorkloadAPIClient
from wimse.workload_api.proto import minispire_pb2, workload_pb2 as pb

response = pb.ValidateJWTSVIDResponse(spiffe_id="spiffe://example.com/a")
response.claims.update({"aud": ["a", {"n": None}]})
assert pb.ValidateJWTSVIDResponse.FromString(response.SerializeToString()).claims["aud"][0] == "a"
assert minispire_pb2.DESCRIPTOR.services_by_name["MiniSPIREWorkloadAPI"].methods[0].input_type is not None

async def main():
    server = IdentityServer(Authority.create("example.com", now=int(time.time())), Registrations())
    async with server.listening(sys.argv[1]), WorkloadAPIClient("unix://" + sys.argv[1]) as client:
        assert (await anext(aiter(client.watch_wit_svids()))).svids[0].wit_svid
        assert "spiffe://example.com" in (await anext(aiter(client.watch_wit_bundles()))).bundles
        assert (await client.fetch_jwt_svids(["a"]))

asyncio.run(main())
print("protobuf", google.protobuf.__version__, api_implementation.Type(), "works")
"""


def run(version: str) -> bool:
    """Try one version; what it prints is its result."""
    with tempfile.TemporaryDirectory(prefix="protobuf-") as folder:
        wanted = f"protobuf=={version}" if version else "protobuf"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*pip, "--target", folder, wanted], check=False).returncode:
            print(f"protobuf {version or 'newest'} cannot be installed for this Python")
            return False
        # pure Python as well: where there is no wheel, that is what is installed
        for implementation in ("upb", "python"):
            environment = {
                **os.environ,
                "PYTHONPATH": folder,
                "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation,
            }
            command = [sys.executable, "-W", "ignore", "-c", PROGRAM, f"{folder}/{implementation}.sock"]
            if subprocess.run(command, env=environment, check=False).returncode:
                print(f"protobuf {version or 'newest'} ({implementation}) FAILED")
                return False
    return True


if __name__ == "__main__":
    results = [run(version) for version in sys.argv[1:] or VERSIONS]  # all of them, whatever the first one says
    raise SystemExit(0 if all(results) else 1)
