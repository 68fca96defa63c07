"""New signing keys as records, and CA certificates: self-signed, or under an authority that is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from wimse.credentials import TrustDomain, issue_x509_authority
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer.keyset import KeyRecord, KeyState, KeyUse
from wimse.issuer.rotation import RotationSettings, key_life
from wimse.issuer.sealing import KeySealer
from wimse.issuer.settings import IssuerSettings
from wimse.keys import ES256, RS256, PrivateKey

__all__ = ["UpstreamAuthority", "check_certificate", "mint"]


@dataclass(frozen=True, slots=True)
class UpstreamAuthority:
    """A CA that certifies ours; make it with `parse`.

    Attributes:
        chain: its certificate, then those above it up to the root, without the root when there are others; DER.
        roots: what the bundle publishes; DER.
        key: its private key.
        not_before: when the last of these certificates begins, in seconds since 1970.
        not_after: when the first of these certificates ends, in seconds since 1970.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    roots: tuple[bytes, ...] = field(repr=False)
    key: PrivateKey = field(repr=False)
    not_before: int
    not_after: int

    @classmethod
    def parse(cls, *, chain: bytes, key: bytes, roots: bytes) -> UpstreamAuthority:
        """Read the three PEM files of an upstream CA.

        Args:
            chain: the CA's certificate, then each one's issuer, up to a root or to what a root issued.
            key: the CA's private key, unencrypted; EC, Ed25519 or RSA.
            roots: self-signed certificates.

        Raises:
            ConfigurationError: when a file cannot be read, the certificate may not certify another CA, the key is
                not its key, or the chain does not lead to a root.
        """
        certificates, anchors = _certificates(chain, "chain"), _certificates(roots, "roots")
        signer = _private_key(key)
        if certificates[0].public_key() != signer.native.public_key():
            raise ConfigurationError("the upstream authority's key is not that of its first certificate")
        _check_authority(certificates)
        for each in anchors:
            _check_issued(each, each, "a root of the upstream authority is not self-signed")
        above = [each for each in certificates if each not in anchors]
        for certificate, issuer in pairwise(above):
            _check_issued(certificate, issuer, "the upstream authority's chain is not in order")
        if above and not any(_issued(above[-1], anchor) for anchor in anchors):
            raise ConfigurationError("the upstream authority's chain does not lead to one of its roots")
        begins = [int(each.not_valid_before_utc.timestamp()) for each in (*certificates, *anchors)]
        ends = [int(each.not_valid_after_utc.timestamp()) for each in (*certificates, *anchors)]
        return cls(
            chain=tuple(_der(each) for each in above) or (_der(certificates[0]),),
            roots=tuple(_der(each) for each in anchors),
            key=signer,
            not_before=max(begins),
            not_after=min(ends),
        )


def mint(
    use: KeyUse,
    trust_domain: str,
    *,
    now: int,
    issuer: IssuerSettings,
    rotation: RotationSettings,
    sealer: KeySealer,
    nonce: bytes,
    upstream: UpstreamAuthority | None = None,
) -> KeyRecord:
    """Make a signing key, prepared and sealed.

    Args:
        use: what it is to sign.
        trust_domain: name of the trust domain.
        now: seconds since 1970.
        issuer: lifetimes of what it signs.
        rotation: lifetimes of keys.
        sealer: encrypts it.
        nonce: 12 random bytes, never used before.
        upstream: certifies the CA's key; None for a self-signed certificate.

    Raises:
        ConfigurationError: when the upstream authority has not begun, or ends too early to be of use.
    """
    key = PrivateKey.generate(ES256)
    key = key.with_kid(key.public_key.thumbprint())  # RFC 7638: as unique as the key
    life, max_token = key_life(use, issuer, rotation)
    not_before, not_after = now - int(issuer.backdating.total_seconds()), now + life
    chain: tuple[bytes, ...] = ()
    anchors: tuple[bytes, ...] = ()
    if use is KeyUse.X509_SVID:
        domain = TrustDomain("spiffe", trust_domain)
        if upstream is None:
            chain = (issue_x509_authority(domain, key, not_before=not_before, not_after=not_after),)
            anchors = chain
        else:
            if now < upstream.not_before:
                raise ConfigurationError("the upstream authority is not valid yet")
            not_after = min(not_after, upstream.not_after)
            if not_after <= now + max_token:
                raise ConfigurationError("the upstream authority ends before a certificate under it would; renew it")
            certificate = issue_x509_authority(
                domain,
                key,
                not_before=not_before,
                not_after=not_after,
                under=upstream.chain[0],
                under_key=upstream.key,
            )
            above = tuple(each for each in upstream.chain if each not in upstream.roots)
            chain, anchors = (certificate, *above), upstream.roots
    return KeyRecord(
        kid=key.kid or "",
        use=use,
        state=KeyState.PREPARED,
        public_key=key.public_key,
        sealed=sealer.seal(key, use, nonce=nonce),
        chain=chain,
        anchors=anchors,
        not_before=not_before,
        not_after=not_after,
        max_token_seconds=max_token,
        prepared_at=now,
    )


def check_certificate(record: KeyRecord) -> None:
    """Check that the CA certificate of an X.509 key certifies that key.

    Raises:
        ConfigurationError: when it does not.
    """
    if record.use is not KeyUse.X509_SVID:
        return
    try:
        certified = x509.load_der_x509_certificate(record.chain[0]).public_key()
    except (ValueError, IndexError):
        raise ConfigurationError("a stored X.509 signing key has no certificate") from None
    if certified != record.public_key.native:
        raise ConfigurationError("a stored X.509 signing key is not that of its certificate")


def _private_key(pem: bytes) -> PrivateKey:
    try:
        try:
            return PrivateKey.from_pem(pem)
        except Refused as refused:
            if refused.reason is not Reason.ALGORITHM_MISSING:
                raise
            return PrivateKey.from_pem(pem, algorithm=RS256)  # an RSA key does not say; certificates are PKCS#1
    except Refused as refused:
        raise ConfigurationError(f"the upstream authority's key: {refused.detail}") from None


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion):
        raise ConfigurationError(f"the upstream authority's {name} is no PEM file of certificates") from None


def _check_authority(certificates: list[x509.Certificate]) -> None:
    for depth, certificate in enumerate(certificates):
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
            usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        except (x509.ExtensionNotFound, ValueError):
            raise ConfigurationError("a certificate of the upstream authority is not that of a CA") from None
        # RFC 5280 §4.2.1.9: below the first one stand ours, and the workload's, which does not count.
        enough = constraints.path_length is None or constraints.path_length > depth
        if not (constraints.ca and usage.key_cert_sign and enough):
            raise ConfigurationError("a certificate of the upstream authority may not certify another CA")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, detail: str) -> None:
    if not _issued(certificate, issuer):
        raise ConfigurationError(detail)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
