"""A key in another process signs messages: the example under examples/remote_signer, run for real."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import (
    Fields,
    Request,
    Requirements,
    make_signature,
    make_signature_async,
    prepare_signature,
    run,
    sign,
    sign_async,
    verify,
)
from wimse.keys import ES256, ES512, HS256, PS256, PS512, Algorithm, PrivateKey, PublicKey, SecretKey

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "remote_signer"
REQUEST = Request(
    method="POST", target="/orders?n=1", authority="orders.example", scheme="https", fields=Fields([("date", "now")])
)
COVERED = ("@method", "@target-uri", "date")


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("remote_signer_example", EXAMPLE / "signer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIGNERS = example()
KEYS = {"ES256": PrivateKey.generate(ES256), "PS256": PrivateKey.generate(PS256, rsa_bits=2_048)}


@pytest.fixture(params=KEYS)
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, PublicKey]]:
    key, key_file, path = KEYS[request.param], tmp_path / "key.json", tmp_path / "agent"
    key_file.write_text(json.dumps(key.to_jwk()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(EXAMPLE / "agent.py"), str(key_file), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            key_file.unlink()  # from here on only the agent has it
            yield str(path), key.public_key
        finally:
            process.terminate()


def check(message: Request, key: PublicKey | SecretKey) -> None:
    verified = run(verify(message, Requirements(), now=100), lambda _: key)
    assert verified.covered["@method"] == "POST"
    assert verified.key == key


async def test_a_message_is_signed_in_another_process(agent: tuple[str, PublicKey]) -> None:
    path, public_key = agent
    check(sign(REQUEST, SIGNERS.AgentSigner(path, public_key), COVERED, {"created": 100}), public_key)
    signer = SIGNERS.AsyncAgentSigner(path, public_key)
    many = await asyncio.gather(*(sign_async(REQUEST, signer, COVERED, {"created": 100}) for _ in range(8)))
    for each in many:
        check(each, public_key)
    check(await sign_async(REQUEST, SIGNERS.AgentSigner(path, public_key), COVERED, {"created": 100}), public_key)


async def test_an_agent_that_holds_another_key_is_noticed_before_anything_is_sent(agent: tuple[str, PublicKey]) -> None:
    """RF-15"""
    path, public_key = agent
    other = PrivateKey.generate(ES256).public_key
    assert not other.same_key(public_key)
    with pytest.raises(Unavailable) as caught:
        make_signature(REQUEST, SIGNERS.AgentSigner(path, other), COVERED, {})
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE
    with pytest.raises(Unavailable) as caught:
        await make_signature_async(REQUEST, SIGNERS.AsyncAgentSigner(path, other), COVERED, {})
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE


async def test_an_agent_that_is_not_there_is_told(tmp_path: Path) -> None:
    key = PrivateKey.generate().public_key
    with pytest.raises(Unavailable):
        sign(REQUEST, SIGNERS.AgentSigner(str(tmp_path / "none"), key), COVERED, {})
    with pytest.raises(Unavailable):
        await sign_async(REQUEST, SIGNERS.AsyncAgentSigner(str(tmp_path / "none"), key), COVERED, {})


async def test_keys_in_this_process_sign_asynchronously_too() -> None:
    secret = SecretKey.generate()
    check(await sign_async(REQUEST, secret, COVERED, {"alg": "hmac-sha256"}), secret)
    check(await sign_async(REQUEST, KEYS["ES256"], COVERED, {}, label="mine"), KEYS["ES256"].public_key)


async def test_a_label_is_used_once() -> None:
    signed = await sign_async(REQUEST, KEYS["ES256"], COVERED, {})
    with pytest.raises(Refused) as caught:
        await sign_async(signed, KEYS["ES256"], COVERED, {})
    assert caught.value.reason is Reason.SIGNATURE_LABEL_DUPLICATED


def test_a_signature_is_prepared_and_finished_in_two_steps() -> None:
    prepared = prepare_signature(REQUEST, KEYS["ES256"], COVERED, {"created": 1}, label="a")
    made = prepared.made(KEYS["ES256"].sign(prepared.base.data))
    assert made.base is prepared.base
    assert made.signature_input.startswith('a=("@method"')
    with pytest.raises(ConfigurationError):
        prepare_signature(REQUEST, KEYS["ES256"], COVERED, {}, label="No Key").made(b"")


@pytest.mark.parametrize("algorithm", [ES512, PS256], ids=["ES512", "PS256"])
def test_an_algorithm_without_a_name_in_the_registry_has_no_parameter_alg(algorithm: Algorithm) -> None:
    """RF-16, RF-18: RFC 9421 §3.3.7."""
    key = KEYS["PS256"] if algorithm is PS256 else PrivateKey.generate(algorithm)
    check(sign(REQUEST, key, COVERED, {}), key.public_key)
    for name in (algorithm.jose_name, "rsa-pss-sha512", ""):
        with pytest.raises(ConfigurationError):
            sign(REQUEST, key, COVERED, {"alg": name})


def refusal(message: Request, key: object, requirements: Requirements | None = None) -> Reason:
    with pytest.raises(Refused) as caught:
        run(verify(message, requirements or Requirements(), now=100), lambda _: key)
    return caught.value.reason


def test_key_parameter_and_allowed_set_agree() -> None:
    """CR-03, CR-04, CR-09, RF-16: §3.2 step 6."""
    native = KEYS["PS256"].native
    pss = PrivateKey(native, algorithm=PS512)
    signed = sign(REQUEST, pss, COVERED, {"alg": "rsa-pss-sha512"})
    check(signed, pss.public_key)
    for other in (KEYS["PS256"].public_key, KEYS["ES256"].public_key, SecretKey.generate()):
        assert refusal(signed, other) is Reason.ALGORITHM_MISMATCH
    assert refusal(signed, pss.public_key, Requirements(algorithms=frozenset({PS256, HS256}))) is (
        Reason.ALGORITHM_NOT_ALLOWED
    )
    without = sign(REQUEST, pss, COVERED, {})
    for other in (KEYS["PS256"].public_key, KEYS["ES256"].public_key, SecretKey.generate()):
        assert refusal(without, other) is Reason.SIGNATURE_INVALID
    for nothing in (None, b"secret", KEYS["ES256"]):
        assert refusal(without, nothing) is Reason.KEY_UNKNOWN


def test_a_mac_with_the_public_key_as_secret_is_refused() -> None:
    """CR-04: the attacker says hmac-sha256, and the verifier has a public key."""
    key = KEYS["PS256"].public_key
    forged = sign(REQUEST, SecretKey.from_bytes(key.to_pem(), algorithm=HS256), COVERED, {"alg": "hmac-sha256"})
    assert refusal(forged, key) is Reason.ALGORITHM_MISMATCH
    silent = sign(REQUEST, SecretKey.from_bytes(key.to_pem(), algorithm=HS256), COVERED, {})
    assert refusal(silent, key) is Reason.SIGNATURE_INVALID
