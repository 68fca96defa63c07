"""One character changed anywhere in what a proof holds: no survivor.

That is the WIT, the proof and the tokens that it binds, in the requests of both revisions, judged with everything that
an honest receiver does: the WIT is verified anew each time. A scheme in Authorization may vary in its case, and the
scheme of an access token is not bound at all; neither is what stands elsewhere in the request.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.profiles.proof_token.forge import (
    ACCESS_TOKEN,
    CALLER,
    DOMAIN,
    HEAD,
    NOW,
    REVISIONS,
    WITH_USER,
    adding,
    judge_request,
    prove,
)
from wimse.credentials import UnverifiedWIT, verify_wit
from wimse.errors import Refused
from wimse.httpsig import Fields, Request, with_fields
from wimse.profiles.proof_token import REVISION_01, ProofRevision

EACH = pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.name)
FIELDS = {
    "02": ("authorization", "workload-identity-token", "txn-token", "x-user-token"),
    "01": ("workload-proof-token", "workload-identity-token", "txn-token", "x-user-token", "authorization"),
}
PLACES = [(revision, name) for revision in REVISIONS for name in FIELDS[revision.name]]


def sent(revision: ProofRevision) -> Request:
    head = adding(HEAD, ("X-User-Token", "u.s.er"))
    if revision is REVISION_01:
        head = adding(head, ("Authorization", f"Bearer {ACCESS_TOKEN}"))
    return prove(head, revision, settings=WITH_USER)


SENT = {revision: sent(revision) for revision in REVISIONS}


def receive(request: Request, revision: ProofRevision) -> None:
    """Everything but audience and replay, which are of no message's making."""
    values = request.fields.values("workload-identity-token")
    wit = verify_wit(UnverifiedWIT.parse(values[0]), DOMAIN.bundle, now=NOW)
    assert judge_request(request, revision, settings=WITH_USER, wit=wit).proof.identity == CALLER.identity


def other_characters(character: str) -> list[str]:
    """Others: neighbours, the other case, the other end, a digit, and those that mean something in the grammar."""
    byte = ord(character)
    others = dict.fromkeys([byte ^ 1, byte ^ 2, byte ^ 0x20, 0x7E - (byte - 0x20) % 0x5F, *b'0A -_.=,"~'])
    return [chr(each) for each in others if each != byte and 0x20 <= each <= 0x7E]


def mutants(value: str, first: int) -> Iterator[str]:
    for position in range(first, len(value)):
        for other in other_characters(value[position]):
            yield value[:position] + other + value[position + 1 :]


@EACH
def test_the_requests_are_accepted_as_they_are(revision: ProofRevision) -> None:
    receive(SENT[revision], revision)


@pytest.mark.parametrize(("revision", "name"), PLACES, ids=[f"{each.name} {name}" for each, name in PLACES])
def test_no_character_can_be_changed(revision: ProofRevision, name: str) -> None:
    """WP-02, WP-03, WP-08, WP-09, WPTC-15, WPTC-17, WPTC-21, WPTC-23, WPTC-24, WPTC-25, WT-05."""
    (value,) = SENT[revision].fields.values(name)
    first = value.index(" ") + 1 if name == "authorization" else 0
    tried, survivors = 0, []
    for mutant in mutants(value, first):
        lines = ((each, mutant if each.lower() == name else old) for each, old in SENT[revision].fields)
        request = with_fields(SENT[revision], Fields(lines))
        if request.fields.values(name) == [value]:
            continue  # spaces around a value are not part of it
        tried += 1
        try:
            receive(request, revision)
        except Refused:
            continue
        survivors.append(mutant)
    assert survivors == []
    assert tried >= 8 * (len(value) - first)


@pytest.mark.parametrize(("revision", "name"), PLACES, ids=[f"{each.name} {name}" for each, name in PLACES])
def test_no_field_can_be_taken_away_or_doubled(revision: ProofRevision, name: str) -> None:
    """WP-01, WP-02, WP-08, WP-09, WP-10."""
    request = SENT[revision]
    doubled = [line for line in request.fields if line[0].lower() == name]
    variants = [with_fields(request, request.fields.adding(*doubled))]
    if name != "workload-identity-token":  # without it there is nobody to ask about
        variants.append(with_fields(request, request.fields.without(name)))
    for variant in variants:
        with pytest.raises(Refused):
            receive(variant, revision)
