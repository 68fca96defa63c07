from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import LabelledSignature, Request, Requirements, parse_signatures, select_signature, sign
from wimse.keys import PrivateKey

KEY = PrivateKey.generate()
MESSAGE = Request(method="GET", target="/")
for name, given in {
    "a": {"tag": "t"},
    "b": {"tag": "t", "keyid": "k"},
    "c": {"tag": "u", "keyid": "k"},
    "d": {},
}.items():
    MESSAGE = sign(MESSAGE, KEY, ["@method"] if name == "d" else [], given, label=name)
FOUND = parse_signatures(MESSAGE.fields)


def covers_method(signature: LabelledSignature) -> bool:
    return [each.name for each in signature.input.components] == ["@method"]


def is_strange(signature: LabelledSignature) -> bool:
    return signature.value == b""


@pytest.mark.parametrize(
    ("requirements", "label"),
    [
        (Requirements(label="a"), "a"),
        (Requirements(tag="u"), "c"),
        (Requirements(tag="t", keyid="k"), "b"),
        (Requirements(keyid="k", label="c"), "c"),
        (Requirements(predicate=covers_method), "d"),
        (Requirements(label="d", predicate=covers_method), "d"),
        (Requirements(tag="t", predicate=lambda each: "keyid" not in each.input.parameters), "a"),
    ],
)
def test_a_signature_is_selected_by_any_combination(requirements: Requirements, label: str) -> None:
    """LB-04"""
    assert select_signature(FOUND, requirements).label == label


@pytest.mark.parametrize(
    "requirements",
    [
        Requirements(),
        Requirements(tag="t"),
        Requirements(keyid="k"),
        Requirements(predicate=lambda _: True),
        Requirements(tag="t", predicate=lambda _: True),
    ],
)
def test_more_than_one_is_ambiguous(requirements: Requirements) -> None:
    """LB-01, LB-03"""
    with refused(Reason.SIGNATURE_AMBIGUOUS):
        select_signature(FOUND, requirements)


@pytest.mark.parametrize(
    "requirements",
    [
        Requirements(label="e"),
        Requirements(label=""),
        Requirements(tag="T"),
        Requirements(keyid=""),
        Requirements(tag="u", label="a"),
        Requirements(tag="u", keyid="l"),
        Requirements(predicate=is_strange),
        Requirements(label="a", predicate=covers_method),
    ],
)
def test_none_is_missing(requirements: Requirements) -> None:
    """LB-06"""
    with refused(Reason.SIGNATURE_MISSING):
        select_signature(FOUND, requirements)


def test_a_message_without_signatures_has_none_to_select() -> None:
    with refused(Reason.SIGNATURE_MISSING):
        select_signature((), Requirements())
