"""Trust domains with authorities for certificates, and handshakes over loopback between what they certify."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    VerifiedX509SVID,
    X509Credential,
    X509Snapshot,
    issue_x509_authority,
    issue_x509_svid,
)
from wimse.keys import PrivateKey
from wimse.tls import PeerRefused, peer_of

__all__ = ["Authority", "Outcome", "Replaceable", "reason_of", "shake", "trusting"]

PATIENCE = 20.0


class Authority:
    """A trust domain, and whatever certificate a test asks it for."""

    def __init__(self, uri: str = "spiffe://example.org") -> None:
        self.domain = TrustDomain.parse(uri)
        self.key = PrivateKey.generate()
        now = int(time.time())
        self.anchor = issue_x509_authority(self.domain, self.key, not_before=now - 3600, not_after=now + 86_400)
        self.bundle = TrustBundle(trust_domain=self.domain, x509_authorities=(self.anchor,))

    def credential(
        self,
        path: str,
        *,
        dns_names: tuple[str, ...] = ("localhost",),
        since: int = -60,
        until: int = 43_200,  # the tests are loaded long before the last of them runs
        domain: TrustDomain | None = None,
    ) -> X509Credential:
        now, key = int(time.time()), PrivateKey.generate()
        der = issue_x509_svid(
            subject=(domain or self.domain).workload(path),
            workload_key=key.public_key,
            authority=self.anchor,
            authority_key=self.key,
            not_before=now + since,
            not_after=now + until,
            dns_names=dns_names,
        )
        return X509Credential.from_chain([der], key)


def trusting(credential: X509Credential | None, *authorities: Authority) -> X509Snapshot:
    return X509Snapshot(credential, TrustBundles(*(each.bundle for each in authorities)))


class Replaceable:
    """A source whose snapshot a test replaces."""

    def __init__(self, current: X509Snapshot) -> None:
        self.current = current

    def x509_snapshot(self) -> X509Snapshot:
        return self.current


@dataclass
class Outcome:
    """What came of it on either side: whom it saw, or what it raised."""

    server: VerifiedX509SVID | BaseException | None = None
    client: VerifiedX509SVID | BaseException | None = None
    said: bytes = b""


def shake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    *,
    host: str | None = "localhost",
    then: Callable[..., Any] = peer_of,
) -> Outcome:
    """One connection over loopback: the client says hello, and hears it back."""
    outcome = Outcome()

    def serve(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        plain.settimeout(PATIENCE)
        try:
            with server.wrap_socket(plain, server_side=True) as connection:
                outcome.server = peer_of(connection)
                connection.sendall(connection.recv(5))
        except Exception as error:  # noqa: BLE001 - what came of it is what a test looks at
            outcome.server = error
            plain.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        plain = socket.create_connection(listening.getsockname(), PATIENCE)
        try:
            with client.wrap_socket(plain, server_hostname=host) as connection:
                outcome.client = then(connection)
                connection.sendall(b"hello")
                outcome.said = connection.recv(5)
        except Exception as error:  # noqa: BLE001 - the same
            outcome.client = error
            plain.close()
        thread.join(PATIENCE)
    return outcome


def reason_of(outcome: object) -> Any:
    """Why a side has refused, if it was this package that did."""
    assert isinstance(outcome, PeerRefused), repr(outcome)
    return outcome.refused.reason
