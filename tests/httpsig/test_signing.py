from __future__ import annotations

import pytest

from tests.keys.pool import EVERY
from tests.refusals import refused
from wimse import httpsig
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import (
    Fields,
    Request,
    Requirements,
    Response,
    StaticKeys,
    make_signature,
    parse_signatures,
    run,
    sign,
    verify,
    verify_message,
)
from wimse.keys import PrivateKey, PublicKey, SecretKey, verification_key

KEY = PrivateKey.generate()
REQUEST = Request(method="GET", target="/a?b", fields=Fields([("X", "1")]))


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
def test_what_is_signed_verifies_and_says_what_it_covered(key: PrivateKey | SecretKey) -> None:
    """RF-15, RF-16"""
    named = {} if key.algorithm.http_name is None else {"alg": key.algorithm.http_name}
    signed = sign(REQUEST, key, ["@method", "x"], {"created": 5, **named}, label="mine")
    assert [name for name, _ in signed.fields] == ["X", "Signature-Input", "Signature"]
    result = run(verify(signed, Requirements(), now=5), lambda _: verification_key(key))
    assert (result.label, result.covered) == ("mine", {"@method": "GET", "x": "1"})
    assert result.parameters == {"created": 5, **named}
    assert result.key.algorithm is key.algorithm
    assert isinstance(result.key, SecretKey if key.algorithm.symmetric else PublicKey)


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
def test_what_is_signed_verifies_with_no_other_key(key: PrivateKey | SecretKey) -> None:
    """RF-16, SB-16: of whatever algorithm, the signer's own numbers under another one included."""
    signed = sign(REQUEST, key, ["@method", "x"], {})
    for other in (verification_key(each) for each in EVERY.values() if each is not key):
        with refused(Reason.SIGNATURE_INVALID):
            verify_message(signed, Requirements(), StaticKeys([other]), now=5)


@pytest.mark.parametrize("key", [each for each in EVERY.values() if each.algorithm.http_name is None], ids=repr)
@pytest.mark.parametrize("alg", [None, "JOSE"])
def test_an_algorithm_without_a_name_in_the_registry_has_no_alg(key: PrivateKey | SecretKey, alg: str | None) -> None:
    """RF-15: §3.3.7 forbids the parameter for JWS algorithms; neither None nor the JOSE name is written for it."""
    with pytest.raises(ConfigurationError):
        make_signature(REQUEST, key, [], {"alg": key.algorithm.jose_name if alg else None})


def test_a_response_is_signed_with_its_request() -> None:
    signed = sign(Response(status=200), KEY, ["@status", '"@path";req'], {}, request=REQUEST)
    result = run(verify(signed, Requirements(), now=0, request=REQUEST), lambda _: KEY.public_key)
    assert result.covered == {"@status": "200", "@path;req": "/a"}


def test_what_is_made_can_be_put_in_place_by_hand() -> None:
    made = make_signature(REQUEST, KEY, ["@method"], {"tag": "t"}, label="a")
    assert made.signature_input == 'a=("@method");tag="t"'
    assert made.base.data == b'"@method": GET\n"@signature-params": ("@method");tag="t"'
    assert made.lines() == (("Signature-Input", made.signature_input), ("Signature", made.signature))
    assert [each.label for each in parse_signatures(Fields(made.lines()))] == ["a"]


def test_signatures_that_are_there_stay() -> None:
    twice = sign(sign(REQUEST, KEY, ["x"], {}, label="one"), KEY, ["x", "signature"], {}, label="two")
    assert [each.label for each in parse_signatures(twice.fields)] == ["one", "two"]


def test_a_label_is_used_once() -> None:
    """RF-19, SB-23"""
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        sign(sign(REQUEST, KEY, [], {}), KEY, [], {})


@pytest.mark.parametrize("label", ["", "A", "a b", "\u00e9", "1a", 'a"', "a=b"])
def test_a_label_that_cannot_be_sent_is_our_own_mistake(label: str) -> None:
    with pytest.raises(ConfigurationError):
        make_signature(REQUEST, KEY, [], {}, label=label)
    with pytest.raises(ConfigurationError, match="label"):
        sign(REQUEST, KEY, [], {}, label=label)


@pytest.mark.parametrize("alg", ["ed25519", "ES256", "", "hmac-sha256"])
def test_an_alg_that_is_not_the_keys_is_our_own_mistake(alg: str) -> None:
    with pytest.raises(ConfigurationError):
        make_signature(REQUEST, KEY, [], {"alg": alg})


def test_what_is_not_there_is_not_signed() -> None:
    """SB-11"""
    with refused(Reason.COMPONENT_ABSENT):
        sign(REQUEST, KEY, ["y"], {})


def test_the_exported_names_exist() -> None:
    assert all(hasattr(httpsig, name) for name in httpsig.__all__)
