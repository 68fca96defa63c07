"""The authority of one trust domain: its signing keys, its bundle, and everything that they sign.

Rules:

1. One key for each kind of credential. Each key has its own `kid`, and the bundle says what each is for.
2. Nothing outlives the keys that signed it (SPIFFE_Federation §4.1); once they have expired they sign no more.
3. Nothing is signed while the clock is behind what it was: such a token would be expired, or live too long.
4. Subjects are members of this trust domain, and no others.

Keys are not replaced here while the process runs: what is published in the bundle is what signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadIdentifier,
    issue_jwt_svid,
    issue_wit,
    issue_x509_authority,
    issue_x509_svid,
)
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer.settings import IssuerSettings
from wimse.keys import ES256, PrivateKey, PublicKey

__all__ = ["Authority", "IssuedCertificate", "IssuedToken"]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was just signed.

    Attributes:
        text: the token.
        issued_at: seconds since 1970.
        expires_at: seconds since 1970.
    """

    text: str = field(repr=False)
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just signed.

    Attributes:
        der: the certificate, DER.
        issued_at: when it was signed, in seconds since 1970; it begins a little earlier.
        expires_at: seconds since 1970.
    """

    der: bytes = field(repr=False)
    issued_at: int
    expires_at: int


@dataclass(slots=True, kw_only=True, eq=False)
class Authority:
    """The signing keys of a trust domain; `create` makes new ones.

    Attributes:
        wit_trust_domain: whose WITs it signs: `spiffe` or `wimse`.
        wit_key: signs WITs; ES256 (WIT-SVID §2.3), with a kid.
        jwt_key: signs JWT-SVIDs; ES256 (JWT-SVID §2.1), with a kid.
        x509_key: signs X.509-SVIDs.
        x509_authority: the CA's certificate, DER.
        not_before: when the keys begin, in seconds since 1970.
        not_after: when the keys end, in seconds since 1970.
        settings: lifetimes.

    Raises on construction:
        ConfigurationError: for a token key that is not ES256 or has no kid, or a kid that both have.
    """

    wit_trust_domain: TrustDomain
    wit_key: PrivateKey = field(repr=False)
    jwt_key: PrivateKey = field(repr=False)
    x509_key: PrivateKey = field(repr=False)
    x509_authority: bytes = field(repr=False)
    not_before: int
    not_after: int
    settings: IssuerSettings = field(default_factory=IssuerSettings)
    _newest_issue: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, key in (("WITs", self.wit_key), ("JWT-SVIDs", self.jwt_key)):
            if key.algorithm is not ES256 or not key.kid:
                raise ConfigurationError(f"the key that signs {name} is an ES256 key with a kid")
        if self.wit_key.kid == self.jwt_key.kid:  # WIT-SVID §6.1
            raise ConfigurationError("the keys for WITs and for JWT-SVIDs have one kid")

    @classmethod
    def create(
        cls, name: str, *, now: int, scheme: str = "spiffe", settings: IssuerSettings | None = None
    ) -> Authority:
        """Make an authority with new keys.

        Args:
            name: of the trust domain, such as ``example.com``.
            now: seconds since 1970.
            scheme: of the WITs' subjects, `spiffe` or `wimse`. X.509-SVIDs and JWT-SVIDs are `spiffe` always.
            settings: lifetimes.

        Raises:
            ConfigurationError: when name or scheme are not those of a trust domain.
        """
        settings = settings or IssuerSettings()
        try:
            domain = TrustDomain(scheme, name)
        except Refused as refused:
            raise ConfigurationError(refused.detail) from None
        wit_key, jwt_key, x509_key = (_new_key() for _ in range(3))
        not_before = now - _seconds(settings.backdating)
        not_after = now + _seconds(settings.authority_lifetime)
        certificate = issue_x509_authority(
            TrustDomain("spiffe", name), x509_key, not_before=not_before, not_after=not_after
        )
        return cls(
            wit_trust_domain=domain,
            wit_key=wit_key,
            jwt_key=jwt_key,
            x509_key=x509_key,
            x509_authority=certificate,
            not_before=not_before,
            not_after=not_after,
            settings=settings,
        )

    @property
    def name(self) -> str:
        """The name of the trust domain, without a scheme."""
        return self.wit_trust_domain.name

    @property
    def spiffe_trust_domain(self) -> TrustDomain:
        """The trust domain of X.509-SVIDs and JWT-SVIDs."""
        return TrustDomain("spiffe", self.name)

    def bundles(self) -> TrustBundles:
        """The public halves: one bundle for `spiffe`, and beside it one for `wimse` when WITs are of that scheme."""
        spiffe = TrustBundle(
            trust_domain=self.spiffe_trust_domain,
            jwt_keys=(self.jwt_key.public_key,),
            x509_authorities=(self.x509_authority,),
        )
        wit_keys = (self.wit_key.public_key,)
        if self.wit_trust_domain == self.spiffe_trust_domain:
            return TrustBundles(replace(spiffe, wit_keys=wit_keys))
        return TrustBundles(spiffe, TrustBundle(trust_domain=self.wit_trust_domain, wit_keys=wit_keys))

    def issue_wit(
        self, subject: WorkloadIdentifier, workload_key: PublicKey, *, now: int, token_id: str
    ) -> IssuedToken:
        """Sign a WIT.

        Args:
            subject: a member of `wit_trust_domain`.
            workload_key: the workload's public key; a new one for each WIT (workload-creds §9.4).
            now: seconds since 1970.
            token_id: `jti`, unique.

        Raises:
            Refused: `identity_not_allowed` for a subject of another trust domain.
            Unavailable: `issuer_unavailable` when the keys have expired or the clock has gone back.
        """
        self._check_subject(subject, self.wit_trust_domain)
        return self._sign_wit(subject, workload_key, now=now, token_id=token_id)

    def issue_minispire_wit(self, path: str, workload_key: PublicKey, *, now: int, token_id: str) -> IssuedToken:
        """Sign a WIT as minispire does: `sub` and `iss` of the scheme `wimse`, an empty `aud`, `use` in the key.

        Args:
            path: of the workload within the trust domain.
            workload_key: the workload's public key.
            now: seconds since 1970.
            token_id: `jti`, unique.

        Raises:
            Unavailable: as `issue_wit`.
        """
        subject = TrustDomain("wimse", self.name).workload(path)
        key = replace(workload_key, use="sig")
        return self._sign_wit(subject, key, now=now, token_id=token_id, other_claims={"aud": ""})

    def _sign_wit(
        self,
        subject: WorkloadIdentifier,
        workload_key: PublicKey,
        *,
        now: int,
        token_id: str,
        other_claims: dict[str, object] | None = None,
    ) -> IssuedToken:
        expires_at = self._expiry(now, self.settings.wit_lifetime)
        token = issue_wit(
            subject=subject,
            workload_key=workload_key,
            signer=self.wit_key,
            issued_at=now,
            expires_at=expires_at,
            # WIT-SVID §3.7: nothing that OpenID Connect Discovery takes, so no https URL.
            issuer=str(subject.trust_domain),
            token_id=token_id,
            other_claims=other_claims,
        )
        return IssuedToken(token, now, expires_at)

    def issue_jwt_svid(self, subject: WorkloadIdentifier, audience: Sequence[str], *, now: int) -> IssuedToken:
        """Sign a JWT-SVID.

        Args:
            subject: a member of the `spiffe` trust domain.
            audience: at least one recipient, none of them empty.
            now: seconds since 1970.

        Raises:
            Refused: `identity_not_allowed` for a subject of another trust domain; `audience_missing`.
            Unavailable: as `issue_wit`.
        """
        self._check_subject(subject, self.spiffe_trust_domain)
        if not audience or not all(audience):
            raise Refused(Reason.AUDIENCE_MISSING, "a JWT-SVID has an audience, and none of it is empty")
        expires_at = self._expiry(now, self.settings.jwt_svid_lifetime)
        token = issue_jwt_svid(
            subject=subject, audience=audience, signer=self.jwt_key, issued_at=now, expires_at=expires_at
        )
        return IssuedToken(token, now, expires_at)

    def issue_x509_svid(self, subject: WorkloadIdentifier, workload_key: PublicKey, *, now: int) -> IssuedCertificate:
        """Sign an X.509-SVID.

        Args:
            subject: a member of the `spiffe` trust domain.
            workload_key: the workload's public key.
            now: seconds since 1970.

        Raises:
            Refused: `identity_not_allowed` for a subject of another trust domain.
            Unavailable: as `issue_wit`.
        """
        self._check_subject(subject, self.spiffe_trust_domain)
        expires_at = self._expiry(now, self.settings.x509_svid_lifetime)
        der = issue_x509_svid(
            subject=subject,
            workload_key=workload_key,
            authority=self.x509_authority,
            authority_key=self.x509_key,
            not_before=max(now - _seconds(self.settings.backdating), self.not_before),
            not_after=expires_at,
        )
        return IssuedCertificate(der, now, expires_at)

    def _check_subject(self, subject: WorkloadIdentifier, trust_domain: TrustDomain) -> None:
        if not subject.member_of(trust_domain):
            raise Refused(Reason.IDENTITY_NOT_ALLOWED, "the subject is not a member of this trust domain")

    def _expiry(self, now: int, lifetime: timedelta) -> int:
        setback = _seconds(self.settings.clock_setback)
        if now < max(self._newest_issue - setback, self.not_before):
            # A token of yesterday's time is expired when it arrives, and the keys may not have begun.
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the clock has gone back; nothing is signed until it is right")
        expires_at = min(now + _seconds(lifetime), self.not_after)
        if expires_at <= now:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the signing keys have expired")
        self._newest_issue = max(self._newest_issue, now)
        return expires_at


def _new_key() -> PrivateKey:
    key = PrivateKey.generate(ES256)
    return key.with_kid(key.public_key.thumbprint())  # RFC 7638: as unique as the key


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
