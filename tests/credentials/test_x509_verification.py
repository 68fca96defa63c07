from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from tests.credentials.certificates import Node, authority, bundle_of, leaf, make, uri, usage
from tests.credentials.tokens import NOW, SPIFFE, WIMSE
from tests.refusals import refused
from wimse.credentials import (
    CertificatePurpose,
    TrustBundle,
    TrustDomain,
    UnverifiedX509SVID,
    VerifiedX509SVID,
    X509Settings,
    issue_x509_authority,
    issue_x509_svid,
    verify_x509_svid,
)
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys import EDDSA, ES384, PS256, Algorithm, PrivateKey

CA = authority(now=NOW)
BUNDLE = bundle_of(SPIFFE, CA)
NAME = uri("spiffe://example.org/a")
WIMSE_NAME = uri("wimse://example.org/a")
SERVER_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def verify(
    *chain: Node,
    bundle: TrustBundle = BUNDLE,
    now: int = NOW,
    purpose: CertificatePurpose | None = None,
    **limits: Any,
) -> VerifiedX509SVID:
    settings = X509Settings(**limits)
    unverified = UnverifiedX509SVID.parse([each.der for each in chain], settings=settings)
    return verify_x509_svid(unverified, bundle, now=now, purpose=purpose, settings=settings)


def test_what_our_issuer_makes_is_verified() -> None:
    """Both sides of this room agree, for every purpose."""
    key, workload_key = PrivateKey.generate(), PrivateKey.generate()
    anchor = issue_x509_authority(SPIFFE, key, not_before=NOW, not_after=NOW + 1000)
    subject = SPIFFE.workload("/orders")
    der = issue_x509_svid(
        subject=subject,
        workload_key=workload_key.public_key,
        authority=anchor,
        authority_key=key,
        not_before=NOW,
        not_after=NOW + 100,
        dns_names=["orders.example", "*.orders.example"],
    )
    bundle = TrustBundle(trust_domain=SPIFFE, x509_authorities=(anchor,))
    for purpose in (None, *CertificatePurpose):
        verified = verify_x509_svid(UnverifiedX509SVID.parse([der]), bundle, now=NOW, purpose=purpose)
        assert verified.identity == subject
        assert (verified.not_before_at, verified.expires_at) == (NOW, NOW + 100)
        assert verified.dns_names == ("orders.example", "*.orders.example")
        assert verified.path == (der, anchor)
        assert verified.certificate == der


@pytest.mark.parametrize("name", ["", "*", "a b", "a..b", "-a", "a.", "ä.example", "a/b", "x" * 64, "a." * 127 + "a"])
def test_an_issuer_writes_no_malformed_dns_name(name: str) -> None:
    with pytest.raises(ConfigurationError):
        issue_x509_svid(
            subject=SPIFFE.workload("/a"),
            workload_key=PrivateKey.generate().public_key,
            authority=CA.der,
            authority_key=CA.key,
            not_before=NOW,
            not_after=NOW + 1,
            dns_names=[name],
        )


@pytest.mark.parametrize("algorithm", [ES384, PS256, EDDSA], ids=lambda each: each.jose_name)
def test_a_workload_may_have_a_key_of_another_kind(algorithm: Algorithm) -> None:
    assert verify(leaf(CA, NAME, now=NOW, key=PrivateKey.generate(algorithm))).identity == SPIFFE.workload("/a")


def test_a_wimse_certificate_is_one_of_its_own_trust_domain() -> None:
    """WC-42: the anchors of the identifier's own trust domain, scheme included."""
    bundle = bundle_of(WIMSE, CA)
    # workload-creds and mutual-tls ask for less than X509-SVID: no key usage, and the one purpose alone.
    certificate = leaf(CA, WIMSE_NAME, now=NOW, key_usage=None, extended=SERVER_ONLY, constraints=None)
    assert verify(certificate, bundle=bundle, purpose=CertificatePurpose.SERVER).identity == WIMSE.workload("/a")
    with refused(Reason.TRUST_DOMAIN_UNKNOWN):
        verify(certificate, bundle=BUNDLE)
    with refused(Reason.TRUST_DOMAIN_UNKNOWN):
        verify(leaf(CA, NAME, now=NOW), bundle=bundle)


# ------------------------------------------------------------------------------------------------- the identity


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("a.example"),),
        (NAME, uri("spiffe://example.org/b")),
        (NAME, NAME),
        (NAME, uri("https://a.example/")),
        (uri("spiffe://other.org/a"), NAME),
    ],
    ids=["no-san", "no-uri", "two", "twice-the-same", "another-uri-beside", "another-domain-first"],
)
def test_a_certificate_without_exactly_one_uri_is_refused(names: tuple[x509.GeneralName, ...]) -> None:
    """WC-40: one URI SAN, not two."""
    certificate = leaf(CA, *names, now=NOW, subject="a")
    with refused(Reason.CERTIFICATE_IDENTITY):
        verify(certificate)


def test_names_of_other_kinds_may_stand_beside_the_identifier() -> None:
    """WC-41: DNS names for clients that go by host name; others are no identity."""
    others = (x509.DNSName("a.example"), x509.RFC822Name("spiffe@example.org"))
    verified = verify(leaf(CA, x509.DNSName("b.example"), NAME, *others, now=NOW))
    assert verified.identity == SPIFFE.workload("/a")
    assert verified.dns_names == ("b.example", "a.example")


@pytest.mark.parametrize(
    "text",
    [
        *("spiffe://example.org", "spiffe://example.org/", "spiffe://EXAMPLE.org/a", "spiffe://example.org/a/../b"),
        *(
            "https://example.org/a",
            "spiffe://example.org/a?x",
            "spiffe://user@example.org/a",
            "spiffe://example.org:1/a",
        ),
        *("", "spiffe:example.org/a", "spiffe://example.org/a%62", "x" * 3000),
    ],
)
def test_a_uri_that_is_no_identifier_is_refused(text: str) -> None:
    """SV-18: the identifier in a certificate is held to the same rules as elsewhere."""
    with refused(Reason.IDENTIFIER_MALFORMED):
        verify(leaf(CA, uri(text), now=NOW))


# ------------------------------------------------------------------------------------------------- whose anchors


def test_another_trust_domains_authority_makes_no_path() -> None:
    """WC-42, WC-33: there is no pool of anchors."""
    other = TrustDomain("spiffe", "other.org")
    stranger = authority(now=NOW, name="ca")
    certificate = leaf(stranger, NAME, now=NOW)
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(certificate)
    with refused(Reason.TRUST_DOMAIN_UNKNOWN):  # the stranger's own bundle does not speak for this domain
        verify(certificate, bundle=bundle_of(other, stranger))


def test_a_bundle_without_authorities_trusts_nobody() -> None:
    """SV-34: an empty set distrusts all."""
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(CA, NAME, now=NOW), bundle=bundle_of(SPIFFE))


def test_one_of_several_anchors_is_enough() -> None:
    bundle = bundle_of(SPIFFE, authority(now=NOW), CA, authority(now=NOW, name="old"))
    assert verify(leaf(CA, NAME, now=NOW), bundle=bundle).path[-1] == CA.der


def test_the_certificate_that_is_its_own_anchor_is_refused() -> None:
    self_signed = make(
        None,
        [(x509.SubjectAlternativeName([NAME]), True), (usage("digital_signature"), True)],
        now=NOW,
    )
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(self_signed, bundle=bundle_of(SPIFFE, self_signed))


# ------------------------------------------------------------------------------------------------- the leaf


@pytest.mark.parametrize(
    "changes",
    [
        {"constraints": x509.BasicConstraints(ca=True, path_length=None)},
        {"key_usage": (usage("digital_signature", "key_cert_sign"), True)},
        {"key_usage": (usage("digital_signature", "crl_sign"), True)},
        {"key_usage": (usage("key_agreement"), True)},
        {"key_usage": None},
        {"key_usage": (usage("digital_signature"), False)},
        {"extended": SERVER_ONLY},
        {"extended": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])},
        {"san_critical": False},
    ],
    ids=["ca", "certifies", "revokes", "no-signature", "no-usage", "usage-not-critical", "one", "any", "san"],
)
def test_what_is_not_a_leaf_for_authentication_is_refused(changes: dict[str, Any]) -> None:
    """X509-SVID §3.1, §4.3, §4.4, §5.2."""
    with refused(Reason.CERTIFICATE_USAGE):
        verify(leaf(CA, NAME, now=NOW, **changes))


@pytest.mark.parametrize("scheme", [SPIFFE, WIMSE], ids=["spiffe", "wimse"])
def test_an_extended_key_usage_need_not_be_there(scheme: TrustDomain) -> None:
    name = uri(f"{scheme}/a")
    assert verify(leaf(CA, name, now=NOW, extended=None), bundle=bundle_of(scheme, CA)).identity.path == "/a"


def test_a_wimse_certificate_is_for_its_purpose_only() -> None:
    certificate = leaf(CA, WIMSE_NAME, now=NOW, extended=SERVER_ONLY)
    bundle = bundle_of(WIMSE, CA)
    verify(certificate, bundle=bundle, purpose=CertificatePurpose.SERVER)
    verify(certificate, bundle=bundle)
    with refused(Reason.CERTIFICATE_USAGE):
        verify(certificate, bundle=bundle, purpose=CertificatePurpose.CLIENT)
    for forbidden in ("key_cert_sign", "crl_sign"):
        with refused(Reason.CERTIFICATE_USAGE):
            verify(
                leaf(CA, WIMSE_NAME, now=NOW, key_usage=(usage("digital_signature", forbidden), True)), bundle=bundle
            )


# ------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW - 61, Reason.CERTIFICATE_NOT_YET_VALID),
        (NOW - 60, None),
        (NOW + 3599, None),
        (NOW + 3600, Reason.CERTIFICATE_EXPIRED),
        (0, Reason.CERTIFICATE_NOT_YET_VALID),
        (2**40, Reason.CERTIFICATE_EXPIRED),
    ],
)
def test_times_are_judged_by_the_now_that_is_given(now: int, reason: Reason | None) -> None:
    root = authority(now=NOW, since=-10_000, until=10_000)
    certificate = leaf(root, NAME, now=NOW)
    if reason is None:
        verify(certificate, bundle=bundle_of(SPIFFE, root), now=now)
    else:
        with refused(reason):
            verify(certificate, bundle=bundle_of(SPIFFE, root), now=now)


def test_an_anchor_that_has_expired_makes_no_path() -> None:
    """Workload-creds §9.3.1: a certificate's life is bounded by that of its anchor."""
    root = authority(now=NOW, until=100)
    certificate = leaf(root, NAME, now=NOW)
    verify(certificate, bundle=bundle_of(SPIFFE, root), now=NOW + 99)
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(certificate, bundle=bundle_of(SPIFFE, root), now=NOW + 101)


def test_a_certificate_that_lives_too_long_is_refused() -> None:
    """WC-43: 31 days by default, and what the environment asks for."""
    certificate = leaf(CA, NAME, now=NOW, since=-1, until=3599)
    verify(certificate, max_lifetime=timedelta(hours=1))
    with refused(Reason.CERTIFICATE_LIFETIME):
        verify(certificate, max_lifetime=timedelta(minutes=59))
    root = authority(now=NOW, until=90 * 86_400)
    with refused(Reason.CERTIFICATE_LIFETIME):
        verify(leaf(root, NAME, now=NOW, until=32 * 86_400), bundle=bundle_of(SPIFFE, root))


# ------------------------------------------------------------------------------------------------- the path


def test_intermediate_authorities_are_walked() -> None:
    middle = authority(CA, now=NOW, name="middle")
    low = authority(middle, now=NOW, name="low")
    end = leaf(low, NAME, now=NOW)
    verified = verify(end, middle, low)  # in any order
    assert verified.path == (end.der, low.der, middle.der, CA.der)
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(end, low)
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(end, middle, low, max_intermediates=1)
    # An anchor may be an intermediate authority (X509-SVID §6.1).
    assert verify(end, bundle=bundle_of(SPIFFE, low)).path == (end.der, low.der)


def test_the_length_that_an_authority_permits_is_kept() -> None:
    root = authority(now=NOW, path_length=0)
    middle = authority(root, now=NOW, name="middle")
    verify(leaf(root, NAME, now=NOW), bundle=bundle_of(SPIFFE, root))
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(middle, NAME, now=NOW), middle, bundle=bundle_of(SPIFFE, root))


def test_a_leaf_that_issues_is_no_authority() -> None:
    other = leaf(CA, uri("spiffe://example.org/b"), now=NOW, subject="b")
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(other, NAME, now=NOW), other)
    no_signing = make(
        CA, [(x509.BasicConstraints(ca=True, path_length=None), True), (usage("crl_sign"), True)], now=NOW, subject="c"
    )
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(no_signing, NAME, now=NOW), no_signing)
    no_constraints = make(CA, [(usage("key_cert_sign"), True)], now=NOW, subject="d")
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(no_constraints, NAME, now=NOW), no_constraints)


def test_an_authority_with_the_identifier_of_a_workload_is_refused() -> None:
    """X509-SVID §3.2: the identifier of a signing certificate has no path; its domain may be another one."""
    for text, good in (
        ("spiffe://example.org", True),
        ("spiffe://upstream.org", True),
        ("spiffe://example.org/", True),  # as in Trust Domain and Bundle, appendix A
        ("spiffe://example.org/ca", False),
        ("spiffe://example.org/ca/", False),
        ("spiffe://example.org//", False),
    ):
        san = x509.SubjectAlternativeName([uri(text)])
        root = authority(now=NOW, more=[(san, False)])
        chain, bundle = leaf(root, NAME, now=NOW), bundle_of(SPIFFE, root)
        if good:
            verify(chain, bundle=bundle)
        else:
            with refused(Reason.CERTIFICATE_UNTRUSTED):
                verify(chain, bundle=bundle)


def test_name_constraints_on_host_names_are_kept() -> None:
    constraint = x509.NameConstraints([x509.DNSName("example.org")], None)
    root = authority(now=NOW, more=[(constraint, True)])
    bundle = bundle_of(SPIFFE, root)
    verify(leaf(root, NAME, x509.DNSName("a.example.org"), now=NOW), bundle=bundle)
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(root, NAME, x509.DNSName("a.other.org"), now=NOW), bundle=bundle)


@pytest.mark.parametrize("host", ["example.org", "other.org"])
def test_a_constraint_on_uris_makes_no_path(host: str) -> None:
    # X509-SVID §4.2: libraries that do not support it reject such certificates. Ours does.
    root = authority(now=NOW, more=[(x509.NameConstraints([uri(host)], None), True)])
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(leaf(root, NAME, now=NOW), bundle=bundle_of(SPIFFE, root))


@pytest.mark.parametrize("where", ["leaf", "authority"])
def test_a_critical_extension_that_nobody_knows_is_refused(where: str) -> None:
    strange = [(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)]
    root = authority(now=NOW, more=strange if where == "authority" else [])
    certificate = leaf(root, NAME, now=NOW, more=strange if where == "leaf" else [])
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        verify(certificate, bundle=bundle_of(SPIFFE, root))


# ------------------------------------------------------------------------------------------------- limits and bytes


def test_an_empty_chain_is_a_missing_certificate() -> None:
    with refused(Reason.CERTIFICATE_MISSING):
        UnverifiedX509SVID.parse([])


def test_a_chain_is_bounded_before_it_is_parsed() -> None:
    with refused(Reason.CERTIFICATE_CHAIN_TOO_LARGE):
        UnverifiedX509SVID.parse([b"?"] * 9)
    with refused(Reason.CERTIFICATE_CHAIN_TOO_LARGE):
        UnverifiedX509SVID.parse([b"?" * 16_385])
    with refused(Reason.CERTIFICATE_MALFORMED):
        UnverifiedX509SVID.parse([b"?" * 16_384])


def test_an_intermediate_that_cannot_be_read_spoils_the_chain() -> None:
    with refused(Reason.CERTIFICATE_MALFORMED):
        UnverifiedX509SVID.parse([leaf(CA, NAME, now=NOW).der, b"?"])


def test_an_extension_that_occurs_twice_is_refused() -> None:
    der = leaf(CA, NAME, now=NOW, subject="a").der
    # The basic constraints become a second extended key usage: 2.5.29.19 and 2.5.29.37.
    assert der.count(b"\x06\x03\x55\x1d\x13") == 1
    with refused(Reason.CERTIFICATE_MALFORMED):
        UnverifiedX509SVID.parse([der.replace(b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x25")])


LEAF = leaf(CA, NAME, x509.DNSName("a.example"), now=NOW).der


@given(st.data())
def test_a_changed_byte_never_verifies_and_never_surprises(data: st.DataObject) -> None:
    # Whatever is changed in a leaf, the answer is a refusal.
    position = data.draw(st.integers(0, len(LEAF) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != LEAF[position]))
    changed = LEAF[:position] + bytes([byte]) + LEAF[position + 1 :]
    with pytest.raises(Refused):
        verify_x509_svid(UnverifiedX509SVID.parse([changed]), BUNDLE, now=NOW)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_refused(chain: list[bytes]) -> None:
    with pytest.raises(Refused):
        UnverifiedX509SVID.parse(chain)


@pytest.mark.parametrize("field", dataclasses.fields(X509Settings), ids=lambda field: field.name)
def test_limits_are_positive(field: dataclasses.Field[Any]) -> None:
    kind: Any = type(getattr(X509Settings(), field.name))
    with pytest.raises(ConfigurationError):
        X509Settings(**{field.name: kind(-1)})
    if field.name != "max_intermediates":
        with pytest.raises(ConfigurationError):
            X509Settings(**{field.name: kind(0)})


def test_only_verification_makes_a_verified_certificate() -> None:
    verified = verify(leaf(CA, NAME, now=NOW))
    with pytest.raises(TypeError):
        dataclasses.replace(verified, identity=SPIFFE.workload("/admin"))
    with pytest.raises(TypeError):
        VerifiedX509SVID(
            identity=SPIFFE.workload("/a"), not_before_at=0, expires_at=2**40, dns_names=(), path=(CA.der,)
        )
    assert "path=(" not in repr(verified)
