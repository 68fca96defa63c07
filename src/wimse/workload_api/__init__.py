"""The SPIFFE Workload API: the identity server, and the client and sources that workloads use.

A workload needs one of the sources::

    async with WorkloadAPISource() as source:
        snapshot = source.snapshot()

An operator needs `serve`, or `IdentityServer` inside a program.
"""

from __future__ import annotations

from wimse.workload_api.address import DEFAULT_SOCKET, ENDPOINT_VARIABLE, EndpointAddress, default_socket
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.blocking import (
    BlockingWorkloadAPIJWTSource,
    BlockingWorkloadAPISource,
    BlockingWorkloadAPIX509Source,
)
from wimse.workload_api.client import WorkloadAPIClient
from wimse.workload_api.config import Problem, ServerConfig, check_config, load_config
from wimse.workload_api.config_limits import LimitsConfig
from wimse.workload_api.config_sections import (
    EncryptionConfig,
    KeysConfig,
    KeySourceConfig,
    StoreConfig,
    UpstreamConfig,
)
from wimse.workload_api.entry_spec import EntryConfig
from wimse.workload_api.events import CallRefused, Event, Issued
from wimse.workload_api.files import GenerationWriter
from wimse.workload_api.jwt_source import JWTCredential, WorkloadAPIJWTSource
from wimse.workload_api.keeping import IssuerKeeping, KeptIssuer
from wimse.workload_api.metrics import Metrics
from wimse.workload_api.minting import MiniSPIRESource
from wimse.workload_api.running import Beside, RunningServer, harden_process, serve
from wimse.workload_api.server import IdentityServer
from wimse.workload_api.settings import ServerSettings, SourceSettings
from wimse.workload_api.source import WorkloadAPISource
from wimse.workload_api.x509_source import WorkloadAPIX509Source

__all__ = [
    "DEFAULT_SOCKET",
    "ENDPOINT_VARIABLE",
    "AuditLog",
    "Beside",
    "BlockingWorkloadAPIJWTSource",
    "BlockingWorkloadAPISource",
    "BlockingWorkloadAPIX509Source",
    "CallRefused",
    "EncryptionConfig",
    "EndpointAddress",
    "EntryConfig",
    "Event",
    "GenerationWriter",
    "IdentityServer",
    "Issued",
    "IssuerKeeping",
    "JWTCredential",
    "KeptIssuer",
    "KeySourceConfig",
    "KeysConfig",
    "LimitsConfig",
    "Metrics",
    "MiniSPIRESource",
    "Problem",
    "RunningServer",
    "ServerConfig",
    "ServerSettings",
    "SourceSettings",
    "StoreConfig",
    "UpstreamConfig",
    "WorkloadAPIClient",
    "WorkloadAPIJWTSource",
    "WorkloadAPISource",
    "WorkloadAPIX509Source",
    "check_config",
    "default_socket",
    "harden_process",
    "load_config",
    "serve",
]
