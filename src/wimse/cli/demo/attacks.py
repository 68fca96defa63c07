"""The attacker of the demonstration: reads what the middlebox reads, has keys of its own, and no identity."""

from __future__ import annotations

import ssl
import time

import httpx2

from wimse.authentication import ClientAuthenticator, any_trusted, expect
from wimse.clients.httpx import AsyncSigningTransport
from wimse.credentials import (
    TrustBundles,
    UnverifiedWIT,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
    issue_wit,
)
from wimse.errors import WimseError
from wimse.keys import PrivateKey

__all__ = ["call_with_forged_wit", "call_with_stolen_wit", "call_without_credentials"]

_SECONDS = 300


class _Forged:
    """A source of one credential that nobody issued to us."""

    def __init__(self, credential: WorkloadCredential) -> None:
        self._snapshot = WorkloadSnapshot(credential, TrustBundles())

    def snapshot(self) -> WorkloadSnapshot:
        """The forged credential, and no bundle."""
        return self._snapshot


async def call_without_credentials(url: str, tls: ssl.SSLContext) -> int:
    """Call as curl would; returns the status."""
    async with httpx2.AsyncClient(verify=tls, trust_env=False, timeout=10.0) as http:
        return (await http.get(url)).status_code


async def call_with_stolen_wit(url: str, tls: ssl.SSLContext, wit: str) -> None:
    """Send a WIT that was read on the way, with a signature of a key that it does not name."""
    claimed = UnverifiedWIT.parse(wit).claimed_identity
    credential = WorkloadCredential(claimed, wit, PrivateKey.generate(), int(time.time()) + _SECONDS)
    await _call(url, tls, credential)


async def call_with_forged_wit(url: str, tls: ssl.SSLContext, claimed: WorkloadIdentifier) -> None:
    """Send a WIT for `claimed` that a stranger signed, with the key that it names."""
    now, key = int(time.time()), PrivateKey.generate()
    wit = issue_wit(
        subject=claimed,
        workload_key=key.public_key,
        signer=PrivateKey.generate(kid="stranger"),
        issued_at=now,
        expires_at=now + _SECONDS,
        issuer=str(claimed.trust_domain),
        token_id=str(now),
    )
    await _call(url, tls, WorkloadCredential.from_wit(wit, key))


async def _call(url: str, tls: ssl.SSLContext, credential: WorkloadCredential) -> None:
    authenticator = ClientAuthenticator(_Forged(credential), server=expect(any_trusted), require_signed_response=False)
    transport = AsyncSigningTransport(httpx2.AsyncHTTPTransport(verify=tls, trust_env=False), authenticator)
    async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=10.0) as http:
        try:
            await http.get(url)
        except WimseError:
            return  # the attacker has no bundle to verify an answer with; what counts is what the server said
