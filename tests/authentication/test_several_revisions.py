"""Several revisions at one entrance: one of them is satisfied completely, and one signature is checked, or none."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    CONTENT,
    HEAD,
    NONCE,
    NOW,
    SERVER,
    Authenticate,
    caller,
    entrance,
    forge_request,
    new_key,
    reason_of,
    request_parameters,
)
from wimse.authentication import AnyRevision
from wimse.errors import ConfigurationError, Reason
from wimse.keys import PublicKey
from wimse.profiles.http_signature import REVISION_06, REVISION_07, Revision

EACH = pytest.mark.parametrize("revision", [REVISION_06, REVISION_07], ids=lambda each: each.name)
BOTH = (REVISION_07, REVISION_06)
OF_06 = {"omit": ["@path", "@query"], "extra": ["@request-target"]}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes of every signature that was checked cryptographically, WITs included."""
    seen: list[bytes] = []
    verify = PublicKey.verify

    def watched(key: PublicKey, signature: bytes, data: bytes) -> None:
        seen.append(signature)
        verify(key, signature, data)

    monkeypatch.setattr(PublicKey, "verify", watched)
    return seen


@EACH
def test_either_is_accepted_and_named(authenticate: Authenticate, revision: Revision) -> None:
    sent = caller(revision=revision).sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    assert authenticate(entrance(revision=BOTH), sent.request, CONTENT, NOW).revision == revision.name


@EACH
def test_it_is_answered_in_the_revision_that_it_satisfied(revision: Revision) -> None:
    client, server = caller(revision=revision), entrance(revision=BOTH)
    sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    known = server.authenticate(sent.request, CONTENT, now=NOW)
    assert server.response_must_be_signed(known)
    response = server.sign_response(
        ANSWER_HEAD, ANSWER, SERVER, request=sent.request, caller=known, now=NOW, nonce="m" * 22
    )
    answered = client.verify_response(response, ANSWER, sent, now=NOW)
    assert answered is not None
    assert (answered.revision, answered.identity) == (revision.name, SERVER.identity)
    other = caller(revision=REVISION_06 if revision is REVISION_07 else REVISION_07)
    assert reason_of(other.verify_response, response, ANSWER, sent, now=NOW) is Reason.COMPONENT_NOT_COVERED


@EACH
def test_one_is_the_default_and_no_other_is_guessed(authenticate: Authenticate, revision: Revision) -> None:
    other = REVISION_06 if revision is REVISION_07 else REVISION_07
    sent = caller(revision=other).sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    for accepting in (revision, [revision]):
        assert (
            reason_of(authenticate, entrance(revision=accepting), sent.request, CONTENT, NOW)
            is Reason.COMPONENT_NOT_COVERED
        )


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
def test_of_two_that_fit_the_first_that_is_configured_counts(
    authenticate: Authenticate, order: tuple[Revision, ...]
) -> None:
    request = forge_request(extra=["@request-target"])
    assert authenticate(entrance(revision=order), request, CONTENT, NOW).revision == order[0].name


@pytest.mark.parametrize("omit", [["@path"], ["@query"], ["@path", "@query"]], ids="SB-02 without {}".format)
def test_what_satisfies_neither_is_refused(authenticate: Authenticate, omit: list[str]) -> None:
    """Two halves make no whole: what one revision asks is not made good by what the other one does."""
    request = forge_request(omit=omit)
    assert reason_of(authenticate, entrance(revision=BOTH), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


def test_one_signature_is_checked_however_many_revisions_fit(authenticate: Authenticate, checked: list[bytes]) -> None:
    """LB-10: the first that fits decides, so that a wrong signature is not tried again by another revision."""
    server = entrance(revision=BOTH)
    request = forge_request(key=new_key(), extra=["@request-target"])
    assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.SIGNATURE_INVALID
    assert len(checked) == 2  # the WIT's own, and this one
    assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.SIGNATURE_INVALID
    assert len(checked) == 3  # the WIT is known


def test_none_is_checked_when_no_revision_fits(authenticate: Authenticate, checked: list[bytes]) -> None:
    """LB-10."""
    request = forge_request(omit=["@method"])
    assert reason_of(authenticate, entrance(revision=BOTH), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED
    assert len(checked) == 1


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
@pytest.mark.parametrize(
    ("changes", "coverage", "reason"),
    [
        ({"expires": NOW - 40, "created": NOW - 90}, {}, Reason.SIGNATURE_EXPIRED),
        ({"expires": NOW - 40, "created": NOW - 90}, OF_06, Reason.SIGNATURE_EXPIRED),
        ({"keyid": "k"}, {}, Reason.PARAMETER_FORBIDDEN),
        ({"alg": "ecdsa-p256-sha256"}, OF_06, Reason.PARAMETER_FORBIDDEN),
        ({"nonce": "short"}, OF_06, Reason.PARAMETER_VALUE),
        ({"tag": "another"}, {}, Reason.SIGNATURE_MISSING),
    ],
)
def test_the_reason_is_that_of_the_nearest(
    authenticate: Authenticate,
    order: tuple[Revision, ...],
    changes: dict[str, object],
    coverage: dict[str, Iterable[str]],
    reason: Reason,
) -> None:
    request = forge_request(parameters=request_parameters(**changes), **coverage)  # type: ignore[arg-type]
    assert reason_of(authenticate, entrance(revision=order), request, CONTENT, NOW) is reason


@pytest.mark.parametrize(
    ("order", "reason"), [(BOTH, Reason.PARAMETER_VALUE), (BOTH[::-1], Reason.COMPONENT_NOT_COVERED)]
)
def test_of_two_as_near_it_is_the_first_that_is_configured(
    authenticate: Authenticate, order: tuple[Revision, ...], reason: Reason
) -> None:
    """A nonce that is too short is one violation, and so is the one component that 06 asks for."""
    request = forge_request(parameters=request_parameters(nonce="short"))
    assert reason_of(authenticate, entrance(revision=order), request, CONTENT, NOW) is reason


@pytest.mark.parametrize(
    "revision", [(), [], (REVISION_07, REVISION_07), "07", ["07"], None, (REVISION_07, None)], ids=repr
)
def test_none_twice_and_what_is_no_revision(revision: AnyRevision) -> None:
    with pytest.raises(ConfigurationError):
        entrance(revision=revision)


def test_a_caller_of_another_entrance_is_not_answered() -> None:
    known = entrance(revision=REVISION_06).authenticate(forge_request(**OF_06), CONTENT, now=NOW)  # type: ignore[arg-type]
    server = entrance()
    with pytest.raises(ConfigurationError):
        server.response_must_be_signed(known)
    with pytest.raises(ConfigurationError):
        server.sign_response(
            ANSWER_HEAD, ANSWER, SERVER, request=forge_request(), caller=known, now=NOW, nonce="m" * 22
        )
