from __future__ import annotations

import pytest

from wimse.errors import ConfigurationError
from wimse.httpsig import DEFAULT_FIELD_TYPES, StructuredFieldType, StructuredFieldTypes


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("content-digest", "dictionary"),
        ("priority", "dictionary"),
        ("signature-input", "dictionary"),
        ("proxy-status", "list"),
        ("client-cert-chain", "list"),
        ("client-cert", "item"),
        ("deprecation", "item"),
    ],
)
def test_the_fields_that_rfcs_define_as_structured_are_known(name: str, kind: str) -> None:
    assert DEFAULT_FIELD_TYPES[name] == kind


@pytest.mark.parametrize(
    "name",
    [
        "date",
        "set-cookie",
        "cookie",
        "cache-control",
        "content-type",
        "accept",
        "authorization",
        "digest",
        "etag",
        "expires",
        "link",
        "host",
        "content-length",
        "trailer",
        "sf-date",
    ],
)
def test_a_field_that_only_looks_structured_is_not(name: str) -> None:
    assert name not in DEFAULT_FIELD_TYPES


def test_an_application_adds_its_own_and_leaves_the_table_as_it_was() -> None:
    types = DEFAULT_FIELD_TYPES.with_fields({"Example-Dict": "dictionary", "x": StructuredFieldType.ITEM})
    assert types["example-dict"] is StructuredFieldType.DICTIONARY
    assert types["content-digest"] is StructuredFieldType.DICTIONARY
    assert len(types) == len(DEFAULT_FIELD_TYPES) + 2 == len(list(types))
    assert "example-dict" not in DEFAULT_FIELD_TYPES
    assert types.with_fields({"x": "list"})["x"] is StructuredFieldType.LIST
    assert repr(types) == f"StructuredFieldTypes({len(types)} fields)"


def test_two_tables_with_the_same_entries_are_equal() -> None:
    one, other = StructuredFieldTypes({"a": "list", "b": "item"}), StructuredFieldTypes({"B": "item", "A": "list"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != StructuredFieldTypes({"a": "list"})
    assert one != {"a": "list", "b": "item"}


@pytest.mark.parametrize(
    "types",
    [{"": "item"}, {"a b": "item"}, {"@method": "item"}, {"a\n": "item"}, {"a": "dict"}, {"a": "item", "A": "item"}],
)
def test_a_table_that_no_application_can_mean_is_refused(types: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        StructuredFieldTypes(types)
    with pytest.raises(ConfigurationError):
        DEFAULT_FIELD_TYPES.with_fields(types)
