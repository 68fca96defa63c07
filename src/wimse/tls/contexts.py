"""The contexts: an `ssl.SSLContext` whose connections are made with the newest certificate and the newest anchors.

`ssl` lets a context's certificate be replaced, which is not atomic, and its anchors be added to, never taken away. So
each snapshot of the source gets a context of its own, which does not change, and the one that a program holds hands
every new connection to the newest of them. Connections that are there keep what they began with.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any, Final, cast

from wimse.authentication import Policy
from wimse.credentials import CertificatePurpose, TrustBundles, WorkloadIdentifier, X509Snapshot, X509Source
from wimse.errors import ConfigurationError, Reason, Unavailable, WimseError
from wimse.tls.handshake import PeerRules, WorkloadSSLObject, WorkloadSSLSocket
from wimse.tls.key_files import as_file
from wimse.tls.rules import ServerRule
from wimse.tls.settings import TLSSettings

__all__ = ["WorkloadTLSContext", "client_context", "server_context"]

_DEFAULTS: Final = TLSSettings()


class _Fixed(ssl.SSLContext):
    """The context of one snapshot."""

    peer_rules: PeerRules
    unavailable: WimseError | None = None


class WorkloadTLSContext(ssl.SSLContext):
    """What a program holds. Made by `server_context` and `client_context`.

    It is itself a context without a certificate and without anchors: whoever comes past `wrap_socket` and `wrap_bio`
    can connect to nobody.
    """

    _source: X509Source
    _settings: TLSSettings
    _rules: tuple[CertificatePurpose, Any, Reason]
    _dns_names: bool
    _alpn: list[str]
    _current: tuple[X509Snapshot, _Fixed] | None
    _building: threading.Lock

    def wrap_socket(self, *args: Any, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_socket`, with the newest credential.

        Raises, as the handshake itself does:
            NoCredential: when the source has no credential now.
            PeerRefused: when the peer is not who it has to be.
        """
        server = options.get("server_side", args[1] if len(args) > 1 else False)
        return self._newest(server_side=server).wrap_socket(*args, **options)

    def wrap_bio(self, *args: Any, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_bio`, with the newest credential; its handshake raises as `wrap_socket`."""
        server = options.get("server_side", args[2] if len(args) > 2 else False)
        return self._newest(server_side=server).wrap_bio(*args, **options)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer these protocols from the next connection on."""
        wanted = list(alpn_protocols)
        with self._building:
            if wanted != self._alpn:
                self._alpn, self._current = wanted, None

    def load_cert_chain(self, *_: Any, **__: Any) -> None:
        """Refuse: the certificate is the source's.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError("the certificate of this context comes from its source")

    def _newest(self, *, server_side: bool) -> _Fixed:
        if server_side is not (self._rules[0] is CertificatePurpose.CLIENT):
            raise ConfigurationError("this context is for the other side of a connection")
        try:
            snapshot = self._source.x509_snapshot()
            if snapshot.credential is not None:
                snapshot.credential.check_usable(int(time.time()))
            elif server_side:
                raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "a server needs a certificate, and there is none")
        except WimseError as error:
            return _without_credential(error, server_side=server_side)
        with self._building:
            if self._current is None or self._current[0] != snapshot:
                self._current = snapshot, self._build(snapshot, server_side=server_side)
            return self._current[1]

    def _build(self, snapshot: X509Snapshot, *, server_side: bool) -> _Fixed:
        context = _Fixed(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        purpose, accepts, refusal = self._rules
        context.peer_rules = PeerRules(snapshot.bundles, purpose, accepts, refusal, self._settings.certificates)
        context.sslobject_class = WorkloadSSLObject
        context.sslsocket_class = WorkloadSSLSocket
        context.minimum_version = self._settings.minimum_version
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        if server_side:
            context.num_tickets = 0
        context.check_hostname = self._dns_names
        # RFC 9525 §6.1: never the common name. Wildcards are whole leftmost labels, as Python sets OpenSSL up (§6.3).
        context.hostname_checks_common_name = False
        context.verify_mode = ssl.CERT_REQUIRED
        # X509-SVID §6.1: anchors SHOULD be self-signed, and need not be.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if anchors := _anchors(snapshot.bundles):
            context.load_verify_locations(cadata=anchors)
        if snapshot.credential is not None:
            with as_file(snapshot.credential.to_pem()) as path:
                context.load_cert_chain(path)
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        return context


def server_context(source: X509Source, *, policy: Policy, settings: TLSSettings = _DEFAULTS) -> WorkloadTLSContext:
    """A context for servers. Clients without a certificate are refused (mutual-tls §3.2).

    Args:
        source: of our certificate, its key, and the bundles of all trust domains that clients may be of.
        policy: which workloads may connect. What they may do there, the application decides.
        settings: versions and limits.

    Raises:
        ConfigurationError: without a source or a policy.
    """

    def accepts(_: str | None, identity: WorkloadIdentifier) -> bool:
        return policy(identity)

    rules = CertificatePurpose.CLIENT, accepts, Reason.IDENTITY_NOT_ALLOWED
    return _made(source, policy, rules, settings, dns_names=False)


def client_context(
    source: X509Source, *, server: ServerRule, check_hostname: bool = True, settings: TLSSettings = _DEFAULTS
) -> WorkloadTLSContext:
    """A context for clients.

    Args:
        source: of our certificate, its key, and the bundles of all trust domains that servers may be of. A snapshot
            without a credential makes a client that shows no certificate.
        server: which workload is to be reached under which name; see `by_host` and `any_host`.
        check_hostname: whether the certificate must have the name that is connected to as a DNS name (RFC 9525 §6.3).
            mutual-tls §3.2.1 asks for it wherever one connects by DNS name. Without it, `server` alone decides, and
            must name whole workloads.
        settings: versions and limits.

    Raises:
        ConfigurationError: without a source or a rule.
    """
    rules = CertificatePurpose.SERVER, server, Reason.IDENTITY_UNEXPECTED
    return _made(source, server, rules, settings, dns_names=check_hostname)


def _made(
    source: X509Source | None,
    rule: object,
    rules: tuple[CertificatePurpose, Any, Reason],
    settings: TLSSettings,
    *,
    dns_names: bool,
) -> WorkloadTLSContext:
    if source is None or not callable(rule):
        raise ConfigurationError("a TLS context needs a source and a rule for its peers")
    server_side = rules[0] is CertificatePurpose.CLIENT
    context = WorkloadTLSContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = dns_names
    context.verify_mode = ssl.CERT_REQUIRED
    held = cast("Any", context)
    held._source, held._settings, held._rules = source, settings, rules  # noqa: SLF001 - made here, and nowhere else
    held._dns_names, held._alpn, held._current = dns_names, [], None  # noqa: SLF001
    held._building = threading.Lock()  # noqa: SLF001
    return context


def _without_credential(error: WimseError, *, server_side: bool) -> _Fixed:
    # Not an exception here: libraries expect those of a handshake, and leave sockets open for others.
    context = _Fixed(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.sslobject_class = WorkloadSSLObject
    context.sslsocket_class = WorkloadSSLSocket
    context.unavailable = error
    context.check_hostname = False
    return context


def _anchors(bundles: TrustBundles) -> bytes:
    found = {der: None for bundle in bundles.values() for der in bundle.x509_authorities}  # each once, in order
    return b"".join(found)
