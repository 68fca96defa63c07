"""Mutual TLS in which both sides are workloads (draft-ietf-wimse-mutual-tls): contexts for servers and for clients.

    server = server_context(source, policy=member_of(domain))
    client = client_context(source, server=by_host({"orders.example": "spiffe://example.com/orders"}))

Both are an `ssl.SSLContext`, for whatever takes one. A handshake with a peer that is not who it has to be fails; who it
was, `peer_of` says afterwards.
"""

from __future__ import annotations

from wimse.tls.contexts import WorkloadTLSContext, client_context, server_context
from wimse.tls.handshake import NoCredential, PeerRefused, peer_chain, peer_of
from wimse.tls.rules import ServerRule, any_host, by_host
from wimse.tls.settings import TLSSettings

__all__ = [
    "NoCredential",
    "PeerRefused",
    "ServerRule",
    "TLSSettings",
    "WorkloadTLSContext",
    "any_host",
    "by_host",
    "client_context",
    "peer_chain",
    "peer_of",
    "server_context",
]
