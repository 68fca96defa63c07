"""What says "verified" was verified: nobody outside makes one, changes one or brings one from elsewhere."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from tests.authentication.forge import CALLER, CONTENT, DOMAIN, NONCE, NOW, REQUEST_COMPONENTS, entrance, forge_request
from wimse.authentication import AuthenticatedWorkload
from wimse.credentials import UnverifiedWIT, VerifiedWIT
from wimse.httpsig import VerifiedSignature

AUTHENTICATED = entrance().authenticate(forge_request(), CONTENT, now=NOW)
VERIFIED = [AUTHENTICATED, AUTHENTICATED.wit, AUTHENTICATED.signature]
OTHER = DOMAIN.identity("/admin")
NAMES = [type(each).__name__ for each in VERIFIED]


def values(verified: object) -> dict[str, object]:
    return {each.name: getattr(verified, each.name) for each in dataclasses.fields(verified)}  # type: ignore[arg-type]


@pytest.mark.parametrize("verified", VERIFIED, ids=NAMES)
def test_nobody_constructs_one(verified: AuthenticatedWorkload | VerifiedWIT | VerifiedSignature) -> None:
    """HS-20, WC-12, WC-34."""
    with pytest.raises(TypeError, match="is made by"):
        type(verified)(**values(verified))  # type: ignore[arg-type]
    for marker in (None, object(), True, getattr(verified, "_made_by", None)):
        with pytest.raises(TypeError, match="is made by"):
            type(verified)(**values(verified), _made_by=marker)  # type: ignore[arg-type]


@pytest.mark.parametrize("verified", VERIFIED, ids=NAMES)
def test_nobody_replaces_a_part_of_one(verified: AuthenticatedWorkload | VerifiedWIT | VerifiedSignature) -> None:
    """HS-20: the marker of the old one is not handed on to the new one."""
    for name, value in values(verified).items():
        with pytest.raises(TypeError, match="is made by"):
            dataclasses.replace(verified, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is made by"):
        dataclasses.replace(AUTHENTICATED.wit, identity=OTHER)
    with pytest.raises(TypeError, match="is made by"):
        dataclasses.replace(AUTHENTICATED, wit=AUTHENTICATED.wit)


@pytest.mark.parametrize("verified", VERIFIED, ids=NAMES)
def test_nobody_changes_one(verified: AuthenticatedWorkload | VerifiedWIT | VerifiedSignature) -> None:
    for name in values(verified):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(verified, name, None)
    with pytest.raises((AttributeError, TypeError)):
        verified.identity_override = OTHER  # type: ignore[union-attr]


@pytest.mark.parametrize("verified", VERIFIED, ids=NAMES)
def test_none_comes_out_of_a_pickle(verified: object) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(verified)
    with pytest.raises(TypeError):
        copy.deepcopy(verified)


def test_the_marker_is_not_on_show() -> None:
    for each in VERIFIED:
        assert "_made_by" not in repr(each)
        assert getattr(each, "_made_by", None) is None


def test_the_mappings_are_read_only() -> None:
    for mapping in (
        AUTHENTICATED.covered,
        AUTHENTICATED.wit.claims,
        AUTHENTICATED.signature.covered,
        AUTHENTICATED.signature.parameters,
    ):
        with pytest.raises(TypeError):
            mapping["@path"] = "/admin"  # type: ignore[index]


def test_an_unverified_wit_is_another_type() -> None:
    """HS-37: what `parse` gives claims an identity, and has none."""
    unverified = UnverifiedWIT.parse(CALLER.wit)
    assert not issubclass(UnverifiedWIT, VerifiedWIT)
    assert not hasattr(unverified, "identity")


def test_the_result_says_what_was_signed() -> None:
    """HT-23: only covered values are in it."""
    assert AUTHENTICATED.identity == CALLER.identity
    assert AUTHENTICATED.nonce == NONCE
    assert AUTHENTICATED.revision == "07"
    assert set(AUTHENTICATED.covered) == set(REQUEST_COMPONENTS)
    assert AUTHENTICATED.covered["authorization"] == "Bearer abc"
    assert "accept" not in AUTHENTICATED.covered
    assert "host" not in AUTHENTICATED.covered


def test_nothing_secret_is_shown() -> None:
    for each in VERIFIED:
        assert CALLER.wit not in repr(each)
        assert "Bearer abc" not in repr(each)
