"""The X.509-SVID: CA certificates and leaf certificates, issued as X509-SVID.md §2 to §4 asks."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.keys import PrivateKey, PublicKey

__all__ = ["issue_x509_authority", "issue_x509_svid"]


def issue_x509_authority(trust_domain: TrustDomain, key: PrivateKey, *, not_before: int, not_after: int) -> bytes:
    """Make the self-signed CA certificate of a trust domain (X509-SVID §3.2).

    Args:
        trust_domain: its URI, without a path, is the certificate's URI SAN.
        key: the CA's key.
        not_before: seconds since 1970.
        not_after: seconds since 1970.

    Returns:
        The certificate, DER.
    """
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain.name[:64])])
    builder = _builder(name, key.public_key, not_before, not_after).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(trust_domain))]), critical=False
    )
    return _sign(builder, key)


def issue_x509_svid(
    *,
    subject: WorkloadIdentifier,
    workload_key: PublicKey,
    authority: bytes,
    authority_key: PrivateKey,
    not_before: int,
    not_after: int,
) -> bytes:
    """Make the certificate of a workload (X509-SVID §2, §4).

    Args:
        subject: the workload; its identifier is the only URI SAN.
        workload_key: the workload's public key.
        authority: the CA's certificate, DER.
        authority_key: the CA's key.
        not_before: seconds since 1970.
        not_after: seconds since 1970, not after the CA's own.

    Returns:
        The certificate, DER.
    """
    issuer = x509.load_der_x509_certificate(authority)
    # X509-SVID §3.1: the subject is not required; then the SAN is critical (RFC 5280 §4.1.2.6).
    builder = _builder(x509.Name([]), workload_key, not_before, not_after).issuer_name(issuer.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        critical=False,
    )
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(subject))]), critical=True
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key.native), critical=False
    )
    return _sign(builder, authority_key)


def _builder(name: x509.Name, key: PublicKey, not_before: int, not_after: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.native)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.native), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    # X509-SVID §4.3: a leaf signs and never certifies; a CA certifies.
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: PrivateKey) -> bytes:
    digest = None if isinstance(key.native, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return builder.sign(key.native, digest).public_bytes(serialization.Encoding.DER)
