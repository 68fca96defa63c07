"""Proofs in requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.profiles.proof_token.forge import (
    ACCESS_TOKEN,
    AUDIENCE,
    CALLER,
    DOMAIN,
    HEAD,
    NOW,
    OTHER,
    REVISIONS,
    SETTINGS,
    TOKEN_ID,
    TXN_TOKEN,
    WITH_USER,
    adding,
    carrying,
    decoded,
    forge_proof,
    judge_request,
    proof_claims,
    prove,
    replacing,
    verified_wit,
)
from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.httpsig import Request
from wimse.profiles.proof_token import (
    REVISION_01,
    REVISION_02,
    ProofRevision,
    VerifiedRequestProof,
    default_audience,
    has_proof,
    prove_request,
    token_hash,
)

EACH = pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.name)
BEARER = ("Authorization", f"Bearer {ACCESS_TOKEN}")
USER = ("X-User-Token", "u.s.er")


def proof_in(request: Request, revision: ProofRevision) -> str:
    (value,) = request.fields.values(revision.field)
    return value.split()[-1]


@EACH
def test_a_proof_is_made_and_verified(revision: ProofRevision) -> None:
    """WPTC-05, WPTC-08, WPTC-10, WPTC-24."""
    verified = judge_request(prove(revision=revision), revision)
    assert verified.proof.identity == CALLER.identity
    assert verified.proof.audience == AUDIENCE
    assert verified.covered == {"workload-identity-token": CALLER.wit, "txn-token": TXN_TOKEN}


def test_where_a_proof_stands() -> None:
    """WPTC-13, WPTC-35: in the one field of its revision, beside one WIT."""
    first = prove(revision=REVISION_01)
    assert len(first.fields.values("workload-proof-token")) == 1
    assert "authorization" not in first.fields
    second = prove(revision=REVISION_02)
    (value,) = second.fields.values("authorization")
    assert value.startswith("WPT ey")
    assert "workload-proof-token" not in second.fields
    for each in (first, second):
        assert each.fields.values("workload-identity-token") == [CALLER.wit]


@EACH
def test_the_audience_is_the_target_without_its_query(revision: ProofRevision) -> None:
    """WPTC-04."""
    assert default_audience(HEAD) == AUDIENCE
    sent = prove(revision=revision, audience=None)
    assert decoded(proof_in(sent, revision))[1]["aud"] == AUDIENCE


@EACH
def test_what_was_sent_before_is_replaced(revision: ProofRevision) -> None:
    """WPTC-35: a request that is sent again has one proof, and it is a new one."""
    again = prove_request(
        prove(revision=revision, credential=OTHER),
        CALLER,
        revision=revision,
        settings=SETTINGS,
        now=NOW + 1,
        token_id="j" * 22,
    )
    assert again.token_id == "j" * 22
    assert len(again.request.fields.values(revision.field)) == 1
    assert judge_request(again.request, revision).proof.token_id == "j" * 22


@pytest.mark.parametrize("value", ["Bearer x", "Basic eDp5", "WPTX a.b.c", "Bearer", ""])
def test_other_credentials_have_no_room_beside_a_proof_of_02(value: str) -> None:
    """WP-12, WPTC-35, WPTC-37: neither sent with it, nor dropped in silence."""
    with pytest.raises(ConfigurationError):
        prove(adding(HEAD, ("Authorization", value)))
    with pytest.raises(ConfigurationError):
        prove(adding(HEAD, ("Authorization", "WPT a.b.c"), ("Authorization", value)))


def test_an_expired_wit_is_not_proved() -> None:
    """WPTC-34."""
    with pytest.raises(Unavailable):
        prove(now=NOW + 300)


@EACH
def test_a_proof_is_needed(revision: ProofRevision) -> None:
    """WP-01, WPTC-14: zero."""
    request = replacing(prove(revision=revision), revision.field)
    assert not has_proof(request.fields, revision)
    with refused(Reason.PROOF_MISSING):
        judge_request(request, revision)


@EACH
def test_a_proof_of_the_other_revision_is_none(revision: ProofRevision) -> None:
    """WPTC-13, WPTC-35: revisions are not mixed."""
    other = REVISION_01 if revision is REVISION_02 else REVISION_02
    request = prove(revision=other)
    assert has_proof(request.fields, other)
    assert not has_proof(request.fields, revision)
    with refused(Reason.PROOF_MISSING):
        judge_request(request, revision)


@EACH
def test_two_proofs_are_refused(revision: ProofRevision) -> None:
    """WP-01, WPTC-14, WPTC-35: also when they are the same."""
    request = prove(revision=revision)
    (value,) = request.fields.values(revision.field)
    for second in (value, "x", ""):
        with refused(Reason.FIELD_DUPLICATED):
            judge_request(adding(request, (revision.field.upper(), second)), revision)
        with refused(Reason.FIELD_DUPLICATED):
            judge_request(replacing(request, revision.field, second, value), revision)


@pytest.mark.parametrize(
    "values",
    [
        ("Bearer x", "{}"),
        ("{}", "Bearer x"),
        ("{}", "Basic eDp5"),
    ],
    ids="WP-12 {}".format,
)
def test_a_bearer_token_beside_a_proof_of_02_is_refused(values: tuple[str, ...]) -> None:
    """WP-12, WPTC-37."""
    request = prove()
    (proof,) = request.fields.values("authorization")
    with refused(Reason.FIELD_DUPLICATED):
        judge_request(replacing(request, "authorization", *(each.format(proof) for each in values)))


@pytest.mark.parametrize("value", ["Bearer {}", "DPoP {}", "{}", "", "WPTX {}", "WPT\t{}", "WP {}"])
def test_another_scheme_is_no_proof(value: str) -> None:
    """WP-12, WPTC-36, WPTC-37: a bearer token, even one that is a good proof, says nothing of the workload."""
    with refused(Reason.PROOF_MISSING):
        judge_request(replacing(prove(), "authorization", value.format(forge_proof())))


@pytest.mark.parametrize("scheme", ["wpt", "WPT", "Wpt", "wPT  "])
def test_the_scheme_is_compared_without_case(scheme: str) -> None:
    """WP-14, WPTC-36."""
    request = replacing(carrying("", head=replacing(HEAD, "txn-token")), "authorization", f"{scheme} {forge_proof()}")
    assert has_proof(request.fields, REVISION_02)
    assert judge_request(request).proof.identity == CALLER.identity


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("WPT", Reason.TOKEN_MALFORMED),
        ("WPT {}, Bearer x", Reason.TOKEN_MALFORMED),
        ("WPT {} {}", Reason.TOKEN_MALFORMED),
        ("WPT token={}", Reason.TOKEN_MALFORMED),
        ('WPT "{}"', Reason.TOKEN_MALFORMED),
        ("WPT {}=", Reason.BASE64_MALFORMED),
        ("WPT {}==", Reason.BASE64_MALFORMED),
        ("WPT {}~", Reason.BASE64_MALFORMED),
        ("WPT {}+", Reason.BASE64_MALFORMED),
        ("WPT {}/", Reason.BASE64_MALFORMED),
        ("WPT ===", Reason.TOKEN_MALFORMED),
        ("WPT abc", Reason.TOKEN_MALFORMED),
    ],
    ids=lambda each: f"WP-14 {each}" if isinstance(each, str) else None,
)
def test_what_a_token68_may_have_and_a_jwt_may_not_is_refused(value: str, reason: Reason) -> None:
    """WPTC-36."""
    with refused(reason):
        judge_request(replacing(prove(), "authorization", value.replace("{}", forge_proof())))


@pytest.mark.parametrize("value", ["{}=", " {} x", "WPT {}", "{}, {}", ""])
def test_the_field_of_01_is_the_token_alone(value: str) -> None:
    """WP-01, WPTC-15."""
    with pytest.raises(Exception, match=r"token_malformed|base64_malformed"):
        judge_request(
            replacing(prove(revision=REVISION_01), "workload-proof-token", value.replace("{}", forge_proof())),
            REVISION_01,
        )


@EACH
def test_a_transaction_token_is_bound(revision: ProofRevision) -> None:
    """WP-08, WPTC-10, WPTC-24."""
    request = prove(revision=revision)
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(replacing(request, "txn-token", "eyJ.eyJ.evil"), revision)
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(replacing(request, "txn-token"), revision)
    with refused(Reason.TOKEN_HASH_MISSING):
        judge_request(adding(prove(replacing(HEAD, "txn-token"), revision), ("Txn-Token", TXN_TOKEN)), revision)
    with refused(Reason.FIELD_DUPLICATED):
        judge_request(adding(request, ("TXN-TOKEN", TXN_TOKEN)), revision)
    with refused(Reason.FIELD_MALFORMED):
        judge_request(replacing(request, "txn-token", "é"), revision)
    for values in ((TXN_TOKEN, TXN_TOKEN), ("é",)):
        with pytest.raises(Exception, match="field_"):
            prove(replacing(HEAD, "txn-token", *values), revision)


def test_an_access_token_is_bound_by_01() -> None:
    """WP-09, WPTC-09, WPTC-23: the coexistence of both, and who may not be trusted alone."""
    request = prove(adding(HEAD, BEARER), REVISION_01)
    assert decoded(proof_in(request, REVISION_01))[1]["ath"] == token_hash(ACCESS_TOKEN)
    assert judge_request(request, REVISION_01).covered["authorization"] == ACCESS_TOKEN
    with refused(Reason.TOKEN_HASH_MISSING):
        judge_request(adding(prove(revision=REVISION_01), BEARER), REVISION_01)
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(replacing(request, "authorization", "Bearer another"), REVISION_01)
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(replacing(request, "authorization"), REVISION_01)
    with refused(Reason.FIELD_DUPLICATED):
        judge_request(adding(request, BEARER), REVISION_01)


@pytest.mark.parametrize("value", ["Bearer x", "bearer x", "DPoP x", "BEARER  x"])
def test_an_access_token_in_any_spelling_needs_an_ath(value: str) -> None:
    """WP-09, WPTC-23."""
    with refused(Reason.TOKEN_HASH_MISSING):
        judge_request(adding(prove(revision=REVISION_01), ("Authorization", value)), REVISION_01)


@pytest.mark.parametrize("value", ["Bearer", "Bearer\tx", "Bearer a b", "Bearer a, Bearer b", 'Bearer "a"', "DPoP é"])
def test_an_access_token_that_is_none_is_refused(value: str) -> None:
    """WP-09: a laxer reader than this one would find a token there."""
    with refused(Reason.FIELD_MALFORMED):
        judge_request(adding(prove(revision=REVISION_01), ("Authorization", value)), REVISION_01)


@pytest.mark.parametrize("value", ["Basic eDp5", "Token x", ""])
def test_other_credentials_beside_01_are_not_covered(value: str) -> None:
    """WP-11, WPTC-26: they are not among what the proof binds, and so nowhere in the result."""
    verified = judge_request(adding(prove(revision=REVISION_01), ("Authorization", value)), REVISION_01)
    assert set(verified.covered) == {"workload-identity-token", "txn-token"}


@EACH
def test_further_tokens_are_bound_where_they_are_known(revision: ProofRevision) -> None:
    """WPTC-11, WPTC-12, WPTC-25."""
    request = prove(adding(HEAD, USER), revision, settings=WITH_USER)
    assert decoded(proof_in(request, revision))[1]["oth"] == {"x-user-token": token_hash("u.s.er")}
    assert judge_request(request, revision, settings=WITH_USER).covered["x-user-token"] == "u.s.er"
    padded = replacing(request, "x-user-token", "  u.s.er ")  # spaces around it are not part of the value
    assert judge_request(padded, revision, settings=WITH_USER).covered["x-user-token"] == "u.s.er"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda it: adding(it, USER), Reason.FIELD_DUPLICATED, id="WP-10 repeated"),
        pytest.param(
            lambda it: replacing(it, "x-user-token", "evil"), Reason.TOKEN_HASH_MISMATCH, id="WPTC-25 another"
        ),
        pytest.param(lambda it: replacing(it, "x-user-token"), Reason.TOKEN_HASH_UNKNOWN, id="WPTC-25 taken away"),
    ],
)
@EACH
def test_a_further_token_is_the_one_that_was_bound(
    revision: ProofRevision, spoil: Callable[[Request], Request], reason: Reason
) -> None:
    request = prove(adding(HEAD, USER), revision, settings=WITH_USER)
    with refused(reason):
        judge_request(spoil(request), revision, settings=WITH_USER)


@EACH
def test_a_further_token_that_is_not_bound_is_refused_where_it_is_known(revision: ProofRevision) -> None:
    """WP-11, WPTC-11."""
    with refused(Reason.TOKEN_HASH_MISSING):
        judge_request(adding(prove(revision=revision), USER), revision, settings=WITH_USER)


@EACH
def test_an_entry_for_a_field_that_is_not_known_is_refused(revision: ProofRevision) -> None:
    """WP-10, WPTC-25: even though the field is there and the hash is right."""
    request = prove(adding(HEAD, USER), revision, settings=WITH_USER)
    with refused(Reason.TOKEN_HASH_UNKNOWN):
        judge_request(request, revision)


@EACH
def test_a_field_that_nobody_bound_is_not_covered(revision: ProofRevision) -> None:
    """WP-11, WPTC-26: what anybody may add says nothing."""
    request = adding(prove(revision=revision), USER, ("Cookie", "session=1"), ("X-Access-Token", "x"))
    assert set(judge_request(request, revision).covered) == {"workload-identity-token", "txn-token"}


@EACH
def test_the_rest_of_the_request_is_not_covered(revision: ProofRevision) -> None:
    """WPTC-26: whoever is on the way may change it, and the result does not pretend otherwise."""
    request = dataclasses.replace(prove(revision=revision), method="DELETE", target="/admin?all=1")
    covered = judge_request(replacing(request, "content-type", "text/evil"), revision).covered
    assert set(covered) == {"workload-identity-token", "txn-token"}


@EACH
def test_the_wit_is_the_one_of_the_request(revision: ProofRevision) -> None:
    """WP-02, WPTC-21."""
    request = prove(revision=revision)
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(request, revision, wit=verified_wit(OTHER))
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(adding(request, ("Workload-Identity-Token", OTHER.wit)), revision)
    swapped = replacing(request, "workload-identity-token", OTHER.wit)
    with refused(Reason.SIGNATURE_INVALID):
        judge_request(swapped, revision, wit=verified_wit(OTHER))
    again = DOMAIN.credential("/caller", now=NOW, key=CALLER.key)  # type: ignore[arg-type]
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge_request(replacing(request, "workload-identity-token", again.wit), revision, wit=verified_wit(again))


def test_proof_and_wit_are_in_no_repr() -> None:
    """WP-13, WPTC-39."""
    sent = prove_request(HEAD, CALLER, revision=REVISION_02, settings=SETTINGS, now=NOW, token_id=TOKEN_ID)
    proof = proof_in(sent.request, REVISION_02)
    for shown in (repr(sent), repr(judge_request(sent.request))):
        assert not any(part in shown for part in (*proof.split("."), *CALLER.wit.split("."), TXN_TOKEN))


def test_nobody_else_makes_a_verified_request_proof() -> None:
    verified = judge_request(prove())
    with pytest.raises(TypeError, match="is made by"):
        VerifiedRequestProof(verified.proof, {})
    with pytest.raises(TypeError, match="is made by"):
        dataclasses.replace(verified, covered={})
    with pytest.raises(TypeError):
        verified.covered["@path"] = "/admin"  # type: ignore[index]


@EACH
def test_claims_that_nobody_knows_are_ignored(revision: ProofRevision) -> None:
    """WPTC-40."""
    request = carrying(forge_proof(proof_claims(tth=token_hash(TXN_TOKEN), htm="POST", x=1)), revision)
    assert judge_request(request, revision).proof.claims["htm"] == "POST"
