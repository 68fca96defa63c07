"""An authority for certificates in one process."""

from __future__ import annotations

from collections.abc import Sequence

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    X509Credential,
    X509Snapshot,
    issue_x509_authority,
    issue_x509_svid,
)
from wimse.keys import ES256, Algorithm, PrivateKey

__all__ = ["InMemoryX509Authority"]


class InMemoryX509Authority:
    """A trust domain that issues certificates; it is this object."""

    def __init__(self, uri: str = "spiffe://example.org", *, now: int, lifetime: int = 86_400) -> None:
        """Make an authority with a new key.

        Args:
            uri: such as ``spiffe://example.org`` or ``wimse://example.org``.
            now: seconds since 1970; the authority begins a minute before.
            lifetime: of the authority, in seconds.
        """
        self.trust_domain = TrustDomain.parse(uri)
        self.key = PrivateKey.generate()
        self.certificate = issue_x509_authority(
            self.trust_domain, self.key, not_before=now - 60, not_after=now + lifetime
        )

    @property
    def bundle(self) -> TrustBundle:
        """The anchor."""
        return TrustBundle(trust_domain=self.trust_domain, x509_authorities=(self.certificate,))

    @property
    def bundles(self) -> TrustBundles:
        """The bundle of this trust domain alone."""
        return TrustBundles(self.bundle)

    def credential(
        self,
        path: str,
        *,
        now: int,
        lifetime: int = 3600,
        dns_names: Sequence[str] = (),
        algorithm: Algorithm = ES256,
    ) -> X509Credential:
        """Issue a certificate.

        Args:
            path: of the workload, with its slash.
            now: seconds since 1970; the certificate begins half a minute before.
            lifetime: from `now` on, in seconds.
            dns_names: host names of the server.
            algorithm: of the workload's key.
        """
        key = PrivateKey.generate(algorithm)
        der = issue_x509_svid(
            subject=self.trust_domain.workload(path),
            workload_key=key.public_key,
            authority=self.certificate,
            authority_key=self.key,
            not_before=now - 30,
            not_after=now + lifetime,
            dns_names=dns_names,
        )
        return X509Credential.from_der([der], key)

    def source(self, path: str, *, now: int, dns_names: Sequence[str] = ()) -> X509Snapshot:
        """A source with one certificate and this domain's bundle; arguments as `credential`."""
        return X509Snapshot(self.credential(path, now=now, dns_names=dns_names), self.bundles)
