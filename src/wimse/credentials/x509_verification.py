"""Verification of X.509-SVIDs and Workload Identity Certificates (X509-SVID §5, workload-creds §6.1 and §9.3).

Rules:

1. The identity is the one URI SAN. A certificate with none or with two is refused, whatever the second one says
   (X509-SVID §2; workload-creds §6.1 asks it of identifiers only, and a second URI is where confusion begins).
2. The trust domain of that URI, scheme included, chooses the anchors. There is no pool of anchors: a path to another
   domain's anchor is no path (workload-creds §9.3, Federation §7.3).
3. What authenticates is a leaf: no CA flag, no keyCertSign, no cRLSign (X509-SVID §5.2).
4. Path validation (RFC 5280 §6) is `cryptography`'s: signatures, times, path lengths, name constraints of DNS names and
   IP addresses, critical extensions that nobody knows. Its limits are kept, for they fail closed: an authority with
   an Ed25519 key, or with a name constraint on URIs, makes no path (X509-SVID §4.2 foresees the latter).
5. There is no leeway: issuers date certificates back.

What is not done here: host names, which are the TLS layer's to compare, and revocation lists, which SPIFFE has none of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from wimse.credentials.bundle import TrustBundle
from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, Refused

__all__ = ["CertificatePurpose", "UnverifiedX509SVID", "VerifiedX509SVID", "X509Settings", "verify_x509_svid"]

_MADE_BY_VERIFICATION: Final = object()
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class CertificatePurpose(StrEnum):
    """What the certificate is shown for: its extended key usage, where it has one, must name it."""

    SERVER = "server"
    CLIENT = "client"


_USAGE_OF: Final = {
    CertificatePurpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    CertificatePurpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class X509Settings:
    """Limits for the verification of certificates.

    Attributes:
        max_certificates: most certificates that a peer may send, its own included. Default 8.
        max_certificate_bytes: largest of them. Default 16 KiB.
        max_intermediates: most intermediate authorities on a path. Default 4.
        max_lifetime: longest life of a workload's certificate, from its beginning to its end. Default 31 days
            (workload-creds §9.3.1: appropriate to the environment; issuers of short-lived ones can be held to that).

    Raises on construction:
        ConfigurationError: for what is not positive; `max_intermediates` may be 0.
    """

    max_certificates: int = 8
    max_certificate_bytes: int = 16_384
    max_intermediates: int = 4
    max_lifetime: timedelta = timedelta(days=31)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            zero = type(value)(0)
            if value < zero or (value == zero and each.name != "max_intermediates"):
                raise ConfigurationError(f"{each.name} must be positive")


_DEFAULTS: Final = X509Settings()


@dataclass(frozen=True, slots=True)
class UnverifiedX509SVID:
    """A certificate and its chain that were read and prove nothing yet.

    Attributes:
        claimed_identity: the one URI SAN.
        certificates: leaf first, as the peer sent them.
    """

    claimed_identity: WorkloadIdentifier
    certificates: tuple[x509.Certificate, ...] = field(repr=False)

    @property
    def trust_domain(self) -> TrustDomain:
        """Whose anchors are needed."""
        return self.claimed_identity.trust_domain

    @classmethod
    def parse(cls, chain: Sequence[bytes], *, settings: X509Settings = _DEFAULTS) -> UnverifiedX509SVID:
        """Read what a peer sent.

        Args:
            chain: DER, the leaf first, then intermediate authorities.
            settings: limits.

        Raises:
            Refused: `certificate_missing` for an empty chain; `certificate_chain_too_large`; `certificate_malformed`;
                `certificate_identity` unless there is exactly one URI SAN; `identifier_malformed` when that is no
                workload identifier.
        """
        if not chain:
            raise Refused(Reason.CERTIFICATE_MISSING, "the peer has sent no certificate")
        if len(chain) > settings.max_certificates or any(len(der) > settings.max_certificate_bytes for der in chain):
            raise Refused(
                Reason.CERTIFICATE_CHAIN_TOO_LARGE,
                f"the peer's chain has more than {settings.max_certificates} certificates, or one of more than "
                f"{settings.max_certificate_bytes} bytes",
            )
        with _reading():
            certificates = tuple(x509.load_der_x509_certificate(der) for der in chain)
            names = _extension(certificates[0], x509.SubjectAlternativeName)
            uris = names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []
        if len(uris) != 1:
            raise Refused(Reason.CERTIFICATE_IDENTITY, "the certificate does not have exactly one URI SAN")
        return cls(WorkloadIdentifier.parse(uris[0]), certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedX509SVID:
    """A certificate that its trust domain's bundle has verified. Only `verify_x509_svid` makes one.

    Whoever shows it has not proved to hold its key: that is what a TLS handshake does.

    Attributes:
        identity: the workload.
        not_before_at: seconds since 1970.
        expires_at: seconds since 1970.
        dns_names: its DNS SANs.
        path: DER, from the leaf to the anchor.
    """

    identity: WorkloadIdentifier
    not_before_at: int
    expires_at: int
    dns_names: tuple[str, ...]
    path: tuple[bytes, ...] = field(repr=False)
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _MADE_BY_VERIFICATION:
            raise TypeError("a VerifiedX509SVID is made by verify_x509_svid only")

    @property
    def certificate(self) -> bytes:
        """The leaf, DER."""
        return self.path[0]


def verify_x509_svid(
    unverified: UnverifiedX509SVID,
    bundle: TrustBundle,
    *,
    now: int,
    purpose: CertificatePurpose | None = None,
    settings: X509Settings = _DEFAULTS,
) -> VerifiedX509SVID:
    """Verify a certificate by the anchors of its trust domain.

    Args:
        unverified: the certificate with its chain.
        bundle: the bundle of the certificate's trust domain.
        now: seconds since 1970.
        purpose: what it is shown for; None where it is no TLS.
        settings: limits.

    Raises:
        Refused: `trust_domain_unknown` for another domain's bundle; `certificate_usage` for a certificate that is
            not a leaf or not for this purpose; `certificate_expired`, `certificate_not_yet_valid`,
            `certificate_lifetime`; `certificate_untrusted` when there is no path to an anchor of the bundle;
            `certificate_malformed` for an extension that cannot be read.
    """
    if bundle.trust_domain != unverified.trust_domain:
        raise Refused(Reason.TRUST_DOMAIN_UNKNOWN, "the bundle is not the one of the certificate's trust domain")
    leaf, *intermediates = unverified.certificates
    with _reading():
        names = _extension(leaf, x509.SubjectAlternativeName)
        dns_names = tuple(names.value.get_values_for_type(x509.DNSName)) if names else ()
        _check_leaf(leaf, purpose, spiffe=unverified.trust_domain.scheme == "spiffe")
        not_before_at, expires_at = _check_times(leaf, now, settings)
    path = _path(leaf, intermediates, bundle, now, settings)
    return VerifiedX509SVID(
        identity=unverified.claimed_identity,
        not_before_at=not_before_at,
        expires_at=expires_at,
        dns_names=dns_names,
        path=tuple(each.public_bytes(Encoding.DER) for each in path),
        _made_by=_MADE_BY_VERIFICATION,
    )


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever a parser of certificates raises means that the certificate cannot be read."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # the library has errors of several families for this, and no list of them
        raise Refused(Reason.CERTIFICATE_MALFORMED, "a certificate of the peer cannot be read") from error


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> x509.Extension[_Extension] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _usage(detail: str) -> Refused:
    return Refused(Reason.CERTIFICATE_USAGE, detail)


def _check_leaf(leaf: x509.Certificate, purpose: CertificatePurpose | None, *, spiffe: bool) -> None:
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise _usage("the certificate is an authority's, which authenticates nobody")  # X509-SVID §3.2, §5.2
    key_usage = _extension(leaf, x509.KeyUsage)
    if key_usage is not None and (key_usage.value.key_cert_sign or key_usage.value.crl_sign):
        raise _usage("the certificate's key may sign certificates or revocation lists")  # X509-SVID §5.2
    if key_usage is not None and not key_usage.value.digital_signature:
        raise _usage("the certificate's key is not for digital signatures")  # X509-SVID §4.3; RFC 8446 §4.4.2.2
    if spiffe and (key_usage is None or not key_usage.critical):
        raise _usage("the certificate has no critical key usage")  # X509-SVID §4.3
    names = _extension(leaf, x509.SubjectAlternativeName)
    if names is not None and not names.critical and not list(leaf.subject):
        raise _usage("the certificate has no subject, and its SAN is not critical")  # X509-SVID §3.1
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    if extended is not None:  # a SHOULD in X509-SVID §4.4 and mutual-tls §3.2; applied where it is there
        needed = set(_USAGE_OF.values()) if spiffe else {_USAGE_OF[purpose]} if purpose else set()
        if not needed <= set(extended.value):
            raise _usage("the certificate's extended key usage does not have this purpose")


def _check_times(leaf: x509.Certificate, now: int, settings: X509Settings) -> tuple[int, int]:
    not_before_at = int(leaf.not_valid_before_utc.timestamp())
    expires_at = int(leaf.not_valid_after_utc.timestamp())
    if now < not_before_at:
        raise Refused(Reason.CERTIFICATE_NOT_YET_VALID, "the certificate is not valid yet")
    if now >= expires_at:  # RFC 5280 counts the last second in; here what ends at a time has ended at it, as everywhere
        raise Refused(Reason.CERTIFICATE_EXPIRED, "the certificate has expired")
    if expires_at - not_before_at > settings.max_lifetime.total_seconds():
        limit = settings.max_lifetime
        raise Refused(Reason.CERTIFICATE_LIFETIME, f"the certificate lives longer than {limit}")
    return not_before_at, expires_at


def _path(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    bundle: TrustBundle,
    now: int,
    settings: X509Settings,
) -> list[x509.Certificate]:
    """Find the path to an anchor (RFC 5280 §6; X509-SVID §5.1)."""
    if not bundle.x509_authorities:
        raise Refused(Reason.CERTIFICATE_UNTRUSTED, "the trust domain has no authority for certificates")
    try:
        verifier = (
            PolicyBuilder()
            .store(_store(bundle.x509_authorities))
            .time(datetime.fromtimestamp(now, UTC))
            .max_chain_depth(settings.max_intermediates)
            .extension_policies(ca_policy=_AUTHORITIES, ee_policy=_LEAVES)
            .build_client_verifier()
        )
        path = verifier.verify(leaf, intermediates).chain
    except (VerificationError, ValueError, OverflowError) as error:
        raise Refused(
            Reason.CERTIFICATE_UNTRUSTED, "there is no valid path from the certificate to an anchor of its trust domain"
        ) from error
    if len(path) < 2:  # an anchor is an authority, never the peer itself
        raise Refused(Reason.CERTIFICATE_UNTRUSTED, "the certificate is its own anchor")
    with _reading():
        _check_authorities(path[1:], bundle.trust_domain)
    return path


def _check_authorities(authorities: list[x509.Certificate], trust_domain: TrustDomain) -> None:
    # X509-SVID §3.2: the SPIFFE ID of a signing certificate has no path; its domain may be another one. A lone slash is
    # no path, and is there in the example of Trust Domain and Bundle, appendix A.
    if trust_domain.scheme != "spiffe":
        return
    for authority in authorities:
        names = _extension(authority, x509.SubjectAlternativeName)
        for uri in names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []:
            if uri.startswith("spiffe://") and "/" in uri.removeprefix("spiffe://").removesuffix("/"):
                raise Refused(Reason.CERTIFICATE_UNTRUSTED, "an authority on the path has the identifier of a workload")


@lru_cache(maxsize=64)
def _store(authorities: tuple[bytes, ...]) -> Store:
    return Store([x509.load_der_x509_certificate(der) for der in authorities])


def _authority_only(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("an issuer is no authority")


def _certifying_only(_: Policy, __: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:  # X509-SVID §4.3; RFC 5280 §6.1.4 (n)
        raise ValueError("an issuer may not certify")


_AUTHORITIES: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _authority_only)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _certifying_only)
)
# What a leaf must be is checked above, where each failure has its own reason.
_LEAVES: Final = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
