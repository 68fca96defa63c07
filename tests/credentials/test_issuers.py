"""Who may issue for a trust domain, and what an issuer of ours writes."""

from __future__ import annotations

import pytest

from tests.credentials.tokens import ABSENT, ISSUER, NOW, SPIFFE, WIMSE, WORKLOAD, bundle, wit, workload
from tests.refusals import refused
from wimse.credentials import TokenSettings, TrustDomain, UnverifiedWIT, VerifiedWIT, issue_wit, verify_wit
from wimse.errors import ConfigurationError, Reason, ReasonClass

URL = "https://issuer.example"


def verify(text: str, domain: TrustDomain = SPIFFE, **issuers: object) -> VerifiedWIT:
    settings = TokenSettings(issuers={SPIFFE: (URL, "https://second.example")}, **issuers)  # type: ignore[arg-type]
    return verify_wit(UnverifiedWIT.parse(text), bundle(domain), now=NOW, settings=settings)


@pytest.mark.parametrize("iss", [URL, "https://second.example"])
def test_an_issuer_that_is_configured_may_issue(iss: str) -> None:
    """WC-01: trust domain, issuers and anchors are bound to each other."""
    assert verify(wit(iss=iss)).issuer == iss


@pytest.mark.parametrize(
    "iss",
    [
        *(ABSENT, "", "https://issuer.example/", "https://issuer.example.evil", "HTTPS://ISSUER.EXAMPLE"),
        *("https://evil.example", "https://issuer.exampl", "h"),
    ],
)
def test_another_issuer_is_refused_though_its_key_is_good(iss: object) -> None:
    """WT-20, WC-32: compared whole, and needed; whatever key the token has."""
    with refused(Reason.ISSUER_NOT_ALLOWED):
        verify(wit(iss=iss))
    assert Reason.ISSUER_NOT_ALLOWED.reason_class is ReasonClass.TRUST


@pytest.mark.parametrize("iss", [1, None, [URL], {"a": 1}])
def test_an_issuer_of_another_type_is_none(iss: object) -> None:
    with refused(Reason.ISSUER_NOT_ALLOWED):
        verify(wit(iss=iss))


def test_issuers_are_those_of_their_trust_domain() -> None:
    """WC-20: where none are configured, iss is optional and means nothing."""
    assert verify(wit(WIMSE, iss=ABSENT), WIMSE).issuer is None
    assert verify(wit(WIMSE, iss="https://evil.example"), WIMSE).issuer == "https://evil.example"


def test_no_issuer_at_all_is_nobody() -> None:
    nobody = TokenSettings(issuers={SPIFFE: ()})
    with refused(Reason.ISSUER_NOT_ALLOWED):
        verify_wit(UnverifiedWIT.parse(wit(iss=URL)), bundle(), now=NOW, settings=nobody)
    with pytest.raises(ConfigurationError):
        TokenSettings(issuers={SPIFFE: URL})


def test_what_we_issue_has_registered_claims_only() -> None:
    """WC-26, WC-27: names of RFC 7519 §4.1 and RFC 7800 §3.1, and none of our own."""
    text = issue_wit(
        subject=workload(),
        workload_key=WORKLOAD.public_key,
        signer=ISSUER,
        issued_at=NOW,
        expires_at=NOW + 60,
        issuer=URL,
        token_id="1",
    )
    assert set(verify(text).claims) == {"sub", "iss", "iat", "exp", "jti", "cnf"}
