"""The X.509-SVID of this process, from the Workload API, always new; every agent has this profile (§5)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadIdentifier,
    X509Credential,
    X509Snapshot,
)
from wimse.errors import Reason, Refused
from wimse.keys import RS256, PrivateKey
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.background import BackgroundSource
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.settings import SourceSettings
from wimse.workload_api.source import wanted_identifier

__all__ = ["WorkloadAPIX509Source"]

_SEQUENCE: Final = 0x30  # X.690 §8.9.1: what a certificate begins with
_MAX_CERTIFICATES: Final = 256


class WorkloadAPIX509Source(BackgroundSource[X509Snapshot]):
    """An `X509Source`: (certificates, key, bundles) as one snapshot, kept new; used as ``async with``.

    Leaving the ``async with`` closes it: then `x509_snapshot` refuses. So it does in a forked child.
    """

    _what = "X.509 identity"

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[X509Snapshot], None] | None = None,
    ) -> None:
        """Choose the endpoint and the identity; arguments and errors as `WorkloadAPISource`."""
        super().__init__(socket, settings, on_renewal)
        self._wanted = wanted_identifier(spiffe_id)
        self._made: X509Snapshot | None = None

    def x509_snapshot(self) -> X509Snapshot:
        """The newest certificate with its key and the bundles; the same object while nothing has changed.

        Raises:
            Unavailable: `credential_unavailable`, `credential_expired`, as `WorkloadAPISource.snapshot`.
        """
        snapshot = self._current()
        if snapshot.credential is not None:
            snapshot.credential.check_usable(int(time.time()))
        return snapshot

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep("FetchX509SVID", self._client.watch_x509_svids, self._take_svids)]

    def _take_svids(self, message: pb.X509SVIDResponse | None) -> int | None:
        if message is None:
            self._made = None
            return None
        credential = _credential(message, self._wanted, int(time.time()))
        self._made = X509Snapshot(credential, _bundles(message))
        return credential.expires_at

    def _compose(self) -> X509Snapshot | None:
        return self._made

    def _forget(self) -> None:
        self._made = None


def _credential(message: pb.X509SVIDResponse, wanted: WorkloadIdentifier | None, now: int) -> X509Credential:
    """The default identity of a message (§8: the first), or the one that is wanted, checked (§4.5)."""
    if not message.svids:
        raise Refused(Reason.CERTIFICATE_MISSING, "there is no X.509-SVID in it")
    for each in message.svids:
        if not (each.spiffe_id and each.x509_svid and each.x509_svid_key and each.bundle):
            raise Refused(Reason.CERTIFICATE_MISSING, "a mandatory field of an X.509-SVID is empty")
    found = [each for each in message.svids if wanted is None or each.spiffe_id == str(wanted)]
    if not found:
        raise Refused(Reason.IDENTITY_UNEXPECTED, "the X.509-SVID that was asked for is not among those that came")
    credential = X509Credential.from_chain(_split(found[0].x509_svid), _key(found[0].x509_svid_key))
    if str(credential.identity) != found[0].spiffe_id:
        raise Refused(Reason.IDENTITY_UNEXPECTED, "the X.509-SVID's URI is not the identity that was announced")
    credential.check_usable(now)
    return credential


def _key(der: bytes) -> PrivateKey:
    try:
        return PrivateKey.from_pkcs8_der(der)
    except Refused as refused:
        if refused.reason is not Reason.ALGORITHM_MISSING:
            raise
        # Where PKCS#8 does not say what an RSA key is for: in TLS it is for more than one algorithm anyway.
        return PrivateKey.from_pkcs8_der(der, algorithm=RS256)


def _bundles(message: pb.X509SVIDResponse) -> TrustBundles:
    """The bundle of each own trust domain, and the federated ones (§5.2.1)."""
    found: dict[TrustDomain, bytes] = {}
    for name, der in message.federated_bundles.items():
        found[TrustDomain.parse(name)] = der
    for svid in message.svids:
        found[WorkloadIdentifier.parse(svid.spiffe_id).trust_domain] = svid.bundle
    return TrustBundles(*(_bundle(domain, der) for domain, der in found.items()))


def _bundle(domain: TrustDomain, der: bytes) -> TrustBundle:
    encoded = [base64.b64encode(each).decode("ascii") for each in _split(der)]
    keys = [{"use": "x509-svid", "x5c": [each]} for each in encoded]
    return TrustBundle.from_jwks(domain, {"keys": keys})  # which looks whether they are certificates


def _split(data: bytes) -> list[bytes]:
    """Take certificates apart that stand one after the other, DER (§5.1).

    Raises:
        Refused: `certificate_malformed`.
    """
    found: list[bytes] = []
    start = 0
    while start < len(data):
        end = _end_of_element(data, start)
        if end > len(data) or len(found) == _MAX_CERTIFICATES:
            raise Refused(Reason.CERTIFICATE_MALFORMED, "the certificates are cut short, or too many")
        found.append(data[start:end])
        start = end
    return found


def _end_of_element(data: bytes, start: int) -> int:
    head = data[start : start + 6]
    if len(head) < 2 or head[0] != _SEQUENCE:
        raise Refused(Reason.CERTIFICATE_MALFORMED, "what should be a certificate is none")
    if head[1] < 0x80:  # X.690 §8.1.3.4: the short form
        return start + 2 + head[1]
    octets = head[1] & 0x7F
    if not 1 <= octets <= 4 or len(head) < 2 + octets:
        raise Refused(Reason.CERTIFICATE_MALFORMED, "what should be a certificate is none")
    return start + 2 + octets + int.from_bytes(head[2 : 2 + octets], "big")
