from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from tests.credentials.tokens import NOW, SPIFFE, workload
from wimse.credentials import TrustDomain, issue_x509_authority, issue_x509_svid
from wimse.keys import EDDSA, ES256, Algorithm, PrivateKey, PublicKey

KEY = PrivateKey.generate()
WORKLOAD = PrivateKey.generate()
AUTHORITY = issue_x509_authority(SPIFFE, KEY, not_before=NOW, not_after=NOW + 1000)
CA = x509.load_der_x509_certificate(AUTHORITY)


def issue(
    key: PrivateKey = KEY, authority: bytes = AUTHORITY, workload_key: PublicKey = WORKLOAD.public_key
) -> x509.Certificate:
    der = issue_x509_svid(
        subject=workload(),
        workload_key=workload_key,
        authority=authority,
        authority_key=key,
        not_before=NOW,
        not_after=NOW + 100,
    )
    return x509.load_der_x509_certificate(der)


LEAF = issue()


def uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == 1
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def test_a_leaf_has_the_identifier_as_its_only_name() -> None:
    """WC-40: one URI, and nothing beside it."""
    assert uris(LEAF) == [str(workload())]
    assert LEAF.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert len(LEAF.subject) == 0


def test_a_leaf_signs_and_never_certifies() -> None:
    constraints = LEAF.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    usage = LEAF.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert not any((usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_agreement))
    extended = LEAF.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_an_authority_certifies_and_does_nothing_else() -> None:
    assert uris(CA) == ["spiffe://example.org"]
    constraints = CA.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = CA.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    assert not [each for each in CA.extensions if isinstance(each.value, x509.ExtendedKeyUsage)]


def test_the_times_are_those_that_were_asked_for() -> None:
    assert LEAF.not_valid_before_utc == datetime.fromtimestamp(NOW, UTC)
    assert LEAF.not_valid_after_utc == datetime.fromtimestamp(NOW + 100, UTC)
    assert CA.not_valid_after_utc == datetime.fromtimestamp(NOW + 1000, UTC)


@pytest.mark.parametrize("algorithm", [ES256, EDDSA], ids=lambda each: each.jose_name)
def test_the_chain_holds_for_either_algorithm_and_for_no_other_authority(algorithm: Algorithm) -> None:
    key, workload_key = PrivateKey.generate(algorithm), PrivateKey.generate(algorithm)
    der = issue_x509_authority(SPIFFE, key, not_before=NOW, not_after=NOW + 1000)
    leaf = issue(key, der, workload_key.public_key)
    leaf.verify_directly_issued_by(x509.load_der_x509_certificate(der))
    assert PublicKey.from_native(leaf.public_key()).same_key(workload_key.public_key)
    twin = issue_x509_authority(SPIFFE, PrivateKey.generate(algorithm), not_before=NOW, not_after=NOW + 1000)
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(x509.load_der_x509_certificate(twin))


def test_the_key_identifiers_link_leaf_and_authority() -> None:
    own = CA.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    link = LEAF.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert link == own
    assert issue().serial_number != issue().serial_number


def verification(seconds: int, *anchors: x509.Certificate) -> list[str]:
    """The library's own verification of a client's chain, with no requirement of ours."""
    builder = PolicyBuilder().store(Store(list(anchors))).time(datetime.fromtimestamp(NOW + seconds, UTC))
    authorities = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    leaves = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    builder = builder.extension_policies(ca_policy=authorities, ee_policy=leaves)
    verified = builder.build_client_verifier().verify(LEAF, [])
    return [name.value for name in verified.subjects or []]


def test_the_librarys_own_verification_accepts_the_chain() -> None:
    # A second witness for the chain, its times and its anchor.
    assert isinstance(CA.public_key(), ec.EllipticCurvePublicKey)
    assert verification(50, CA) == [str(workload())]
    for seconds in (-1, 101):
        with pytest.raises(VerificationError):
            verification(seconds, CA)
    stranger = issue_x509_authority(SPIFFE, PrivateKey.generate(), not_before=NOW, not_after=NOW + 1000)
    with pytest.raises(VerificationError):
        verification(50, x509.load_der_x509_certificate(stranger))


def test_a_long_trust_domain_fits_the_authoritys_name() -> None:
    domain = TrustDomain("spiffe", "a" * 255)
    der = issue_x509_authority(domain, KEY, not_before=NOW, not_after=NOW + 1)
    assert uris(x509.load_der_x509_certificate(der)) == [str(domain)]
