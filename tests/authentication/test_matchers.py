"""Policies as values: whole identifiers, whole segments, and nobody by default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.authentication.forge import CONTENT, DOMAIN, FOREIGN, NOW, WIMSE, Authenticate, entrance, forge_request
from tests.authentication.forge import reason_of as reason_for
from wimse.authentication import AnyOf, PathTemplate, Policy, any_trusted, exactly, member_of
from wimse.credentials import TrustBundles, TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason

ALL = TrustBundles(DOMAIN.bundle, FOREIGN.bundle, WIMSE.bundle)
TEMPLATE = PathTemplate("spiffe://example.org/ns/{namespace}/sa/{account}")
SEGMENT = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True).filter(lambda text: text not in {".", ".."})


def identity(text: str) -> WorkloadIdentifier:
    return WorkloadIdentifier.parse(text)


def test_a_template_gives_its_parts_by_name() -> None:
    found = TEMPLATE.match(identity("spiffe://example.org/ns/payments/sa/ledger"))
    assert found == {"namespace": "payments", "account": "ledger"}
    assert str(TEMPLATE) == "spiffe://example.org/ns/{namespace}/sa/{account}"
    assert PathTemplate("wimse://example.org/a/{b}")(identity("wimse://example.org/a/x%20y"))


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/ns/payments/sa",
        "spiffe://example.org/ns/payments/sa/ledger/x",
        "spiffe://example.org/ns/payments/SA/ledger",
        "spiffe://example.org/nsx/payments/sa/ledger",
        "spiffe://example.org/x/ns/payments/sa/ledger",
        "spiffe://example.org/ns/a/b/sa/ledger",
        "spiffe://example.org/payments",
        "spiffe://other.org/ns/payments/sa/ledger",
        "spiffe://example.org.other/ns/payments/sa/ledger",
        "spiffe://ns/ns/payments/sa/ledger",
        "wimse://example.org/ns/payments/sa/ledger",
    ],
)
def test_what_has_another_form_is_denied(authenticate: Authenticate, text: str) -> None:
    """ID-09, ID-10, ID-12, WC-31: neither shorter, longer, in another case, nor of another domain or scheme."""
    assert TEMPLATE.match(identity(text)) is None
    domain = next((each for each in (DOMAIN, FOREIGN, WIMSE) if identity(text).member_of(each.trust_domain)), None)
    if domain is not None:
        request = forge_request(domain.credential(identity(text).path, now=NOW))
        server = entrance(bundles=ALL, policy=TEMPLATE)
        assert reason_for(authenticate, server, request, CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


def test_a_template_lets_in_whom_it_names(authenticate: Authenticate) -> None:
    request = forge_request(DOMAIN.credential("/ns/payments/sa/ledger", now=NOW))
    known = authenticate(entrance(policy=TEMPLATE.where(namespace="payments")), request, CONTENT, NOW)
    assert TEMPLATE.match(known.identity) == {"namespace": "payments", "account": "ledger"}


def test_a_name_can_be_bounded_to_whole_values() -> None:
    bounded = TEMPLATE.where(namespace=["payments", "billing"], account="ledger")
    assert bounded(identity("spiffe://example.org/ns/billing/sa/ledger"))
    for path in ("/ns/pay/sa/ledger", "/ns/paymentsx/sa/ledger", "/ns/p/sa/ledger", "/ns/billing/sa/l"):
        assert not bounded(DOMAIN.identity(path))
    narrowed = bounded.where(namespace=["billing", "other"])
    assert narrowed(identity("spiffe://example.org/ns/billing/sa/ledger"))
    assert not narrowed(identity("spiffe://example.org/ns/other/sa/ledger"))
    assert not narrowed(identity("spiffe://example.org/ns/payments/sa/ledger"))


@pytest.mark.parametrize(
    "policy",
    [AnyOf(), AnyOf(AnyOf(), exactly(), member_of()), TEMPLATE.where(namespace=[]), TEMPLATE.where(account=())],
    ids=["no-alternative", "empty-alternatives", "no-value", "no-account"],
)
def test_a_policy_that_names_nobody_allows_nobody(authenticate: Authenticate, policy: Policy) -> None:
    """ID-11: the empty policy denies."""
    request = forge_request(DOMAIN.credential("/ns/payments/sa/ledger", now=NOW))
    assert reason_for(authenticate, entrance(policy=policy), request, CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


def test_one_alternative_is_enough_and_yes_is_true_only() -> None:
    me = DOMAIN.identity("/a")
    assert AnyOf(exactly("spiffe://other.org/a"), exactly(me))(me)
    assert not AnyOf(exactly("spiffe://other.org/a"))(me)
    assert not AnyOf(lambda _: "yes")(me)  # type: ignore[arg-type, return-value]  # what is not typed is no yes
    assert AnyOf(any_trusted, exactly())(me)


def test_matchers_are_values() -> None:
    assert PathTemplate(str(TEMPLATE)) == TEMPLATE
    assert TEMPLATE.where(account="a") == TEMPLATE.where(account=["a"]) != TEMPLATE
    assert AnyOf(TEMPLATE) == AnyOf(PathTemplate(str(TEMPLATE)))
    assert len({TEMPLATE, PathTemplate(str(TEMPLATE)), AnyOf(TEMPLATE), TEMPLATE.where(account="a")}) == 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "/ns/{a}", "{a}", "spiffe://{domain}/a", "spiffe://example.org", "spiffe://example.org/"),
        *("spiffe://example.org/a-{b}", "spiffe://example.org/{a}{b}", "spiffe://example.org/{a}.txt"),
        *("spiffe://example.org/{a}/{a}", "spiffe://example.org/{}", "spiffe://example.org/{A}", "spiffe://x/{a"),
        *("spiffe://example.org/*", "spiffe://example.org/.*", "spiffe://example.org/{a}/", "{a}://example.org/a"),
        *("spiffe://example.org/../{a}", "SPIFFE://example.org/{a}", "https://example.org/{a}", "spiffe://a{b}/c"),
        *("spiffe://example.org/{a}?b", "spiffe://example.org:1/{a}", "spiffe://example.org/{a/b}"),
    ],
)
def test_what_is_no_template_is_a_mistake(text: str) -> None:
    """ID-12: no wildcard, no pattern, no part of a segment, no domain that is filled in."""
    with pytest.raises(ConfigurationError):
        PathTemplate(text)


def test_a_name_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="no part"):
        TEMPLATE.where(team="payments")


@given(st.lists(SEGMENT, min_size=1, max_size=5), st.lists(SEGMENT, min_size=1, max_size=5), st.data())
def test_a_template_matches_what_it_was_made_from_and_nothing_else(
    mine: list[str], other: list[str], data: st.DataObject
) -> None:
    """ID-12: for any two identifiers, the template of one matches the other exactly if all that is written is equal."""
    named = data.draw(st.lists(st.booleans(), min_size=len(mine), max_size=len(mine)))
    written = [f"{{n{i}}}" if name else segment for i, (segment, name) in enumerate(zip(mine, named, strict=True))]
    template = PathTemplate("spiffe://example.org/" + "/".join(written))
    values = {f"n{i}": segment for i, (segment, name) in enumerate(zip(mine, named, strict=True)) if name}
    domain = TrustDomain("spiffe", "example.org")
    assert template.match(domain.workload("/" + "/".join(mine))) == values
    assert template.where(**values)(domain.workload("/" + "/".join(mine)))
    fits = len(other) == len(mine) and all(n or a == b for a, b, n in zip(mine, other, named, strict=False))
    assert template(domain.workload("/" + "/".join(other))) is fits
    assert template.where(**values)(domain.workload("/" + "/".join(other))) is (mine == other)
    assert not template(TrustDomain("spiffe", "example.com").workload("/" + "/".join(mine)))
