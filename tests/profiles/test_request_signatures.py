"""What revision 07 asks of a request's signature: coverage, parameters, tag, number and times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.authentication.forge import (
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    HEAD,
    LEEWAY,
    NONCE,
    NOW,
    TAG,
    Authenticate,
    adding,
    caller,
    dress,
    entrance,
    forge_request,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    request_parameters,
    wit_claims,
    write_literally,
)
from wimse.credentials import WorkloadCredential
from wimse.errors import Reason
from wimse.httpsig import Fields, Request, make_signature, with_fields
from wimse.keys import EDDSA, PrivateKey
from wimse.profiles.http_signature import SignatureSettings

PARAMETERS = f';created={NOW};expires={NOW + 60};nonce="{NONCE}";tag="{TAG}";wimse-aud="{AUDIENCE}"'


def test_a_good_request_is_accepted(authenticate: Authenticate) -> None:
    """HS-16, WC-19: what every forgery of these tests departs from, with and without wimse-sign-response."""
    assert authenticate(entrance(), forge_request(), CONTENT, NOW).identity == CALLER.identity
    without = forge_request(parameters=request_parameters(wimse_sign_response=None))
    assert authenticate(entrance(), without, CONTENT, NOW).identity == CALLER.identity


def test_a_literally_written_request_is_accepted(authenticate: Authenticate) -> None:
    assert authenticate(entrance(), write_literally(signed=PARAMETERS), CONTENT, NOW).identity == CALLER.identity


# ---------------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize(
    "omitted",
    [
        "@method",
        "@path",
        "@query",
        "workload-identity-token",
        "content-type",
        "content-digest",
        "authorization",
        "txn-token",
    ],
)
def test_a_required_component_that_is_not_covered_is_refused(authenticate: Authenticate, omitted: str) -> None:
    """SB-02, HS-01, HS-02, HS-04, HS-05, HS-06, HS-07, HS-38, DG-02, WT-02: one component at a time."""
    request = forge_request(omit=[omitted])
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize("absent", ["content-type", "authorization", "txn-token"])
def test_a_component_need_not_be_covered_when_the_request_has_no_such_field(
    authenticate: Authenticate, absent: str
) -> None:
    request = forge_request(head=replacing(HEAD, absent))
    assert authenticate(entrance(), request, CONTENT, NOW).identity == CALLER.identity


@pytest.mark.parametrize("added", ["Content-Type", "Authorization", "Txn-Token"])
def test_a_field_that_the_profile_covers_cannot_be_added_later(authenticate: Authenticate, added: str) -> None:
    """HS-02, HS-05, HS-06: it would reach the application uncovered."""
    request = adding(forge_request(head=replacing(HEAD, added)), (added, "Bearer evil"))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize("stripped", ["Content-Type", "Content-Digest", "Authorization", "Txn-Token"])
def test_a_covered_field_cannot_be_taken_away(authenticate: Authenticate, stripped: str) -> None:
    """SB-11: there is no base without it."""
    request = replacing(forge_request(), stripped)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_ABSENT


def test_an_empty_query_must_be_covered_too(authenticate: Authenticate) -> None:
    """HS-38: @query is `?` then, and nobody can add one."""
    head = Request(method="GET", target="/orders", authority="orders.example")
    refused = forge_request(head=head, content=b"", omit=["@query"])
    assert reason_of(authenticate, entrance(), refused, b"", NOW) is Reason.COMPONENT_NOT_COVERED
    accepted = forge_request(head=head, content=b"")
    assert authenticate(entrance(), accepted, b"", NOW).covered["@query"] == "?"


@pytest.mark.parametrize(
    ("plain", "offered"),
    [
        ("@path", "@request-target"),
        ("@path", "@target-uri"),
        ("@query", '"@query-param";name="x"'),
        ("content-type", "accept"),
    ],
)
def test_another_component_does_not_stand_for_a_required_one(
    authenticate: Authenticate, plain: str, offered: str
) -> None:
    """SB-34, HS-38: what covers less, or is of another revision, is not what the profile asks for."""
    request = forge_request(omit=[plain], extra=[offered])
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize(
    ("plain", "offered"),
    [
        ("content-digest", '"content-digest";key="sha-256"'),
        ("workload-identity-token", '"workload-identity-token";bs'),
        ("content-type", '"content-type";tr'),
        ("authorization", '"authorization";sf'),
    ],
)
def test_a_part_of_a_field_does_not_stand_for_the_field(authenticate: Authenticate, plain: str, offered: str) -> None:
    """SB-33: only the plain identifier satisfies the profile."""
    request = forge_request()
    shown = request.fields.values("signature-input")[0].replace(f'"{plain}"', offered)
    request = replacing(request, "Signature-Input", shown)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Content-Type", Reason.FIELD_DUPLICATED),
        ("Authorization", Reason.FIELD_DUPLICATED),
        ("Txn-Token", Reason.FIELD_DUPLICATED),
        ("Content-Digest", Reason.FIELD_DUPLICATED),
        ("Workload-Identity-Token", Reason.WIT_DUPLICATED),
    ],
)
def test_a_second_line_of_a_covered_field_is_refused(authenticate: Authenticate, name: str, reason: Reason) -> None:
    """SB-20: also when it is added to a request that was good."""
    request = adding(forge_request(), (name, "padding"))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is reason


@pytest.mark.parametrize("lines", [["a, b", "c"], ["a", "b, c"]])
def test_lines_that_join_to_one_value_are_refused_even_when_signed(
    authenticate: Authenticate, lines: list[str]
) -> None:
    """SB-19: both cuts of `a, b, c` have one signature base; neither is accepted."""
    request = forge_request(head=replacing(HEAD, "Authorization", *lines))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.FIELD_DUPLICATED


@pytest.mark.parametrize("covered", ["signature", "signature-input"])
def test_a_request_signature_over_signature_fields_is_refused(authenticate: Authenticate, covered: str) -> None:
    """SB-37: before any cryptography is spent on it."""
    head = adding(HEAD, *make_signature(HEAD, new_key(), ["@method"], {"tag": "other"}, label="theirs").lines())
    request = forge_request(head=head, extra=[covered])
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_FORBIDDEN


# --------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("missing", ["created", "expires", "nonce", "wimse_aud"])
def test_a_missing_parameter_is_refused(authenticate: Authenticate, missing: str) -> None:
    """TM-01, TM-02, RP-06, AU-01, HS-10, HS-11, HS-12, HS-15: one parameter at a time."""
    request = forge_request(parameters=request_parameters(**{missing: None}))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_MISSING


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("alg", "ecdsa-p256-sha256"), ("keyid", "issuer"), ("keyid", ""), ("wimse-req-nonce", NONCE)],
)
def test_a_forbidden_parameter_is_refused_though_it_is_true(
    authenticate: Authenticate, parameter: str, value: str
) -> None:
    """CR-01, CR-02, HS-18, HS-19: and a response's parameter in a request."""
    request = forge_request(parameters=request_parameters(**{parameter: value}))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_FORBIDDEN


@pytest.mark.parametrize("value", ["ed25519", "rsa-v1_5-sha256", "hmac-sha256", "none", ""])
def test_an_alg_that_is_false_is_refused_as_forbidden(authenticate: Authenticate, value: str) -> None:
    """CR-01: whatever it says."""
    request = write_literally(signed=f'{PARAMETERS};alg="{value}"')
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_FORBIDDEN


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (f"created={NOW}", f'created="{NOW}"'),
        (f"created={NOW}", f"created={NOW}.0"),
        (f"created={NOW}", f"created=@{NOW}"),
        (f"created={NOW}", "created"),
        (f"expires={NOW + 60}", f'expires="{NOW + 60}"'),
        (f"expires={NOW + 60}", f"expires={NOW + 60}.5"),
        (f"expires={NOW + 60}", "expires=?1"),
        (f'nonce="{NONCE}"', f"nonce={NONCE}"),
        (f'nonce="{NONCE}"', "nonce=:bm5ubm5ubm5ubm5ubm5u:"),
        (f'nonce="{NONCE}"', "nonce=1234567890"),
        (f'nonce="{NONCE}"', "nonce"),
        (f'tag="{TAG}"', f"tag={TAG}"),
        (f'tag="{TAG}"', "tag=:d2ltc2U=:"),
        (f'wimse-aud="{AUDIENCE}"', "wimse-aud=orders"),
        (f'wimse-aud="{AUDIENCE}"', "wimse-aud=:b3JkZXJz:"),
        (f'wimse-aud="{AUDIENCE}"', "wimse-aud"),
        (f'wimse-aud="{AUDIENCE}"', f'wimse-aud="{AUDIENCE}";wimse-sign-response="1"'),
        (f'wimse-aud="{AUDIENCE}"', f'wimse-aud="{AUDIENCE}";wimse-sign-response=1'),
        (f'wimse-aud="{AUDIENCE}"', f'wimse-aud="{AUDIENCE}";wimse-sign-response=true'),
        (f'wimse-aud="{AUDIENCE}"', f'wimse-aud="{AUDIENCE}";keyid=k'),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused(authenticate: Authenticate, good: str, bad: str) -> None:
    """SB-27, HS-13, HS-27: String is no Token, Integer no Decimal, Boolean no Integer."""
    assert good in PARAMETERS
    request = write_literally(signed=PARAMETERS.replace(good, bad))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_TYPE


def test_an_audience_that_is_a_list_is_refused(authenticate: Authenticate) -> None:
    """AU-05: a parameter holds one bare item."""
    request = write_literally(signed=PARAMETERS.replace(f'"{AUDIENCE}"', f'("{AUDIENCE}" "https://b.example")'))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_FIELD_MALFORMED


@pytest.mark.parametrize(
    "twice",
    [
        f"created={NOW - 9}",
        f"expires={NOW + 9}",
        'nonce="other-nonce"',
        'tag="other"',
        'wimse-aud="https://evil.example"',
    ],
)
def test_a_parameter_that_occurs_twice_is_refused(authenticate: Authenticate, twice: str) -> None:
    """SB-24, AU-05: structured fields would let the last one win, and the signature is over that one."""
    shown = f";{twice}{PARAMETERS}"
    first_wins = f";{twice}" + PARAMETERS.replace(
        next(part for part in PARAMETERS.split(";") if part.startswith(twice.split("=", maxsplit=1)[0] + "=")), "x"
    ).replace(";x", "")
    for signed in (PARAMETERS, shown, first_wins):
        request = write_literally(signed=signed, shown=shown)
        assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_DUPLICATED


@pytest.mark.parametrize("characters", [0, 1, 7])
def test_a_nonce_that_is_too_short_is_refused(authenticate: Authenticate, characters: int) -> None:
    """RP-06, HS-22, HS-41."""
    request = forge_request(parameters=request_parameters(nonce="n" * characters))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_VALUE


def test_a_nonce_that_is_too_long_is_refused(authenticate: Authenticate) -> None:
    """RP-06."""
    request = forge_request(parameters=request_parameters(nonce="n" * 257))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.PARAMETER_VALUE
    request = forge_request(parameters=request_parameters(nonce="n" * 1_000_000))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.FIELD_TOO_LARGE


@pytest.mark.parametrize("characters", [8, 256])
def test_the_shortest_and_the_longest_nonce_are_accepted(authenticate: Authenticate, characters: int) -> None:
    request = forge_request(parameters=request_parameters(nonce="n" * characters))
    assert authenticate(entrance(), request, CONTENT, NOW).nonce == "n" * characters


# -------------------------------------------------------------------------------------------- which signature


@pytest.mark.parametrize(
    "tag", [None, "", "wimse", "Wimse-Workload-To-Workload", "wimse-service-to-service", TAG + " ", "app-x"]
)
def test_a_signature_without_the_tag_is_none(authenticate: Authenticate, tag: str | None) -> None:
    """LB-06, LB-07, WT-01, HS-14, HS-40: also when its label is wimse."""
    request = forge_request(parameters=request_parameters(tag=tag), label="wimse")
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_MISSING


def test_a_request_without_any_signature_is_refused(authenticate: Authenticate) -> None:
    """WT-01, WC-12, HS-37, WC-13, WC-34: a WIT is no bearer token."""
    request = dress(HEAD, CALLER.wit, CONTENT)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_MISSING


def test_two_signatures_with_the_tag_are_refused(authenticate: Authenticate) -> None:
    """LB-01, HS-39: though each of them is good, and though one of them is somebody else's."""
    good = forge_request()
    for key in (CALLER.key, new_key()):
        again = forge_request(key=key, parameters=request_parameters(nonce="other-nonce"), label="second")
        lines = [line for line in again.fields if line[0] in ("Signature-Input", "Signature")]
        for request in (adding(good, *lines), with_fields(good, Fields([*lines, *good.fields]))):
            assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_AMBIGUOUS


def foreign_lines(*, garbage: bool = False) -> list[tuple[str, str]]:
    lines = make_signature(
        HEAD, new_key(), ["@method", "accept"], {"keyid": "proxy", "tag": "app-x"}, label="proxy"
    ).lines()
    return [lines[0], ("Signature", "proxy=:AAAA:")] if garbage else list(lines)


@pytest.mark.parametrize("garbage", [False, True])
def test_a_foreign_signature_beside_does_not_matter(authenticate: Authenticate, garbage: bool) -> None:
    """LB-02, LB-09: before or after ours, good or garbage, it is not looked at."""
    good = forge_request()
    foreign = foreign_lines(garbage=garbage)
    for request in (adding(good, *foreign), with_fields(good, Fields([*foreign, *good.fields]))):
        assert authenticate(entrance(), request, CONTENT, NOW).signature.label == "wimse"


def test_a_good_foreign_signature_does_not_help_a_bad_one_of_ours(authenticate: Authenticate) -> None:
    """LB-03: any valid signature is not enough."""
    request = adding(forge_request(key=new_key()), *foreign_lines())
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_INVALID


def test_the_signature_is_chosen_by_tag_not_by_label(authenticate: Authenticate) -> None:
    """LB-04, HS-40: the label wimse has another tag, and ours another label."""
    decoy = make_signature(HEAD, new_key(), ["@method"], {"tag": "app-x"}, label="wimse").lines()
    request = adding(forge_request(label="sig1"), *decoy)
    assert authenticate(entrance(), request, CONTENT, NOW).signature.label == "sig1"


def test_another_label_survives(authenticate: Authenticate) -> None:
    """LB-05: a label means nothing."""
    request = forge_request()
    for name in ("Signature-Input", "Signature"):
        request = replacing(request, name, request.fields.values(name.lower())[0].replace("wimse=", "x=", 1))
    assert authenticate(entrance(), request, CONTENT, NOW).signature.label == "x"


def test_a_hundred_signatures_are_too_many(authenticate: Authenticate) -> None:
    """LB-10: none of them is verified."""
    good = forge_request()
    value = good.fields.values("signature")[0].removeprefix("wimse=")
    request = adding(
        good,
        ("Signature-Input", ", ".join(f'l{n}=("@method");tag="app-x"' for n in range(99))),
        ("Signature", ", ".join(f"l{n}={value}" for n in range(99))),
    )
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.TOO_MANY_SIGNATURES


def test_a_response_signature_is_no_request_signature(authenticate: Authenticate) -> None:
    """LB-08, HS-08: its components do not exist in a request."""
    lines = [("Signature-Input", f'wimse=("@status" "@method";req){PARAMETERS}'), ("Signature", "wimse=:AAAA:")]
    request = adding(dress(HEAD, CALLER.wit, CONTENT), *lines)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED
    request = forge_request()
    shown = request.fields.values("signature-input")[0].replace('"@method"', '"@method" "@status"')
    request = replacing(request, "Signature-Input", shown)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_APPLICABLE


@pytest.mark.parametrize("derived", ['"@method";req', '"@path";req'])
def test_req_in_a_request_is_refused(authenticate: Authenticate, derived: str) -> None:
    """LB-08, SB-09."""
    request = forge_request()
    shown = request.fields.values("signature-input")[0].replace('"@query"', f'"@query" {derived}')
    request = replacing(request, "Signature-Input", shown)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.COMPONENT_NOT_APPLICABLE


# ---------------------------------------------------------------------------------------------------- times

LONG_LIVED = DOMAIN.credential("/caller", now=NOW, lifetime=86_000)


@pytest.mark.parametrize("leeway", [0, LEEWAY, 120])
def test_a_signature_is_accepted_until_one_second_before_its_end(authenticate: Authenticate, leeway: int) -> None:
    """TM-04, HS-33, WC-37: now == expires + leeway is refused."""
    settings = SignatureSettings(leeway=timedelta(seconds=leeway))
    request = forge_request(LONG_LIVED)
    last = NOW + 60 + leeway - 1
    assert authenticate(entrance(settings=settings), request, CONTENT, last).identity == CALLER.identity
    assert reason_of(authenticate, entrance(settings=settings), request, CONTENT, last + 1) is Reason.SIGNATURE_EXPIRED


@pytest.mark.parametrize("leeway", [0, LEEWAY, 120])
def test_a_signature_may_be_created_at_most_the_leeway_ahead(authenticate: Authenticate, leeway: int) -> None:
    """TM-03, HS-33."""
    settings = SignatureSettings(leeway=timedelta(seconds=leeway))
    request = forge_request()
    assert authenticate(entrance(settings=settings), request, CONTENT, NOW - leeway).identity == CALLER.identity
    assert (
        reason_of(authenticate, entrance(settings=settings), request, CONTENT, NOW - leeway - 1)
        is Reason.SIGNATURE_NOT_YET_VALID
    )


@pytest.mark.parametrize("life", [0, -1, -29])
def test_a_signature_that_expires_before_it_was_created_is_refused(authenticate: Authenticate, life: int) -> None:
    """TM-05, HS-11."""
    request = forge_request(parameters=request_parameters(expires=NOW + life))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_LIFETIME


def test_a_signature_that_lives_too_long_is_refused(authenticate: Authenticate) -> None:
    """TM-06, HS-11, HS-32, WC-36: 300 seconds are accepted, 301 and a year are not."""
    longest = forge_request(parameters=request_parameters(expires=NOW + 300))
    assert authenticate(entrance(), longest, CONTENT, NOW).identity == CALLER.identity
    for life in (301, 31_536_000, 999_999_999_999_999 - NOW):
        request = forge_request(parameters=request_parameters(expires=NOW + life))
        assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_LIFETIME


def test_a_shorter_longest_life_can_be_configured(authenticate: Authenticate) -> None:
    settings = SignatureSettings(max_lifetime=timedelta(seconds=59))
    assert (
        reason_of(authenticate, entrance(settings=settings), forge_request(), CONTENT, NOW) is Reason.SIGNATURE_LIFETIME
    )


@pytest.mark.parametrize("created", [999_999_999_999_999, -999_999_999_999_999])
def test_times_that_are_no_dates_are_refused(authenticate: Authenticate, created: int) -> None:
    """SB-28: not an overflow."""
    request = forge_request(parameters=request_parameters(created=created, expires=created))
    expected = Reason.SIGNATURE_NOT_YET_VALID if created > 0 else Reason.SIGNATURE_EXPIRED
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is expected


@pytest.mark.parametrize("shift", [3_600, -3_600, 86_400, -86_400])
def test_a_wrong_clock_gives_only_errors_of_time(authenticate: Authenticate, shift: int) -> None:
    """TM-13: of the WIT or of the signature, whichever is first."""
    expected = Reason.TOKEN_EXPIRED if shift > 0 else Reason.SIGNATURE_NOT_YET_VALID
    if shift == -86_400:  # the WIT would be valid for more than a day from then
        expected = Reason.TOKEN_LIFETIME
    assert reason_of(authenticate, entrance(), forge_request(), CONTENT, NOW + shift) is expected


def test_a_signature_older_than_its_wit_is_accepted(authenticate: Authenticate) -> None:
    """Not looked at, neither refused nor logged: the key may be older than its newest WIT."""
    credential: WorkloadCredential = DOMAIN.credential("/caller", now=NOW)
    request = forge_request(credential, parameters=request_parameters(created=NOW - 100, expires=NOW + 60))
    assert authenticate(entrance(), request, CONTENT, NOW).identity == CALLER.identity


def test_a_signature_that_outlives_the_wit_ends_with_it(authenticate: Authenticate) -> None:
    """TM-07, TM-08, WC-47: the earlier of both ends counts."""
    credential = DOMAIN.credential("/caller", now=NOW, lifetime=20)
    request = forge_request(credential, parameters=request_parameters(expires=NOW + 300))
    assert authenticate(entrance(), request, CONTENT, NOW + 20 + LEEWAY - 1).identity == CALLER.identity
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW + 20 + LEEWAY) is Reason.TOKEN_EXPIRED


def test_a_new_signature_with_an_expired_wit_is_refused(authenticate: Authenticate) -> None:
    """TM-09, WC-47: made by hand, since our own side refuses to make it."""
    later = NOW + 300 + LEEWAY
    request = forge_request(parameters=request_parameters(created=later, expires=later + 60))
    assert reason_of(authenticate, entrance(), request, CONTENT, later) is Reason.TOKEN_EXPIRED
    assert reason_of(caller().sign, HEAD, CONTENT, now=NOW + 300, nonce=NONCE) is Reason.CREDENTIAL_EXPIRED


# ------------------------------------------------------------------------------------------------- wrong keys


def test_a_signature_by_another_key_is_refused(authenticate: Authenticate) -> None:
    """WT-36, WC-12, HS-36: a stolen WIT is worth nothing without its key."""
    for key in (new_key(), DOMAIN.credential("/other", now=NOW).key, DOMAIN.key):
        request = forge_request(key=key)
        assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_INVALID


def test_a_signature_by_another_algorithm_is_refused(authenticate: Authenticate) -> None:
    """CR-03, WC-15: the algorithm is that of cnf.jwk."""
    request = forge_request(key=PrivateKey.generate(EDDSA))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_INVALID


def test_signature_fields_that_cannot_be_read_are_refused(authenticate: Authenticate) -> None:
    request = replacing(forge_request(), "Signature", "wimse")
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_FIELD_MALFORMED
    request = replacing(forge_request(), "Signature")
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_LABEL_UNPAIRED


@pytest.mark.parametrize(
    ("not_before", "created", "reason"),
    [
        (NOW, NOW - LEEWAY - 1, Reason.SIGNATURE_TOO_OLD),
        (NOW + LEEWAY, NOW - 1, Reason.SIGNATURE_TOO_OLD),
        (NOW, NOW - LEEWAY, None),
        (NOW - 100, NOW, None),
    ],
)
def test_a_signature_is_not_older_than_the_wit_that_it_covers(
    authenticate: Authenticate, not_before: int, created: int, reason: Reason | None
) -> None:
    """TM-15: by nbf; iat delays nothing (WIT-SVID §3.6)."""
    request = forge_request(wit=forge_wit(wit_claims(nbf=not_before)), parameters=request_parameters(created=created))
    if reason is None:
        assert authenticate(entrance(), request, CONTENT, NOW).identity == CALLER.identity
    else:
        assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is reason
    by_iat = forge_request(wit=forge_wit(wit_claims(iat=not_before)), parameters=request_parameters(created=created))
    assert authenticate(entrance(), by_iat, CONTENT, NOW).identity == CALLER.identity
