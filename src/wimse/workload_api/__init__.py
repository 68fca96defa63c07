"""The SPIFFE Workload API: the identity server, and the client and sources that workloads use.

A workload needs one of the sources::

    async with WorkloadAPISource() as source:
        snapshot = source.snapshot()

An operator needs `serve`, or `IdentityServer` inside a program.
"""

from __future__ import annotations

from wimse.workload_api.address import DEFAULT_SOCKET, ENDPOINT_VARIABLE, EndpointAddress, default_socket
from wimse.workload_api.blocking import (
    BlockingWorkloadAPIJWTSource,
    BlockingWorkloadAPISource,
    BlockingWorkloadAPIX509Source,
)
from wimse.workload_api.client import WorkloadAPIClient
from wimse.workload_api.config import EntryConfig, ServerConfig, load_config
from wimse.workload_api.files import GenerationWriter
from wimse.workload_api.jwt_source import JWTCredential, WorkloadAPIJWTSource
from wimse.workload_api.minting import MiniSPIRESource
from wimse.workload_api.server import IdentityServer, serve
from wimse.workload_api.settings import ServerSettings, SourceSettings
from wimse.workload_api.source import WorkloadAPISource
from wimse.workload_api.x509_source import WorkloadAPIX509Source

__all__ = [
    "DEFAULT_SOCKET",
    "ENDPOINT_VARIABLE",
    "BlockingWorkloadAPIJWTSource",
    "BlockingWorkloadAPISource",
    "BlockingWorkloadAPIX509Source",
    "EndpointAddress",
    "EntryConfig",
    "GenerationWriter",
    "IdentityServer",
    "JWTCredential",
    "MiniSPIRESource",
    "ServerConfig",
    "ServerSettings",
    "SourceSettings",
    "WorkloadAPIClient",
    "WorkloadAPIJWTSource",
    "WorkloadAPISource",
    "WorkloadAPIX509Source",
    "default_socket",
    "load_config",
    "serve",
]
