"""RFC 9421 alone: its own examples, signing, and the choice of signature and key."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Run, process, vector_cases, write_json
from wimse.keys import EDDSA, ES256, HS256, PS256, PS512, RS256, Algorithm, PrivateKey, SecretKey

SIGNATURES = vector_cases("rfc9421/signatures.json")
KEYS = vector_cases("rfc9421/keys.json")
BODY = b'{"hello": "world"}'
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
REQUEST = (
    b"POST /foo?a=1 HTTP/1.1\r\nHost: example.com\r\nContent-Digest: " + DIGEST.encode() + b"\r\nX-A: b\r\n\r\n" + BODY
)


def files(case: dict[str, Any], folder: Path) -> list[str]:
    message = folder / "message.http"
    message.write_bytes(case["message"].encode("latin-1"))
    arguments = [str(message), "--label", case["label"]]
    if "request" in case:
        (folder / "request.http").write_bytes(case["request"].encode("latin-1"))
        arguments += ["--request", str(folder / "request.http")]
    return arguments


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_json(tmp_path / "key.json", PrivateKey.generate(kid="k1").to_jwk())


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "m.http"
    path.write_bytes(REQUEST)
    return path


def signed(run: Run, message: Path, key: Path, *more: str) -> Path:
    outcome = run("httpsig", "sign", message, "--key", key, "--cover", '"@method" "@path"', *more)
    assert outcome.status == 0, outcome
    path = message.with_name("signed.http")
    path.write_bytes(outcome.stdout)
    return path


@pytest.mark.parametrize(
    "case", [each for each in SIGNATURES.values() if "base" in each["expected"]], ids=lambda c: c["id"]
)
def test_the_base_of_an_example_of_the_rfc(run: Run, tmp_path: Path, case: dict[str, Any]) -> None:
    outcome = run("httpsig", "base", *files(case, tmp_path))
    assert (outcome.status, outcome.text) == (0, case["expected"]["base"])


def test_the_base_as_json_and_byte_for_byte_in_a_process(tmp_path: Path) -> None:
    case = SIGNATURES["B.2.6"]
    arguments = files(case, tmp_path)
    plain = process("httpsig", "base", *arguments)
    assert (plain.status, plain.stdout, plain.stderr) == (0, case["expected"]["base"].encode(), "")
    document = process("httpsig", "base", *arguments, "--json").document
    assert document["label"] == "sig-b26"
    assert document["base"] == case["expected"]["base"]
    assert document["covered"]["@method"] == "POST"
    assert document["parameters"] == {"created": 1618884473, "keyid": "test-key-ed25519"}


@pytest.mark.parametrize("form", ["jwk", "pem", "jwks"])
@pytest.mark.parametrize("case", SIGNATURES.values(), ids=lambda case: case["id"])
def test_an_example_of_the_rfc_is_judged_as_it_says(run: Run, tmp_path: Path, case: dict[str, Any], form: str) -> None:
    keys = tmp_path / "keys"
    published = KEYS[case["key"]]
    if form == "pem" and "public_pem" in published:
        keys.write_text(published["public_pem"])
    elif form in ("jwk", "pem"):  # a shared secret has no PEM
        write_json(keys, published["jwk"])
    else:  # of which those are for --alg that do not say what they are for
        write_json(keys, {"keys": [each["jwk"] for each in KEYS.values()]})
    arguments = files(case, tmp_path)
    expires = re.search(r"expires=([0-9]+)", case["message"])
    if expires is not None:
        arguments += ["--now", str(int(expires[1]) - 1)]
    outcome = run("httpsig", "verify", *arguments, "--keys", keys, "--alg", case["algorithm"], "--json")
    expected = case["expected"].get("reason")
    assert outcome.status == (0 if expected is None else 1), outcome
    assert outcome.document.get("reason") == expected
    assert outcome.document["content_digest"] in ("matches", "absent", "mismatch")


@pytest.mark.parametrize("algorithm", [ES256, EDDSA], ids=str)
def test_what_is_signed_is_verified(run: Run, tmp_path: Path, message: Path, algorithm: Algorithm) -> None:
    secret = PrivateKey.generate(algorithm)
    (tmp_path / "key.pem").write_bytes(secret.to_pem())
    (tmp_path / "public.pem").write_bytes(secret.public_key.to_pem())
    made = signed(run, message, tmp_path / "key.pem", "--alg", algorithm.jose_name, "--created", "100")
    assert f'alg="{algorithm.http_name}"'.encode() in made.read_bytes()
    outcome = run("httpsig", "verify", made, "--keys", tmp_path / "public.pem", "--json")
    assert outcome.document == {
        "valid": True,
        "label": "sig1",
        "algorithm": algorithm.http_name,
        "content_digest": "matches",
        "covered": {"@method": "POST", "@path": "/foo"},
        "parameters": {"created": 100, "alg": algorithm.http_name},
    }


def test_signing_leaves_every_byte_and_adds_two_lines(run: Run, tmp_path: Path, key: Path) -> None:
    for data, newline in [
        (REQUEST, b"\r\n"),
        (REQUEST.replace(b"\r\n", b"\n"), b"\n"),
        (b"GET / HTTP/1.1\n\n\r\n\nbody", b"\n"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"\r\n"),
    ]:
        path = tmp_path / "m.http"
        path.write_bytes(data)
        outcome = run("httpsig", "sign", path, "--key", key, "--cover", '"@method"')
        head, rest = data.split(newline * 2, 1)
        start, end = head + newline, newline * 2 + rest
        assert outcome.stdout.startswith(start + b"Signature-Input: sig1=(")
        assert outcome.stdout.endswith(end)
        added = outcome.stdout[len(start) : -len(end)].split(newline)
        assert [line.partition(b":")[0] for line in added] == [b"Signature-Input", b"Signature"]


def test_parameters_in_their_order(run: Run, message: Path, key: Path) -> None:
    made = signed(
        run, message, key,
        "--param", "wimse-sign-response", "--param", "b=?0", "--param", "n=-17", "--param", 's="17"',
        "--param", "t=a b=c",
        "--tag", "t", "--alg", "ES256", "--keyid", "k1", "--nonce", "n1", "--expires", "200", "--created", "100",
    )  # fmt: skip
    line = next(line for line in made.read_bytes().split(b"\r\n") if line.startswith(b"Signature-Input"))
    assert line.decode().partition(")")[2] == (
        ';created=100;expires=200;nonce="n1";keyid="k1";alg="ecdsa-p256-sha256";tag="t"'
        ';wimse-sign-response;b=?0;n=-17;s="17";t="a b=c"'
    )


def test_created_is_now_unless_told_otherwise(run: Run, message: Path, key: Path) -> None:
    assert b";created=77" in signed(run, message, key, "--now", "77").read_bytes()
    assert b"created" not in signed(run, message, key, "--no-created").read_bytes()
    assert run("httpsig", "sign", message, "--key", key, "--cover", "", "--created", "1", "--no-created").status == 2


def test_cover_may_be_repeated_bare_or_empty(run: Run, message: Path, key: Path) -> None:
    def covered(*arguments: str) -> list[str]:
        outcome = run("httpsig", "sign", message, "--key", key, "--json", *arguments)
        assert outcome.status == 0, outcome
        return list(outcome.document["covered"])

    assert covered("--cover", '"@method" "x-a"', "--cover", "@path") == ["@method", "x-a", "@path"]
    assert covered("--cover", '("@query-param";name="a" "host")') == ['@query-param;name="a"', "host"]
    assert covered("--cover", "@method host") == ["@method", "host"]
    assert covered("--cover", "") == []


def test_a_second_signature_and_the_choice_by_label_or_tag(run: Run, message: Path, key: Path) -> None:
    first = signed(run, message, key, "--tag", "one")
    outcome = run("httpsig", "sign", first, "--key", key, "--cover", '"@query"', "--label", "sig2", "--tag", "two")
    first.write_bytes(outcome.stdout)
    verify = ("httpsig", "verify", first, "--keys", key, "--json")
    assert run(*verify).document["reason"] == "signature_ambiguous"
    assert run(*verify, "--label", "sig2").document["covered"] == {"@query": "?a=1"}
    assert run(*verify, "--tag", "one").document["label"] == "sig1"
    assert run(*verify, "--label", "sig1", "--tag", "two").document["reason"] == "signature_missing"
    assert run("httpsig", "base", first).status == 1
    assert run("httpsig", "base", first, "--label", "sig2").text.startswith('"@query": ?a=1\n')
    again = run("httpsig", "sign", first, "--key", key, "--cover", "@path", "--json")
    assert (again.status, again.document["reason"]) == (1, "signature_label_duplicated")


def test_a_response_covers_its_request(run: Run, tmp_path: Path, message: Path, key: Path) -> None:
    response = tmp_path / "r.http"
    response.write_bytes(b"HTTP/1.1 200 OK\n\n")
    cover = ("--cover", '"@status" "@path";req')
    assert run("httpsig", "sign", response, "--key", key, *cover).status == 1
    made = run("httpsig", "sign", response, "--key", key, *cover, "--request", message)
    response.write_bytes(made.stdout)
    verify = ("httpsig", "verify", response, "--keys", key, "--json")
    assert run(*verify, "--request", message).document["covered"] == {"@status": "200", "@path;req": "/foo"}
    assert run(*verify).document["reason"] == "component_not_applicable"
    message.write_bytes(REQUEST.replace(b"/foo", b"/bar"))
    assert run(*verify, "--request", message).document["reason"] == "signature_invalid"
    assert run(*verify, "--request", response).status == 2
    assert run("httpsig", "verify", message, "--keys", key, "--request", message).status == 2


def test_the_key_is_chosen_by_keyid(run: Run, tmp_path: Path, message: Path) -> None:
    one, two = PrivateKey.generate(kid="one"), PrivateKey.generate(kid="two")
    named = signed(run, message, write_json(tmp_path / "one", one.to_jwk()), "--keyid", "one")

    def judged(*keys: PrivateKey, path: Path = named) -> Any:
        jwks = {"keys": [key.public_key.to_jwk() for key in keys]}
        return run("httpsig", "verify", path, "--keys", write_json(tmp_path / "jwks", jwks), "--json").document

    assert judged(two, one)["valid"] is True
    assert judged(two)["reason"] == "key_unknown"
    assert judged(two, two.with_kid("three"))["reason"] == "key_unknown"
    assert judged(one, two.with_kid("one"))["reason"] == "key_unknown"
    assert judged(one.with_kid(None))["valid"] is True  # like a PEM: it has no name to disagree
    unnamed = message.with_name("unnamed.http")
    unnamed.write_bytes(signed(run, message, tmp_path / "one").read_bytes())
    assert judged(one, path=unnamed)["valid"] is True
    assert judged(one, two, path=unnamed)["reason"] == "key_unknown"
    assert judged(two, path=unnamed)["reason"] == "signature_invalid"


def test_the_algorithm_that_is_asked_for_is_the_one_of_the_key(run: Run, message: Path, key: Path) -> None:
    made = signed(run, message, key)
    verify = ("httpsig", "verify", made, "--keys", key, "--json", "--alg")
    assert run(*verify, "ES256").status == run(*verify, "ecdsa-p256-sha256").status == 0
    assert run(*verify, "Ed25519").document["reason"] == "algorithm_mismatch"
    assert run(*verify, "hmac-sha256").document["reason"] == "algorithm_mismatch"
    assert run(*verify, "none").status == 2
    assert run("httpsig", "sign", message, "--key", key, "--cover", "", "--alg", "ed25519").status == 2


def test_times_and_requirements(run: Run, message: Path, key: Path) -> None:
    made = signed(run, message, key, "--created", "1000", "--expires", "2000")
    verify = ("httpsig", "verify", made, "--keys", key, "--json")
    assert run(*verify, "--now", "2029").status == 0
    late = run(*verify, "--now", "2030").document
    assert (late["valid"], late["reason"], late["class"]) == (False, "signature_expired", "time")
    assert run(*verify, "--now", "969").document["reason"] == "signature_not_yet_valid"
    assert run(*verify, "--now", "1130", "--max-age", "100").status == 0
    assert run(*verify, "--now", "1131", "--max-age", "100").document["reason"] == "signature_too_old"
    assert run(*verify, "--now", "1500", "--require", '"@method" "@path"').status == 0
    refused = run(*verify, "--now", "9999", "--require", '"@query" "host"')
    assert refused.status == 1
    assert [each["reason"] for each in refused.document["violations"]] == [
        "component_not_covered",
        "component_not_covered",
        "signature_expired",
    ]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (DIGEST, "matches"),
        ("sha-256=:AAAA:", "mismatch"),
        ("md5=:AAAA:", "unusable"),
        ("=", "unusable"),
        (None, "absent"),
    ],
)
def test_the_digest_of_the_body_is_information(
    run: Run, tmp_path: Path, key: Path, field: str | None, told: str
) -> None:
    message = tmp_path / "m.http"
    line = b"" if field is None else f"Content-Digest: {field}\r\n".encode()
    message.write_bytes(b"POST /foo HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n" + BODY)
    outcome = run("httpsig", "verify", signed(run, message, key), "--keys", key, "--json")
    assert (outcome.status, outcome.document["content_digest"]) == (0, told)
    assert ("Content-Digest" in outcome.stderr) == (told in ("mismatch", "unusable"))


def test_plain_output_is_a_verdict(run: Run, message: Path, key: Path) -> None:
    made = signed(run, message, key)
    assert run("httpsig", "verify", made, "--keys", key).text.startswith("valid: the signature sig1\n")
    made.write_bytes(made.read_bytes().replace(b"POST", b"PUT"))
    outcome = run("httpsig", "verify", made, "--keys", key)
    assert (outcome.status, outcome.stderr) == (1, "")
    assert outcome.text.startswith("refused: signature_invalid\n")


def test_parameters_of_every_type_are_json(run: Run, message: Path, key: Path) -> None:
    made = signed(run, message, key)
    text = made.read_bytes().replace(b";created=", b';a=tok;b=:aGk=:;c=1.5;d=@99;e=%"x%c3%bc";f=?0;created=')
    made.write_bytes(text)
    document = run("httpsig", "base", made, "--json").document
    values = {"a": "tok", "b": ":aGk=:", "c": "1.5", "d": "@99", "e": "xü", "f": False}
    assert {name: document["parameters"][name] for name in values} == values


def test_from_stdin(run: Run, message: Path, key: Path) -> None:
    data = signed(run, message, key).read_bytes()
    assert run("httpsig", "verify", "-", "--keys", key, stdin=data).status == 0
    assert run("httpsig", "verify", "-", "--keys", "-", stdin=data).status == 2
    assert json.loads(run("httpsig", "verify", "-", "--keys", key, "--json", stdin=b"").stdout)["valid"] is False


def reason_of_verdict(run: Run, message: Path, keys: Path, *more: str) -> str | None:
    outcome = run("httpsig", "verify", message, "--keys", keys, "--json", *more)
    assert outcome.status in (0, 1), outcome
    reason: str | None = outcome.document.get("reason")
    return reason


def test_an_rsa_key_in_pem_is_for_what_is_said(run: Run, tmp_path: Path, message: Path) -> None:
    """CR-09, RF-16: §3.2 step 6: configuration, key and parameter."""
    secret = PrivateKey.generate(PS512, rsa_bits=2_048)
    pem, public, jwk = tmp_path / "k.pem", tmp_path / "p.pem", tmp_path / "p.json"
    pem.write_bytes(secret.to_pem())
    public.write_bytes(secret.public_key.to_pem())
    write_json(jwk, secret.public_key.to_jwk())
    assert run("httpsig", "sign", message, "--key", pem, "--cover", "@method").status == 2
    assert run("httpsig", "sign", message, "--key", pem, "--cover", "@method", "--alg", "ES256").status == 2
    named = signed(run, message, pem, "--alg", "rsa-pss-sha512")
    for keys in (public, jwk):
        assert reason_of_verdict(run, named, keys) is None  # step 6.3, step 6.2
        assert reason_of_verdict(run, named, keys, "--alg", "PS512") is None
        for other in ("RS256", "rsa-v1_5-sha256", "PS256", "ES256", "hmac-sha256"):
            assert reason_of_verdict(run, named, keys, "--alg", other) == "algorithm_mismatch"
    unnamed = signed(run, message, write_json(tmp_path / "k.json", secret.to_jwk()))
    assert reason_of_verdict(run, unnamed, jwk) is None
    assert reason_of_verdict(run, unnamed, public) == "algorithm_missing"
    assert reason_of_verdict(run, unnamed, public, "--alg", "PS512") is None
    assert reason_of_verdict(run, unnamed, public, "--alg", "RS256") == "signature_invalid"


def test_an_algorithm_that_rfc_9421_has_no_name_for(run: Run, tmp_path: Path, message: Path) -> None:
    secret = PrivateKey.generate(PS256, rsa_bits=2_048)
    pem = tmp_path / "k.pem"
    pem.write_bytes(secret.to_pem())
    made = signed(run, message, pem, "--alg", "PS256")
    assert b"alg=" not in made.read_bytes()
    outcome = run("httpsig", "verify", made, "--keys", pem, "--alg", "PS256", "--json")
    assert (outcome.status, outcome.document["algorithm"]) == (0, "PS256")


def test_a_shared_secret_signs_and_verifies(run: Run, tmp_path: Path, message: Path) -> None:
    key = write_json(tmp_path / "k.json", SecretKey.generate(kid="s").to_jwk())
    made = signed(run, message, key, "--alg", "hmac-sha256", "--keyid", "s")
    assert reason_of_verdict(run, made, key) is None
    assert reason_of_verdict(run, made, key, "--alg", "HS384") == "algorithm_mismatch"


def test_a_public_key_is_never_taken_for_a_shared_secret(run: Run, tmp_path: Path, message: Path) -> None:
    """CR-04: the signature says hmac-sha256, and its secret is the file that the verifier is given."""
    for secret in (PrivateKey.generate(RS256, rsa_bits=2_048), PrivateKey.generate(ES256)):
        for data in (secret.public_key.to_pem(), json.dumps(secret.public_key.to_jwk()).encode()):
            (tmp_path / "public").write_bytes(data)
            mac = SecretKey.from_bytes(data, algorithm=HS256)
            made = signed(run, message, write_json(tmp_path / "k.json", mac.to_jwk()), "--alg", "hmac-sha256")
            for more in ((), ("--alg", "hmac-sha256")):
                assert reason_of_verdict(run, made, tmp_path / "public", *more) == "algorithm_mismatch"
