"""The X.509-SVID: CA certificates and leaf certificates, issued as X509-SVID.md §2 to §4 asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError
from wimse.keys import PrivateKey, PublicKey

__all__ = ["check_dns_names", "issue_x509_authority", "issue_x509_svid"]

MAX_DNS_NAME: Final = 253  # RFC 1035 §2.3.4
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def issue_x509_authority(
    trust_domain: TrustDomain,
    key: PrivateKey,
    *,
    not_before: int,
    not_after: int,
    under: bytes | None = None,
    under_key: PrivateKey | None = None,
) -> bytes:
    """Make the CA certificate of a trust domain (X509-SVID §3.2), self-signed or under another CA.

    Args:
        trust_domain: its URI, without a path, is the certificate's URI SAN.
        key: the CA's key.
        not_before: seconds since 1970.
        not_after: seconds since 1970.
        under: the other CA's certificate, DER.
        under_key: the other CA's key.

    Returns:
        The certificate, DER.
    """
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain.name[:64])])
    signer, issuer = key, name
    if under is not None and under_key is not None:
        # A name of its own in each certificate: path building goes by names, and two of our CAs live at one time.
        own = x509.NameAttribute(NameOID.COMMON_NAME, key.public_key.thumbprint())
        name = x509.Name([*name, own])
        signer, issuer = under_key, x509.load_der_x509_certificate(under).subject
    builder = _builder(name, key.public_key, not_before, not_after).issuer_name(issuer)
    if signer is not key:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key.native), critical=False
        )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(trust_domain))]), critical=False
    )
    return _sign(builder, signer)


def issue_x509_svid(
    *,
    subject: WorkloadIdentifier,
    workload_key: PublicKey,
    authority: bytes,
    authority_key: PrivateKey,
    not_before: int,
    not_after: int,
    dns_names: Sequence[str] = (),
) -> bytes:
    """Make the certificate of a workload (X509-SVID §2, §4; workload-creds §6.1).

    Args:
        subject: the workload; its identifier is the only URI SAN.
        workload_key: the workload's public key.
        authority: the CA's certificate, DER.
        authority_key: the CA's key.
        not_before: seconds since 1970.
        not_after: seconds since 1970, not after the CA's own.
        dns_names: host names under which it is a server, for clients that go by host name (workload-creds §6.1).

    Returns:
        The certificate, DER.

    Raises:
        ConfigurationError: for a DNS name that is not one of ASCII letters, digits, hyphens, underscores and dots, with
            ``*`` as its leftmost label at most.
    """
    check_dns_names(dns_names)
    issuer = x509.load_der_x509_certificate(authority)
    # X509-SVID §3.1: the subject is not required; then the SAN is critical (RFC 5280 §4.1.2.6).
    builder = _builder(x509.Name([]), workload_key, not_before, not_after).issuer_name(issuer.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        critical=False,
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(subject))]
    names += [x509.DNSName(name) for name in dns_names]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key.native), critical=False
    )
    return _sign(builder, authority_key)


def check_dns_names(names: Sequence[str]) -> None:
    """Check host names for a certificate.

    Raises:
        ConfigurationError: as `issue_x509_svid`.
    """
    if any(len(name) > MAX_DNS_NAME or not _DNS_NAME.fullmatch(name) for name in names):
        raise ConfigurationError("a DNS name of a certificate is malformed")


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
