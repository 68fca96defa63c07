"""Mutual TLS between workloads: real handshakes, and who is refused by whom, and why."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.credentials.certificates import Node, authority, bundle_of, leaf, uri
from tests.tls.world import Authority, Outcome, Replaceable, reason_of, shake, trusting
from wimse.authentication import any_trusted, exactly, member_of
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, VerifiedX509SVID, X509Credential, X509Snapshot
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.tls import (
    NoCredential,
    PeerRefused,
    TLSSettings,
    any_host,
    by_host,
    client_context,
    peer_chain,
    peer_of,
    server_context,
)
from wimse.tls.handshake import WorkloadSSLSocket, _Judged
from wimse.tls.key_files import as_file

A, B = Authority(), Authority("spiffe://other.org")
SERVER, CLIENT = A.credential("/server"), A.credential("/client", dns_names=())
TO_SERVER = by_host({"localhost": SERVER.identity})
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)


def served(source: X509Snapshot | None = None, **options: Any) -> ssl.SSLContext:
    return server_context(source or trusting(SERVER, A), **{"policy": any_trusted, **options})


def calling(source: X509Snapshot | None = None, **options: Any) -> ssl.SSLContext:
    return client_context(source or trusting(CLIENT, A), **{"server": TO_SERVER, **options})


def refused_by_openssl(outcome: object) -> bool:
    return isinstance(outcome, ssl.SSLError) and not hasattr(outcome, "refused")


def nobody_was_served(outcome: Outcome) -> bool:
    return outcome.said == b"" and not isinstance(outcome.server, VerifiedX509SVID)


@VERSIONS
def test_both_sides_know_each_other(version: ssl.TLSVersion) -> None:
    settings = TLSSettings(minimum_version=version)
    client = calling(settings=settings)
    outcome = shake(served(settings=settings), client)
    assert outcome.said == b"hello"
    assert isinstance(outcome.server, VerifiedX509SVID)
    assert isinstance(outcome.client, VerifiedX509SVID)
    assert outcome.server.identity == CLIENT.identity
    assert outcome.client.identity == SERVER.identity


def test_workloads_of_two_domains_know_each_other_by_their_own_anchors() -> None:
    """SV-33: each by its own; the bundles are two."""
    foreign = B.credential("/client")
    outcome = shake(served(trusting(SERVER, A, B), policy=member_of(B.domain)), calling(trusting(foreign, A)))
    assert isinstance(outcome.server, VerifiedX509SVID)
    assert outcome.server.identity == foreign.identity


# -------------------------------------------------------------------------------------- whom a server refuses


def test_a_client_of_a_domain_that_is_not_trusted_is_refused() -> None:
    """WC-42, mutual-tls §3.2."""
    outcome = shake(served(), calling(trusting(B.credential("/client"), A)))
    assert refused_by_openssl(outcome.server)
    assert nobody_was_served(outcome)


@VERSIONS
def test_an_authority_speaks_for_its_own_domain_only(version: ssl.TLSVersion) -> None:
    """WC-42, WC-33: both are trusted, and the one has certified a workload of the other. OpenSSL lets that pass."""
    impostor = B.credential("/client", domain=A.domain)
    settings = TLSSettings(minimum_version=version)
    outcome = shake(
        served(trusting(SERVER, A, B), settings=settings), calling(trusting(impostor, A), settings=settings)
    )
    assert reason_of(outcome.server) is Reason.CERTIFICATE_UNTRUSTED
    assert nobody_was_served(outcome)


def test_another_scheme_is_another_domain() -> None:
    twin = A.credential("/client", domain=TrustDomain("wimse", "example.org"))
    outcome = shake(served(), calling(trusting(twin, A)))
    assert reason_of(outcome.server) is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_client_that_the_policy_does_not_name_is_refused() -> None:
    """ID-09: mutual-tls §3.3; a neighbour is somebody else."""
    for policy in (exactly("spiffe://example.org/clients"), exactly(), member_of(B.domain), lambda _: "yes"):
        outcome = shake(served(policy=policy), calling())
        assert reason_of(outcome.server) is Reason.IDENTITY_NOT_ALLOWED
        assert nobody_was_served(outcome)


def test_a_policy_that_fails_lets_nobody_in() -> None:
    def broken(_: object) -> bool:
        raise RuntimeError

    outcome = shake(served(policy=broken), calling())
    assert reason_of(outcome.server) is Reason.CERTIFICATE_UNTRUSTED
    assert nobody_was_served(outcome)


def test_a_client_without_a_certificate_is_refused() -> None:
    """mutual-tls §3.2: servers MUST require client certificate authentication."""
    outcome = shake(served(), calling(trusting(None, A)))
    assert refused_by_openssl(outcome.server)
    assert nobody_was_served(outcome)


@pytest.mark.parametrize(("since", "until"), [(-600, -60), (600, 1200)], ids=["expired", "not-yet"])
def test_a_certificate_outside_its_time_is_refused(since: int, until: int) -> None:
    """WC-47, WC-43."""
    late = A.credential("/x", since=since, until=until)
    wide = Replaceable(trusting(CLIENT, A))
    # Our own side would not use what has expired: another one's does.
    outcome = shake(served(), forged(late))
    assert isinstance(outcome.server, ssl.SSLError)
    assert nobody_was_served(outcome)
    if until < 0:
        wide.current = trusting(late, A)
        outcome = shake(served(), client_context(wide, server=TO_SERVER))
        assert isinstance(outcome.client, NoCredential)
        assert outcome.client.unavailable.reason is Reason.CREDENTIAL_EXPIRED


def forged(credential: X509Credential | Node) -> ssl.SSLContext:
    """A client of somebody else's, which shows whatever it has and asks for nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    load(context, credential)
    return context


def load(context: ssl.SSLContext, credential: X509Credential | Node) -> None:
    if isinstance(credential, Node):
        pem = credential.key.to_pem() + ssl.DER_cert_to_PEM_cert(credential.der).encode()
    else:
        pem = credential.to_pem()
    with as_file(pem) as path:
        context.load_cert_chain(path)


NOW = int(time.time())
CA = authority(now=NOW)
DOMAIN = A.domain
NAME = uri("spiffe://example.org/client")
ODD = TrustBundles(bundle_of(DOMAIN, CA))


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (leaf(CA, NAME, uri("spiffe://example.org/other"), now=NOW), Reason.CERTIFICATE_IDENTITY),
        (leaf(CA, NAME, uri("https://example.org/"), now=NOW), Reason.CERTIFICATE_IDENTITY),
        (leaf(CA, x509.DNSName("client.example"), now=NOW), Reason.CERTIFICATE_IDENTITY),
        (leaf(CA, uri("spiffe://example.org"), now=NOW), Reason.IDENTIFIER_MALFORMED),
        (leaf(CA, uri("spiffe://example.org/"), now=NOW), Reason.IDENTIFIER_MALFORMED),
        (leaf(CA, uri("https://example.org/client"), now=NOW), Reason.IDENTIFIER_MALFORMED),
        (leaf(CA, NAME, now=NOW, since=-60, until=3000, key_usage=None), Reason.CERTIFICATE_USAGE),
        (leaf(leaf(CA, NAME, now=NOW), NAME, now=NOW), None),
        (authority(CA, now=NOW, name="x", more=[(x509.SubjectAlternativeName([NAME]), True)]), None),
        (leaf(authority(now=NOW), NAME, now=NOW), None),
        (
            leaf(CA, NAME, now=NOW, extended=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
            None,
        ),
    ],
    ids=[
        *("two-uris", "a-web-page-beside", "no-uri", "domain-itself", "root-path", "another-scheme", "no-key-usage"),
        *("issued-by-a-leaf", "an-authority-itself", "another-authority-of-this-name", "for-servers-only"),
    ],
)
@VERSIONS
def test_what_is_no_identity_of_a_client_is_refused(node: Node, reason: Reason | None, version: ssl.TLSVersion) -> None:
    """WC-40, SV-18, X509-SVID §3.2, §5.2; without a reason it is OpenSSL that does not let it pass, or one of both."""
    server = served(X509Snapshot(SERVER, ODD), settings=TLSSettings(minimum_version=version))
    outcome = shake(server, forged(node))
    if reason is None:
        assert isinstance(outcome.server, ssl.SSLError)
    else:
        assert reason_of(outcome.server) is reason
    assert nobody_was_served(outcome)


@pytest.mark.parametrize("usage", ["an-authority-itself", "for-servers-only"])
def test_the_same_is_refused_where_openssl_would_not_look(usage: str) -> None:
    """Two checks that do not know of each other; the second one alone is enough."""
    node = {
        "an-authority-itself": authority(CA, now=NOW, name="x", more=[(x509.SubjectAlternativeName([NAME]), True)]),
        "for-servers-only": leaf(CA, NAME, now=NOW, extended=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
    }[usage]
    context = served(X509Snapshot(SERVER, ODD))
    fixed = context._newest(server_side=True)  # type: ignore[attr-defined]

    class Shown:
        session_reused, server_hostname = False, None

        def getpeercert(self, *, binary_form: bool) -> bytes:
            assert binary_form
            return node.der

    with pytest.raises(Refused) as caught:
        fixed.peer_rules.judge(Shown())
    assert caught.value.reason is Reason.CERTIFICATE_USAGE


def test_an_intermediate_authority_may_stand_between() -> None:
    """X509-SVID §5.1: with get_unverified_chain, which 3.11 and 3.12 have under another roof."""
    between = authority(CA, now=NOW, name="between")
    node = leaf(between, NAME, now=NOW)
    chain = X509Credential.from_chain([node.der, between.der], node.key)
    seen = []

    def look(connection: ssl.SSLSocket) -> VerifiedX509SVID:
        seen.append(peer_chain(connection))
        return peer_of(connection)

    server = X509Snapshot(chain, ODD)
    outcome = shake(
        served(server),
        calling(server, server=any_host(any_trusted), check_hostname=False),
        then=look,
    )
    assert outcome.said == b"hello"
    assert isinstance(outcome.server, VerifiedX509SVID)
    assert outcome.server.path == (node.der, between.der, CA.der)
    assert seen == [(node.der, between.der)]
    # Without what stands between there is no path.
    alone = X509Credential.from_chain([node.der], node.key)
    assert nobody_was_served(shake(served(server), calling(X509Snapshot(alone, ODD), server=any_host(any_trusted))))


def test_an_anchor_need_not_be_self_signed() -> None:
    """X509-SVID §6.1."""
    between = authority(CA, now=NOW, name="between")
    node = leaf(between, NAME, x509.DNSName("localhost"), now=NOW)
    snapshot = X509Snapshot(X509Credential.from_chain([node.der], node.key), TrustBundles(bundle_of(DOMAIN, between)))
    assert shake(served(snapshot), calling(snapshot, server=any_host(any_trusted))).said == b"hello"


def test_a_chain_that_python_does_not_give_is_the_leaf_alone() -> None:
    class Old:
        def getpeercert(self, *, binary_form: bool) -> bytes | None:
            return b"leaf" if binary_form else None

    class Strange(Old):
        def get_unverified_chain(self) -> list[bytes]:
            return [b"another", b"leaf"]

    class Anonymous(Old):
        def getpeercert(self, *, binary_form: bool) -> bytes | None:  # noqa: ARG002
            return None

    assert peer_chain(Old()) == (b"leaf",)
    assert peer_chain(Strange()) == (b"leaf",)
    assert peer_chain(Anonymous()) == ()


# -------------------------------------------------------------------------------------- whom a client refuses


def test_a_server_of_another_domain_is_refused() -> None:
    foreign = served(trusting(B.credential("/server"), A))
    assert refused_by_openssl(shake(foreign, calling()).client)
    outcome = shake(foreign, calling(trusting(CLIENT, A, B)))
    assert reason_of(outcome.client) is Reason.IDENTITY_UNEXPECTED


def test_another_workload_than_the_one_that_is_called_is_refused() -> None:
    """WC-02, ID-15: it is of the right domain and has the right DNS name."""
    other = served(trusting(A.credential("/servers"), A))
    for rule in (TO_SERVER, by_host({"127.0.0.1": "spiffe://example.org/servers"}), any_host(exactly())):
        outcome = shake(other, calling(server=rule))
        assert reason_of(outcome.client) is Reason.IDENTITY_UNEXPECTED
        assert outcome.said == b""


def test_an_authority_does_not_speak_for_a_server_of_another_domain() -> None:
    impostor = B.credential("/server", domain=A.domain)
    outcome = shake(served(trusting(impostor, A)), calling(trusting(CLIENT, A, B)))
    assert reason_of(outcome.client) is Reason.CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        (("localhost",), "localhost", True),
        (("localhost",), "LOCALHOST", True),
        (("other.example", "localhost"), "localhost", True),
        (("*.svc.example",), "orders.svc.example", True),
        ((), "localhost", False),
        (("other.example",), "localhost", False),
        (("localhost.example",), "localhost", False),
        (("*.svc.example",), "svc.example", False),
        (("*.svc.example",), "a.b.svc.example", False),
        (("localhost",), "127.0.0.1", False),
        (("example.org",), "server", False),
    ],
)
def test_the_name_that_is_connected_to_must_be_in_the_certificate(
    names: tuple[str, ...], host: str, fits: bool
) -> None:
    """WC-41, mutual-tls §3.2.1: RFC 9525 §6.3, beside the identity and not in its place."""
    server = served(trusting(A.credential("/server", dns_names=names), A))
    rule = by_host({host.lower(): SERVER.identity})
    outcome = shake(server, calling(server=rule), host=host)
    if fits:
        assert outcome.said == b"hello"
        return
    assert isinstance(outcome.client, ssl.SSLCertVerificationError)
    assert refused_by_openssl(outcome.client)
    assert outcome.said == b""
    # Where nobody goes by DNS names, the workload alone is looked at.
    assert shake(server, calling(server=rule, check_hostname=False), host=host).said == b"hello"


def test_a_common_name_is_no_dns_name() -> None:
    """RFC 9525 §6.1."""
    node = leaf(CA, NAME, now=NOW, subject="localhost")
    snapshot = X509Snapshot(X509Credential.from_chain([node.der], node.key), ODD)
    outcome = shake(served(snapshot), calling(snapshot, server=any_host(any_trusted)))
    assert isinstance(outcome.client, ssl.SSLCertVerificationError)


def test_the_trust_domain_is_no_host_name() -> None:
    """mutual-tls §3.2.1: the host portion of the identifier is NOT treated as a hostname."""
    outcome = shake(
        served(trusting(A.credential("/server", dns_names=()), A)),
        calling(server=by_host({"example.org": SERVER.identity})),
        host="example.org",
    )
    assert isinstance(outcome.client, ssl.SSLCertVerificationError)


def test_a_client_that_goes_by_names_must_have_one() -> None:
    with socket.socket() as plain, pytest.raises(ValueError, match="server_hostname"):
        calling().wrap_socket(plain, server_hostname=None)


def test_names_that_are_not_mapped_are_nobody() -> None:
    rule = by_host({"a.example": "spiffe://example.org/a"})
    identity = A.domain.workload("/a")
    assert rule("a.example", identity)
    assert rule("A.example", identity)
    for host in ("b.example", "x.a.example", "a.example.", "", None):
        assert not rule(host, identity)
    assert not rule("a.example", A.domain.workload("/b"))


def test_a_client_without_an_identity_still_says_who_the_server_is() -> None:
    outcome = shake(plain_server(SERVER), calling(trusting(None, A)))
    assert isinstance(outcome.client, VerifiedX509SVID)
    assert outcome.client.identity == SERVER.identity


def plain_server(credential: X509Credential) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, credential)
    return context


# -------------------------------------------------------------------------------------- before and after


@pytest.mark.parametrize("kind", ["socket", "memory"])
def test_nothing_is_read_or_written_before_the_peer_is_judged(kind: str) -> None:
    """OpenSSL shakes hands on its own when somebody writes first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if kind == "socket":
            connection: Any = calling().wrap_socket(ours, server_hostname="localhost", do_handshake_on_connect=False)
            tries: tuple[Callable[[], object], ...] = (
                lambda: connection.recv(1),
                lambda: connection.recv_into(bytearray(1)),
                lambda: connection.send(b"x"),
                lambda: connection.sendall(b"x"),
                lambda: connection.write(b"x"),
                lambda: connection.read(1),
            )
        else:
            connection = calling().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
            tries = (lambda: connection.read(1), lambda: connection.write(b"x"))
        for attempt in tries:
            with pytest.raises(ssl.SSLError, match="not been verified"):
                attempt()
        with pytest.raises(Refused) as caught:
            peer_of(connection)
        assert caught.value.reason is Reason.CERTIFICATE_MISSING
        if kind == "socket":
            connection.close()


def test_a_refused_peer_cannot_be_talked_to_afterwards() -> None:
    seen: list[BaseException] = []

    def stubborn(connection: ssl.SSLSocket) -> Any:
        return connection

    context = calling(server=any_host(exactly()))
    original = context.wrap_socket

    def wrap(plain: socket.socket, **options: Any) -> ssl.SSLSocket:
        connection = original(plain, do_handshake_on_connect=False, **options)
        connection.connect = None  # type: ignore[method-assign, assignment]
        for attempt in (connection.do_handshake, lambda: connection.send(b"hello"), lambda: connection.recv(1)):
            try:
                attempt()
            except ssl.SSLError as error:
                seen.append(error)
        return connection

    context.wrap_socket = wrap  # type: ignore[method-assign, assignment]
    outcome = shake(served(), context, then=stubborn)
    assert [reason_of(each) for each in seen] == [Reason.IDENTITY_UNEXPECTED, *[Reason.CERTIFICATE_MISSING] * 2]
    assert outcome.said == b""


def test_no_session_is_resumed() -> None:
    """It would bring back a judgement of another day."""
    sessions: list[ssl.SSLSession | None] = []
    settings = TLSSettings(minimum_version=ssl.TLSVersion.TLSv1_2)
    server: Any = served(settings=settings)
    client: Any = forged(CLIENT)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    original: Any = client.wrap_socket

    def again() -> Outcome:
        def resumed(plain: socket.socket, **options: Any) -> ssl.SSLSocket:
            made: ssl.SSLSocket = original(plain, session=sessions[-1], **options)
            return made

        client.wrap_socket = original
        assert shake(server, client, then=lambda connection: sessions.append(connection.session)).said == b"hello"
        client.wrap_socket = resumed
        return shake(server, client, then=lambda connection: connection.session_reused)

    assert again().client is False  # type: ignore[comparison-overlap]  # our servers give no tickets
    server._newest(server_side=True).options &= ~ssl.OP_NO_TICKET
    assert reason_of(again().server) is Reason.CERTIFICATE_UNTRUSTED


def test_a_connection_of_another_context_has_no_peer() -> None:
    outcome = shake(plain_server(SERVER), forged(CLIENT))
    assert isinstance(outcome.client, Refused)
    assert outcome.client.reason is Reason.CERTIFICATE_MISSING
    with pytest.raises(Refused):
        peer_of(None)


def test_tls_is_1_3_unless_it_is_asked_for_less() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    load(old, CLIENT)
    assert isinstance(shake(served(), old).server, ssl.SSLError)
    assert shake(served(settings=TLSSettings(minimum_version=ssl.TLSVersion.TLSv1_2)), old, then=str).said == b"hello"
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1, ssl.TLSVersion.MINIMUM_SUPPORTED):
        with pytest.raises(ConfigurationError):
            TLSSettings(minimum_version=version)


# -------------------------------------------------------------------------------------- rotation


def test_a_new_certificate_and_new_anchors_are_those_of_the_next_connection() -> None:
    """No restart: neither side makes a new context."""
    source, caller = Replaceable(trusting(SERVER, A)), Replaceable(trusting(CLIENT, A))
    server = server_context(source, policy=any_trusted)
    client = client_context(caller, server=any_host(any_trusted))
    first = shake(server, client)
    renewed = A.credential("/server")
    source.current = trusting(renewed, A)
    second = shake(server, client)
    assert isinstance(first.client, VerifiedX509SVID)
    assert isinstance(second.client, VerifiedX509SVID)
    assert (first.client.certificate, second.client.certificate) == (SERVER.certificates[0], renewed.certificates[0])
    # The authority is replaced: what it has certified before is nobody any more.
    new = Authority()
    source.current = X509Snapshot(renewed, TrustBundles(new.bundle))
    assert nobody_was_served(shake(server, client))
    caller.current = X509Snapshot(new.credential("/client"), TrustBundles(A.bundle))
    assert shake(server, client).said == b"hello"
    # And an empty bundle distrusts all.
    source.current = X509Snapshot(renewed, TrustBundles(TrustBundle(trust_domain=A.domain)))
    assert nobody_was_served(shake(server, client))


def test_a_context_is_made_once_for_each_snapshot() -> None:
    context: Any = served()
    first = context._newest(server_side=True)
    assert context._newest(server_side=True) is first
    context._source = trusting(SERVER, A)  # equal, and another object
    assert context._newest(server_side=True) is first
    context.set_alpn_protocols(["http/1.1"])
    assert context._newest(server_side=True) is not first
    with pytest.raises(ConfigurationError):
        context.load_cert_chain("x")


def test_protocols_are_agreed_on() -> None:
    server, client = served(), calling()
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1"])
    seen = []
    shake(server, client, then=lambda connection: seen.append(connection.selected_alpn_protocol()))
    assert seen == ["http/1.1"]


def test_a_server_without_a_certificate_does_not_shake_hands() -> None:
    outcome = shake(served(trusting(None, A)), calling())
    assert isinstance(outcome.server, NoCredential)
    assert outcome.server.unavailable.reason is Reason.CREDENTIAL_UNAVAILABLE
    assert isinstance(outcome.client, OSError)


def test_a_credential_is_a_certificate_with_its_own_key() -> None:
    with pytest.raises(Refused) as caught:
        X509Credential.from_chain(SERVER.certificates, CLIENT.key)
    assert caught.value.reason is Reason.KEY_MISMATCH


def test_a_connection_whose_context_was_replaced_is_refused() -> None:
    """As a callback for server names could do."""

    class Replaced(WorkloadSSLSocket):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    with pytest.raises(PeerRefused) as caught:
        _Judged._judge(Replaced.__new__(Replaced))
    assert caught.value.refused.reason is Reason.CERTIFICATE_UNTRUSTED


def test_what_was_judged_can_be_written_to_as_a_file() -> None:
    written: list[int] = []
    outcome = shake(served(), calling(), then=lambda connection: written.append(connection.write(b"hello")))
    assert written == [5]
    assert outcome.said == b"hello"


def test_a_context_is_for_its_own_side() -> None:
    with pytest.raises(ConfigurationError, match="other side"):
        served().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    with pytest.raises(ConfigurationError, match="other side"):
        calling().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


def test_the_context_by_itself_connects_to_nobody() -> None:
    """A library that came past `wrap_socket` would find neither certificate nor anchors."""
    server, client = served(), calling()
    server.wrap_socket = lambda *a, **o: ssl.SSLContext.wrap_socket(server, *a, **o)  # type: ignore[method-assign]
    client.wrap_socket = lambda *a, **o: ssl.SSLContext.wrap_socket(client, *a, **o)  # type: ignore[method-assign]
    assert isinstance(shake(server, calling()).client, OSError)
    assert refused_by_openssl(shake(served(), client).client)


def test_a_context_needs_its_rules() -> None:
    """WC-01, ID-11: nothing is accepted by default."""
    nothing: Any = None
    makes: tuple[Callable[[], object], ...] = (
        lambda: server_context(trusting(SERVER, A), policy=nothing),
        lambda: client_context(trusting(CLIENT, A), server=nothing),
        lambda: client_context(nothing, server=TO_SERVER),
    )
    for make in makes:
        with pytest.raises(ConfigurationError):
            make()
    for mapping in (dict[str, str](), {"A.example": "spiffe://example.org/a"}):
        with pytest.raises(ConfigurationError):
            by_host(mapping)


# -------------------------------------------------------------------------------------- the key


def test_the_key_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WC-45: in memory where the system can, else for a moment, for us alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with as_file(b"secret") as path:
        assert path.startswith("/proc/self/fd/")
        assert Path(path).read_bytes() == b"secret"
        assert list(tmp_path.iterdir()) == []
    assert not Path(path).exists() or Path(path).resolve() != Path(path)
    monkeypatch.delattr(os, "memfd_create")
    with as_file(b"secret") as path:
        assert Path(path).read_bytes() == b"secret"
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
    assert shake(served(), calling()).said == b"hello"


def test_a_key_does_not_show_itself() -> None:
    secret = SERVER.key.to_jwk()["d"]
    assert secret not in repr(SERVER)
    assert "PRIVATE" not in repr(trusting(SERVER, A))
