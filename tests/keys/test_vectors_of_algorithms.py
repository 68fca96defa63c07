"""The complete cases of RFC 9421: each base is verified with the RFC's own signature, by the algorithm alone.

That a message gives this base, and is verified as a whole, is for the runner of `signatures`.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from tests import vectors
from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import ALGORITHMS, Algorithm, PrivateKey, PublicKey, SecretKey, algorithm_named

KEYS = {case["id"]: case for case in vectors.load("rfc9421/keys.json")["cases"]}
CASES = {
    case["id"]: case for case in vectors.load("rfc9421/signatures.json")["cases"] if "signature" in case["expected"]
}
# RFC 9421 §3.3: the others have randomness in them.
DETERMINISTIC = ("ed25519", "hmac-sha256", "rsa-v1_5-sha256")


def signing_key(case: dict[str, Any]) -> PrivateKey | SecretKey:
    jwk, algorithm = KEYS[case["key"]]["jwk"], algorithm_named(case["algorithm"])
    return (SecretKey if jwk["kty"] == "oct" else PrivateKey).from_jwk(jwk, algorithm=algorithm)


def test_five_algorithms_are_among_them() -> None:
    used = {case["algorithm"] for case in CASES.values()}
    assert used == {"rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256", "ecdsa-p256-sha256", "ed25519"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_signature_of_the_rfc_verifies_and_is_made_again(case: dict[str, Any]) -> None:
    """CR-21: where signatures are not deterministic, both the RFC's and our own verify."""
    key = signing_key(case)
    base, signature = case["expected"]["base"].encode(), b64decode(case["expected"]["signature"])
    key.verification_key.verify(signature, base)
    made = key.sign(base)
    assert (made == signature) == (case["algorithm"] in DETERMINISTIC)
    key.verification_key.verify(made, base)
    with refused(Reason.SIGNATURE_INVALID):
        key.verification_key.verify(signature, base + b"\n")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda each: each.jose_names[-1])
def test_no_other_algorithm_takes_the_signature(case: dict[str, Any], algorithm: Algorithm) -> None:
    """CR-03, CR-04, CR-09: whatever a verifier is made to believe of the key."""
    published = KEYS[case["key"]]
    own = algorithm_named(case["algorithm"])
    if algorithm is own:
        return
    if algorithm.key_type != own.key_type or own.decided_by_key:
        with refused(Reason.KEY_PRIVATE):
            PublicKey.from_jwk(published["jwk"], algorithm=algorithm)
        kind = SecretKey if own.symmetric else PrivateKey
        with refused(Reason.ALGORITHM_MISMATCH):
            kind.from_jwk(published["jwk"], algorithm=algorithm)
        with refused(Reason.KEY_UNSUPPORTED):
            (PrivateKey if own.symmetric else SecretKey).from_jwk(published["jwk"], algorithm=algorithm)
        if "public_pem" in published:
            with refused(Reason.ALGORITHM_MISMATCH):
                PublicKey.from_pem(published["public_pem"].encode(), algorithm=algorithm)
        return
    kind = SecretKey if algorithm.symmetric else PrivateKey
    key = kind.from_jwk(published["jwk"], algorithm=algorithm).verification_key
    with refused(Reason.SIGNATURE_INVALID):
        key.verify(b64decode(case["expected"]["signature"]), case["expected"]["base"].encode())
