"""Certificates that no honest authority issues, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from wimse.credentials import TrustBundle, TrustDomain
from wimse.keys import PrivateKey

__all__ = ["BOTH_USAGES", "Node", "authority", "bundle_of", "leaf", "make", "uri", "usage"]

NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
BOTH_USAGES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True)
class Node:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def usage(*names: str) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in names for name in every})


def make(
    issuer: Node | None,
    extensions: list[tuple[Any, bool]],
    *,
    now: int,
    since: int = -60,
    until: int = 3600,
    subject: str | None = None,
    key: PrivateKey | None = None,
) -> Node:
    """Sign a certificate with exactly these extensions (value, whether it is critical)."""
    key = key or PrivateKey.generate()
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    name = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key.native)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now + since, UTC))
        .not_valid_after(datetime.fromtimestamp(now + until, UTC))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    signer: Any = (issuer.key if issuer else key).native
    return Node(builder.sign(signer, hashes.SHA256()), key)


def authority(
    issuer: Node | None = None,
    *,
    now: int,
    name: str = "ca",
    path_length: int | None = None,
    more: list[tuple[Any, bool]] | None = None,
    since: int = -60,
    until: int = 3600,
) -> Node:
    """An authority as it should be, with more extensions if wanted."""
    extensions: list[tuple[Any, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage("key_cert_sign", "crl_sign"), True),
    ]
    return make(issuer, [*extensions, *(more or [])], now=now, since=since, until=until, subject=name)


def leaf(
    issuer: Node,
    *names: x509.GeneralName,
    now: int,
    key_usage: tuple[x509.KeyUsage, bool] | None = (usage("digital_signature"), True),
    extended: x509.ExtendedKeyUsage | None = BOTH_USAGES,
    constraints: x509.BasicConstraints | None = NO_AUTHORITY,
    san_critical: bool = True,
    more: list[tuple[Any, bool]] | None = None,
    **rest: Any,
) -> Node:
    """A leaf that is right in all that is not said."""
    extensions: list[tuple[Any, bool]] = [*(more or [])]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), san_critical))
    if constraints is not None:
        extensions.append((constraints, True))
    if key_usage is not None:
        extensions.append(key_usage)
    if extended is not None:
        extensions.append((extended, False))
    return make(issuer, extensions, now=now, **rest)


def bundle_of(trust_domain: TrustDomain, *authorities: Node) -> TrustBundle:
    return TrustBundle(trust_domain=trust_domain, x509_authorities=tuple(each.der for each in authorities))
