"""The authority of one trust domain: its signing keys, its bundle, and everything that they sign.

Rules:

1. One key for each kind of credential. Each key has its own `kid`, and the bundle says what each is for.
2. Nothing outlives the key that signed it (SPIFFE_Federation §4.1); a key that has expired signs no more.
3. Nothing is signed while the clock is behind what it was: such a token would be expired, or live too long.
4. Subjects are members of this trust domain, and no others.
5. A workload's key belongs to one identifier (workload-creds §9.4), and is no key of ours.

The keys are a value (`SigningKeys`) that is swapped whole: `install` puts the next state in its place, and every call
takes one state from its beginning to its end. Without a store the keys of `create` stay for the life of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from wimse.credentials import (
    TrustBundles,
    TrustDomain,
    WorkloadIdentifier,
    issue_jwt_svid,
    issue_wit,
    issue_x509_authority,
    issue_x509_svid,
)
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer.keyset import KeyUse
from wimse.issuer.rotation import check_clock
from wimse.issuer.settings import IssuerSettings
from wimse.issuer.signing import SigningKey, SigningKeys
from wimse.keys import ES256, PrivateKey, PublicKey

__all__ = ["Authority", "IssuedCertificate", "IssuedToken"]

MAX_BOUND_KEYS: Final = 32_768  # of workloads, remembered twice at most; about 10 MiB


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was just signed.

    Attributes:
        text: the token.
        issued_at: seconds since 1970.
        expires_at: seconds since 1970.
        kid: of the key that signed it.
    """

    text: str = field(repr=False)
    issued_at: int
    expires_at: int
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just signed.

    Attributes:
        der: the certificate, DER.
        issued_at: when it was signed, in seconds since 1970; it begins a little earlier.
        expires_at: seconds since 1970.
        intermediates: what stands between it and the bundle's roots; DER, the nearest first.
        kid: of the key that signed it.
    """

    der: bytes = field(repr=False)
    issued_at: int
    expires_at: int
    intermediates: tuple[bytes, ...] = field(default=(), repr=False)
    kid: str | None = None

    @property
    def chain_der(self) -> bytes:
        """The certificate and its intermediates, one after the other, as the Workload API hands them out (§5.2.1)."""
        return b"".join((self.der, *self.intermediates))


class Authority:
    """Signs for a trust domain; `create` makes new keys, which stay for the life of the process."""

    def __init__(
        self, wit_trust_domain: TrustDomain, keys: SigningKeys, *, settings: IssuerSettings | None = None
    ) -> None:
        """Sign with `keys`.

        Args:
            wit_trust_domain: whose WITs it signs: `spiffe` or `wimse`.
            keys: the first state; `install` brings the next ones.
            settings: lifetimes.
        """
        self.wit_trust_domain = wit_trust_domain
        self.settings = settings or IssuerSettings()
        self._keys = keys
        self._bundles = keys.bundles(wit_trust_domain.name, wit_trust_domain)
        self._own = _own_keys(keys)
        self._newest_issue = keys.newest_at
        self._bound: dict[tuple[bytes, ...], WorkloadIdentifier] = {}
        self._bound_before: dict[tuple[bytes, ...], WorkloadIdentifier] = {}

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
        made = {use: _new_key() for use in KeyUse}
        not_before = now - _seconds(settings.backdating)
        not_after = now + _seconds(settings.authority_lifetime)
        certificate = issue_x509_authority(
            TrustDomain("spiffe", name), made[KeyUse.X509_SVID], not_before=not_before, not_after=not_after
        )
        keys = SigningKeys(
            active={
                use: SigningKey(
                    key=key,
                    not_before=not_before,
                    not_after=not_after,
                    certificate=certificate if use is KeyUse.X509_SVID else b"",
                )
                for use, key in made.items()
            },
            wit_keys=(made[KeyUse.WIT].public_key,),
            jwt_keys=(made[KeyUse.JWT_SVID].public_key,),
            x509_authorities=(certificate,),
        )
        return cls(domain, keys, settings=settings)

    @property
    def keys(self) -> SigningKeys:
        """The state that signs now."""
        return self._keys

    def install(self, keys: SigningKeys) -> None:
        """Sign with another state from the next call on, and publish it.

        Raises:
            Unavailable: `issuer_unavailable` for a state with an earlier sequence, which another thread has overtaken.
        """
        if (keys.sequence or 0) < (self._keys.sequence or 0):
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the signing keys are older than those in use")
        # The bundle first: what signs is published already.
        self._bundles = keys.bundles(self.name, self.wit_trust_domain)
        self._own = _own_keys(keys)
        self._newest_issue = max(self._newest_issue, keys.newest_at)
        self._keys = keys

    def distrusts(self, kid: str | None) -> bool:
        """Whether what the key `kid` signed should be renewed at once: it is tainted or revoked."""
        return kid in self._keys.distrusted

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
        return self._bundles

    def issue_wit(
        self,
        subject: WorkloadIdentifier,
        workload_key: PublicKey,
        *,
        now: int,
        token_id: str,
        lifetime: timedelta | None = None,
    ) -> IssuedToken:
        """Sign a WIT.

        Args:
            subject: a member of `wit_trust_domain`.
            workload_key: the workload's public key; a new one for each WIT (workload-creds §9.4).
            now: seconds since 1970.
            token_id: `jti`, unique.
            lifetime: of the token; None, or longer than the settings', for that of the settings.

        Raises:
            Refused: `identity_not_allowed` for a subject of another trust domain; `key_mismatch` for a key that was
                bound to another identifier, or that is one of ours.
            Unavailable: `issuer_unavailable` when no key may sign now: none is active, it has expired, the state of
                the store was not seen for too long, or the clock has gone back.
        """
        self._check_subject(subject, self.wit_trust_domain)
        return self._sign_wit(subject, workload_key, now=now, token_id=token_id, lifetime=lifetime)

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
        lifetime: timedelta | None = None,
        other_claims: dict[str, object] | None = None,
    ) -> IssuedToken:
        signing, expires_at = self._signing(KeyUse.WIT, now, self.settings.wit_lifetime, lifetime)
        self._bind(subject, workload_key)
        token = issue_wit(
            subject=subject,
            workload_key=workload_key,
            signer=signing.key,
            issued_at=now,
            expires_at=expires_at,
            # WIT-SVID §3.7: nothing that OpenID Connect Discovery takes, so no https URL.
            issuer=str(subject.trust_domain),
            token_id=token_id,
            other_claims=other_claims,
        )
        return IssuedToken(token, now, expires_at, signing.key.kid)

    def issue_jwt_svid(
        self, subject: WorkloadIdentifier, audience: Sequence[str], *, now: int, lifetime: timedelta | None = None
    ) -> IssuedToken:
        """Sign a JWT-SVID.

        Args:
            subject: a member of the `spiffe` trust domain.
            audience: at least one recipient, none of them empty.
            now: seconds since 1970.
            lifetime: as `issue_wit`.

        Raises:
            Refused: `identity_not_allowed` for a subject of another trust domain; `audience_missing`.
            Unavailable: as `issue_wit`.
        """
        self._check_subject(subject, self.spiffe_trust_domain)
        if not audience or not all(audience):
            raise Refused(Reason.AUDIENCE_MISSING, "a JWT-SVID has an audience, and none of it is empty")
        signing, expires_at = self._signing(KeyUse.JWT_SVID, now, self.settings.jwt_svid_lifetime, lifetime)
        token = issue_jwt_svid(
            subject=subject, audience=audience, signer=signing.key, issued_at=now, expires_at=expires_at
        )
        return IssuedToken(token, now, expires_at, signing.key.kid)

    def issue_x509_svid(
        self,
        subject: WorkloadIdentifier,
        workload_key: PublicKey,
        *,
        now: int,
        lifetime: timedelta | None = None,
        dns_names: Sequence[str] = (),
    ) -> IssuedCertificate:
        """Sign an X.509-SVID.

        Args:
            subject: a member of the `spiffe` trust domain.
            workload_key: the workload's public key.
            now: seconds since 1970.
            lifetime: as `issue_wit`.
            dns_names: host names under which the workload is a server.

        Raises:
            Refused, Unavailable: as `issue_wit`.
            ConfigurationError: for a malformed DNS name.
        """
        self._check_subject(subject, self.spiffe_trust_domain)
        signing, expires_at = self._signing(KeyUse.X509_SVID, now, self.settings.x509_svid_lifetime, lifetime)
        self._bind(subject, workload_key)
        der = issue_x509_svid(
            subject=subject,
            workload_key=workload_key,
            authority=signing.certificate,
            authority_key=signing.key,
            not_before=max(now - _seconds(self.settings.backdating), signing.not_before),
            not_after=expires_at,
            dns_names=dns_names,
        )
        return IssuedCertificate(der, now, expires_at, signing.intermediates, signing.key.kid)

    def _check_subject(self, subject: WorkloadIdentifier, trust_domain: TrustDomain) -> None:
        if not subject.member_of(trust_domain):
            raise Refused(Reason.IDENTITY_NOT_ALLOWED, "the subject is not a member of this trust domain")

    def check(self, *, now: int) -> None:
        """Check that everything could be signed now, without signing anything: for a health check.

        Raises:
            Unavailable: `issuer_unavailable`, with why.
        """
        for use in KeyUse:
            if self._able(use, now).not_after <= now:
                raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the signing keys have expired")

    def _signing(self, use: KeyUse, now: int, most: timedelta, wanted: timedelta | None) -> tuple[SigningKey, int]:
        """The key that signs now, and when what it signs ends."""
        signing = self._able(use, now)
        lifetime = _seconds(most if wanted is None else min(most, wanted))
        if signing.max_token_seconds is not None:
            lifetime = min(lifetime, signing.max_token_seconds)
        expires_at = min(now + lifetime, signing.not_after)
        if expires_at <= now:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the signing keys have expired")
        self._newest_issue = max(self._newest_issue, now)
        return signing, expires_at

    def _able(self, use: KeyUse, now: int) -> SigningKey:
        """The key that signs now."""
        keys = self._keys
        signing = keys.active.get(use)
        if signing is None:
            raise Unavailable(
                Reason.ISSUER_UNAVAILABLE, f"no {use} key may sign yet: the next one is not published for long enough"
            )
        # A token of yesterday's time is expired when it arrives, and the key may not have begun.
        check_clock(self._newest_issue, now=now, clock_setback=_seconds(self.settings.clock_setback))
        check_clock(signing.not_before, now=now, clock_setback=0)
        if keys.fresh_until is not None and now >= keys.fresh_until:
            raise Unavailable(
                Reason.ISSUER_UNAVAILABLE, "the store was not reached for too long; a key may have been revoked since"
            )
        return signing

    def _bind(self, subject: WorkloadIdentifier, workload_key: PublicKey) -> None:
        """Refuse a key of ours, and one that another identifier was given lately (workload-creds §9.4)."""
        numbers = workload_key.numbers
        if numbers in self._own:
            raise Refused(Reason.KEY_MISMATCH, "the workload's key is a signing key of the issuer")
        owner = self._bound.get(numbers) or self._bound_before.get(numbers)
        if owner is not None and (owner.trust_domain.name, owner.path) != (subject.trust_domain.name, subject.path):
            raise Refused(Reason.KEY_MISMATCH, "the workload's key is bound to another identifier")
        if len(self._bound) >= MAX_BOUND_KEYS:
            self._bound, self._bound_before = {}, self._bound
        self._bound[numbers] = subject


def _own_keys(keys: SigningKeys) -> frozenset[tuple[bytes, ...]]:
    public = [*keys.wit_keys, *keys.jwt_keys, *(each.key.public_key for each in keys.active.values())]
    return frozenset(each.numbers for each in public)


def _new_key() -> PrivateKey:
    key = PrivateKey.generate(ES256)
    return key.with_kid(key.public_key.thumbprint())  # RFC 7638: as unique as the key


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
