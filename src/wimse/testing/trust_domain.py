"""An issuer and its workloads in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
    issue_wit,
)
from wimse.keys import ES256, Algorithm, PrivateKey

__all__ = ["FixedSource", "InMemoryTrustDomain"]


@dataclass(frozen=True, slots=True)
class FixedSource:
    """A source that always gives the same snapshot; it satisfies `WorkloadSource`."""

    fixed: WorkloadSnapshot

    def snapshot(self) -> WorkloadSnapshot:
        """The snapshot."""
        return self.fixed


class InMemoryTrustDomain:
    """A trust domain whose issuer is this object."""

    def __init__(self, uri: str = "spiffe://example.org", *, algorithm: Algorithm = ES256) -> None:
        """Make a trust domain with a new signing key.

        Args:
            uri: such as ``spiffe://example.org`` or ``wimse://example.org``.
            algorithm: of the issuing key; `spiffe` does not permit EdDSA.
        """
        self.trust_domain = TrustDomain.parse(uri)
        self.key = PrivateKey.generate(algorithm, kid="issuer")
        self.bundle = TrustBundle(trust_domain=self.trust_domain, wit_keys=(self.key.public_key,))
        self._issued = 0

    @property
    def bundles(self) -> TrustBundles:
        """The bundle of this trust domain alone."""
        return TrustBundles(self.bundle)

    def identity(self, path: str) -> WorkloadIdentifier:
        """The identifier of the workload with this path."""
        return self.trust_domain.workload(path)

    def credential(
        self,
        path: str,
        *,
        now: int,
        lifetime: int = 300,
        key: PrivateKey | None = None,
        other_claims: Mapping[str, object] | None = None,
    ) -> WorkloadCredential:
        """Issue a WIT.

        Args:
            path: of the workload, with its slash.
            now: when it is issued, in seconds since 1970.
            lifetime: in seconds.
            key: of the workload; None makes a new one.
            other_claims: further claims.
        """
        self._issued += 1
        workload_key = key or PrivateKey.generate()
        wit = issue_wit(
            subject=self.identity(path),
            workload_key=workload_key.public_key,
            signer=self.key,
            issued_at=now,
            expires_at=now + lifetime,
            issuer=str(self.trust_domain),
            token_id=f"{self._issued}",
            other_claims=other_claims,
        )
        return WorkloadCredential.from_wit(wit, workload_key)

    def source(self, path: str, *, now: int, lifetime: int = 300) -> FixedSource:
        """A source with one credential and this domain's bundle; arguments as `credential`."""
        return FixedSource(WorkloadSnapshot(self.credential(path, now=now, lifetime=lifetime), self.bundles))
