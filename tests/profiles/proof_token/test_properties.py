"""For any tokens: what is proved is verified, and what is changed is refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.profiles.proof_token.forge import (
    CALLER,
    HEAD,
    NOW,
    REVISIONS,
    adding,
    forge_proof,
    judge,
    judge_request,
    proof_claims,
    prove,
    replacing,
)
from wimse.errors import Refused
from wimse.httpsig import Fields, Request
from wimse.profiles.proof_token import ProofRevision, ProofTokenSettings, prove_request

SETTINGS = ProofTokenSettings(context_fields=("x-user-token", "x-tenant"))
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
TOKEN68 = string.ascii_letters + string.digits + "-._~+/"

tokens68 = st.text(TOKEN68, min_size=1, max_size=40)
values = st.text(VISIBLE + " ", max_size=40)
audiences = st.text(VISIBLE, min_size=1, max_size=40).filter(lambda text: not {"?", "#"} & set(text))
token_ids = st.text(st.characters(codec="utf-8"), min_size=22, max_size=100)
revisions = st.sampled_from(REVISIONS)


@st.composite
def requests(draw: st.DrawFn) -> tuple[ProofRevision, Request]:
    revision = draw(revisions)
    names = [name for name in ("Txn-Token", "X-User-Token", "X-Tenant") if draw(st.booleans())]
    lines = [(name, draw(values)) for name in names]
    if revision.binds_access_token and draw(st.booleans()):
        lines.append(("Authorization", f"{draw(st.sampled_from(['Bearer', 'dpop']))} {draw(tokens68)}"))
    return revision, Request(
        method="GET", target="/a?b", authority="a.example", fields=Fields(draw(st.permutations(lines)))
    )


@given(made=requests(), audience=audiences, token_id=token_ids)
@settings(max_examples=150, deadline=None)
def test_what_is_proved_is_verified_with_what_it_binds(
    made: tuple[ProofRevision, Request], audience: str, token_id: str
) -> None:
    """WPTC-09, WPTC-10, WPTC-11, WPTC-12."""
    revision, head = made
    sent = prove_request(
        head, CALLER, revision=revision, settings=SETTINGS, now=NOW, token_id=token_id, audience=audience
    ).request
    verified = judge_request(sent, revision, settings=SETTINGS)
    assert verified.proof.audience == audience
    assert verified.proof.token_id == token_id
    expected = {name.lower(): value.strip(" ") for name, value in head.fields}
    if "authorization" in expected:
        expected["authorization"] = expected["authorization"].split()[1]
    assert verified.covered == {"workload-identity-token": CALLER.wit, **expected}


@given(made=requests(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_token_that_is_changed_added_or_taken_away_is_noticed(
    made: tuple[ProofRevision, Request], data: st.DataObject
) -> None:
    """WP-02, WP-08, WP-09, WP-10."""
    revision, head = made
    sent = prove(head, revision, settings=SETTINGS)
    name = data.draw(st.sampled_from(["txn-token", "x-user-token", "x-tenant", "workload-identity-token"]))
    before = sent.fields.values(name)
    after = data.draw(st.lists(values.map(lambda value: value.strip(" ")), max_size=2))
    assume(before != after)
    with pytest.raises(Refused):
        judge_request(replacing(sent, name, *after), revision, settings=SETTINGS)


@given(position=st.integers(0), other=st.characters(codec="latin-1"))
@example(position=2**31, other="A")
@settings(max_examples=300, deadline=None)
def test_any_changed_character_of_a_proof_is_refused(position: int, other: str) -> None:
    """WPTC-15, WPTC-17."""
    token = TOKEN
    place = position % len(token)
    assume(token[place] != other)
    with pytest.raises(Refused):
        judge(token[:place] + other + token[place + 1 :])


TOKEN = forge_proof()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(["aud", "exp", "jti", "wth", "ath", "tth", "oth", "nbf"]), value=JSON, revision=revisions)
@settings(max_examples=300, deadline=None)
def test_any_value_of_a_claim_is_judged_or_refused(name: str, value: object, revision: ProofRevision) -> None:
    """WP-02, WP-06, WP-07: nothing but `Refused` comes out."""
    try:
        judge(forge_proof({**proof_claims(), name: value}), revision=revision)
    except Refused:
        return
    harmless = {"aud", "jti", "nbf"} | ({"ath"} if not revision.binds_access_token else set())
    assert name in harmless or value is None or value == {} or name == "exp"
    if name == "exp":
        assert type(value) is int
        assert NOW - 30 < value <= NOW + 330


@given(name=st.sampled_from(["Authorization", "Workload-Proof-Token", "Txn-Token"]), value=values, revision=revisions)
@settings(max_examples=200, deadline=None)
def test_any_value_of_a_field_is_judged_or_refused(name: str, value: str, revision: ProofRevision) -> None:
    """WP-01, WP-12: a field more never makes a good request a request of somebody else."""
    try:
        verified = judge_request(adding(prove(HEAD, revision), (name, value)), revision)
    except Refused:
        return
    assert verified.proof.identity == CALLER.identity
    assert set(verified.covered) == {"workload-identity-token", "txn-token"}
