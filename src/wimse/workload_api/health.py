"""Asking a server for its health, as `wimse identity-server health` does."""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.calls import SECURITY_HEADER
from wimse.workload_api.standard_messages import HEALTH_FILE

__all__ = ["ask_health"]

_SERVING = 1


async def ask_health(address: EndpointAddress, seconds: float) -> tuple[bool, str]:
    """Ask `grpc.health.v1.Health` for the server as a whole.

    Args:
        address: of the Workload API.
        seconds: how long to wait.

    Returns:
        Whether it serves, and a sentence that says so.
    """
    request, response = HEALTH_FILE.message("HealthCheckRequest"), HEALTH_FILE.message("HealthCheckResponse")
    channel = Channel(path=address.path) if address.path is not None else Channel(address.host, address.port)
    method: Any = UnaryUnaryMethod(channel, "/grpc.health.v1.Health/Check", request, response)
    try:
        async with asyncio.timeout(seconds):
            status = (await method(request(), metadata=(SECURITY_HEADER,))).status
    except (TimeoutError, OSError):
        return False, "the server cannot be reached"
    except (GRPCError, ProtocolError, StreamTerminatedError):
        return False, "the server does not say how it is"
    finally:
        channel.close()
    return (True, "the server serves") if status == _SERVING else (False, "the server cannot issue now")
