"""The end of a handshake: the peer's certificate is judged by the anchors of its own trust domain.

Python's `ssl` verifies a chain against one pool of anchors, has no callback to judge it by, and knows nothing of trust
domains. So the pool only decides which chains get as far as here; what decides is `verify_x509_svid`. Rules:

1. The judgement is part of `do_handshake`: a peer that is refused never becomes a connection, in whatever library uses
   the context. A peer is told nothing but that the connection is closed.
2. Nothing is read or written before it. `SSLSocket` shakes hands on its own when something is read or written first;
   here that fails instead.
3. No session is resumed: it would bring back a judgement of another day.
4. Intermediate authorities come from `get_unverified_chain`, which is public from Python 3.13 on, and there under the
   same name in 3.11 and 3.12, but not public. Should it be missing, only the leaf is judged: then chains with
   intermediate authorities find no path, and are refused.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from wimse.credentials import (
    CertificatePurpose,
    TrustBundles,
    UnverifiedX509SVID,
    VerifiedX509SVID,
    WorkloadIdentifier,
    X509Settings,
    verify_x509_svid,
)
from wimse.errors import Reason, Refused, WimseError

__all__ = [
    "NoCredential",
    "PeerRefused",
    "PeerRules",
    "WorkloadSSLObject",
    "WorkloadSSLSocket",
    "peer_chain",
    "peer_of",
]

_ENCODING_DER: Final = 2  # of the certificates that 3.11 and 3.12 give


class PeerRefused(ssl.SSLCertVerificationError):
    """The handshake went well, and the peer is not who it has to be.

    Attributes:
        refused: why.
    """

    def __init__(self, refused: WimseError) -> None:
        super().__init__(ssl.SSLErrorNumber.SSL_ERROR_SSL, str(refused))
        self.refused = refused


class NoCredential(ssl.SSLError):
    """We have no certificate to show now, and so there is no handshake.

    Attributes:
        unavailable: why.
    """

    def __init__(self, unavailable: WimseError) -> None:
        super().__init__(ssl.SSLErrorNumber.SSL_ERROR_SSL, str(unavailable))
        self.unavailable = unavailable


@dataclass(frozen=True, slots=True)
class PeerRules:
    """Whom one side of a connection lets be its peer.

    Attributes:
        bundles: by whose anchors.
        purpose: what the peer shows its certificate for.
        accepts: whether it may be this workload; the first argument is the name that a client has connected to.
        refusal: the reason when it may not.
        settings: limits.
    """

    bundles: TrustBundles
    purpose: CertificatePurpose
    accepts: Callable[[str | None, WorkloadIdentifier], bool]
    refusal: Reason
    settings: X509Settings

    def judge(self, connection: Any) -> VerifiedX509SVID:
        """Say who the peer of a connection is whose handshake is complete.

        Raises:
            Refused: as `UnverifiedX509SVID.parse` and `verify_x509_svid`; `trust_domain_unknown`; `refusal`.
        """
        if connection.session_reused:
            raise Refused(Reason.CERTIFICATE_UNTRUSTED, "a session was resumed, and its peer is not proven anew")
        unverified = UnverifiedX509SVID.parse(peer_chain(connection), settings=self.settings)
        bundle = self.bundles.get(unverified.trust_domain)
        if bundle is None:
            raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the certificate's trust domain is not one that is trusted")
        verified = verify_x509_svid(
            unverified, bundle, now=int(time.time()), purpose=self.purpose, settings=self.settings
        )
        if self.accepts(connection.server_hostname, verified.identity) is not True:
            raise Refused(self.refusal, "the peer is another workload than it has to be")
        return verified


def peer_chain(connection: Any) -> tuple[bytes, ...]:
    """What the peer has sent: DER, its own certificate first. Nothing of it is verified.

    Args:
        connection: an `ssl.SSLSocket` or `ssl.SSLObject` after its handshake.

    Returns:
        The chain, or the peer's own certificate alone where Python does not give more; empty without a certificate.
    """
    leaf: bytes | None = connection.getpeercert(binary_form=True)
    if not leaf:
        return ()
    give = getattr(connection, "get_unverified_chain", None) or getattr(
        getattr(connection, "_sslobj", None), "get_unverified_chain", None
    )
    given = (give() if give is not None else None) or ()
    chain = tuple(each if isinstance(each, bytes) else each.public_bytes(_ENCODING_DER) for each in given)
    return chain if chain[:1] == (leaf,) else (leaf,)


def peer_of(connection: Any) -> VerifiedX509SVID:
    """Who is at the other end of a connection that was made with a context of this room.

    Args:
        connection: an `ssl.SSLSocket` or `ssl.SSLObject`: of asyncio's streams ``get_extra_info("ssl_object")``.

    Raises:
        Refused: `certificate_missing` for every other connection.
    """
    peer = getattr(connection, "peer", None)
    if not isinstance(peer, VerifiedX509SVID):
        raise Refused(Reason.CERTIFICATE_MISSING, "the peer of this connection has not been verified")
    return peer


class _Judged:
    """What both kinds of connection have in common."""

    peer: VerifiedX509SVID | None = None

    def _check_credential(self) -> None:
        unavailable = getattr(self.context, "unavailable", None)  # type: ignore[attr-defined]  # both kinds have it
        if unavailable is not None:
            raise NoCredential(unavailable)

    def _judge(self) -> None:
        rules = getattr(self.context, "peer_rules", None)  # type: ignore[attr-defined]  # both kinds have it
        try:
            if rules is None:
                raise Refused(Reason.CERTIFICATE_UNTRUSTED, "the context of this connection was replaced")
            self.peer = rules.judge(self)
        except WimseError as refused:
            raise PeerRefused(refused) from refused
        except Exception as error:  # what fails unexpectedly is closed, not open
            failure = Refused(Reason.CERTIFICATE_UNTRUSTED, "the peer could not be judged")
            raise PeerRefused(failure) from error

    def _check_judged(self) -> None:
        if self.peer is None:
            raise PeerRefused(Refused(Reason.CERTIFICATE_MISSING, "the peer has not been verified yet"))


class WorkloadSSLObject(_Judged, ssl.SSLObject):
    """TLS over memory, as asyncio, anyio and uvloop use it."""

    def do_handshake(self) -> None:
        """Shake hands, and judge the peer when that is done."""
        self._check_credential()
        super().do_handshake()
        self._judge()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the name in the base class
        """Read, after the peer was judged."""
        self._check_judged()
        return super().read(len, buffer)

    def write(self, data: Any) -> int:
        """Write, after the peer was judged."""
        self._check_judged()
        return super().write(data)


class WorkloadSSLSocket(_Judged, ssl.SSLSocket):
    """TLS over a socket."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the name in the base class
        """Shake hands, and judge the peer when that is done."""
        self._check_credential()
        super().do_handshake(block)
        self._judge()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the name in the base class
        """Read, after the peer was judged."""
        self._check_judged()
        return super().read(len, buffer)

    def write(self, data: Any) -> int:
        """Write, after the peer was judged."""
        self._check_judged()
        return super().write(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, after the peer was judged."""
        self._check_judged()
        return super().send(data, flags)
