"""joserfc reads the proofs that we make, and we read those that it makes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from joserfc.errors import JoseError

from tests import vectors
from tests.credentials.test_second_witness import NAMED, read_by_joserfc, written_by_joserfc
from tests.keys.pool import OTHER_RSA, name_of, private_key
from tests.profiles.proof_token.forge import AUDIENCE, NOW, SETTINGS, TOKEN_ID, WIMSE, judge, verified_wit
from tests.profiles.proof_token.test_making import make
from tests.refusals import refused
from wimse.credentials import WorkloadCredential
from wimse.errors import Reason
from wimse.keys import PUBLIC_KEY_ALGORITHMS, Algorithm
from wimse.profiles.proof_token import REVISION_01, TokenHashes, make_proof

KEYS = {algorithm: private_key(algorithm, OTHER_RSA) for algorithm in PUBLIC_KEY_ALGORITHMS}
CREDENTIALS = {algorithm: WIMSE.credential("/caller", now=NOW, key=key) for algorithm, key in KEYS.items()}


def by_hand(value: str) -> str:
    """The hash of §2, by nothing of ours."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode("ascii")).digest()).decode("ascii").rstrip("=")


def claims_by_hand(credential: WorkloadCredential) -> dict[str, Any]:
    return {"aud": AUDIENCE, "iat": NOW, "exp": NOW + 60, "jti": TOKEN_ID, "wth": by_hand(credential.wit)}


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS, ids=name_of)
def test_joserfc_verifies_our_proofs(algorithm: Algorithm) -> None:
    """WPTC-01, WPTC-02, WPTC-03, WPTC-07, WPTC-08, WPTC-09, WPTC-10, WPTC-11."""
    credential = CREDENTIALS[algorithm]
    tokens = TokenHashes(access_token=by_hand("a"), txn_token=by_hand("b"), others={"x-user-token": by_hand("c")})
    text = make_proof(
        credential,
        audience=AUDIENCE,
        now=NOW,
        token_id=TOKEN_ID,
        revision=REVISION_01,
        settings=SETTINGS,
        tokens=tokens,
    )
    token = read_by_joserfc(text, {**credential.key.public_key.to_jwk()})
    assert token.header == {"alg": algorithm.jose_name, "typ": "wpt+jwt"}
    bound = {"ath": by_hand("a"), "tth": by_hand("b"), "oth": {"x-user-token": by_hand("c")}}
    assert token.claims == {**claims_by_hand(credential), **bound}
    with pytest.raises(JoseError):
        read_by_joserfc(text[:-12] + "AAAAAAAAAAAA", {**credential.key.public_key.to_jwk()})


@pytest.mark.parametrize(
    ("algorithm", "name"), NAMED, ids=lambda each: each if isinstance(each, str) else name_of(each)
)
def test_we_verify_proofs_of_joserfc(algorithm: Algorithm, name: str) -> None:
    """WPTC-16, WPTC-17: and only where the name is the one of the WIT."""
    credential = CREDENTIALS[algorithm]
    text = written_by_joserfc({"alg": name, "typ": "wpt+jwt"}, claims_by_hand(credential), {**KEYS[algorithm].to_jwk()})
    wit = verified_wit(credential, WIMSE)
    if name == algorithm.jose_name:
        assert judge(text, wit=wit).token_id == TOKEN_ID
    else:
        with refused(Reason.ALGORITHM_MISMATCH):
            judge(text, wit=wit)


def test_joserfc_agrees_with_the_published_proof() -> None:
    case = vectors.cases("proofs")["wimse/proof-tokens:request-01"]
    lines = dict(line.split(": ", 1) for line in case["message"].partition("\n\n")[0].split("\n")[1:])
    issuer = {name: value for name, value in case["issuer_key"].items() if name != "d"}
    wit = read_by_joserfc(lines["Workload-Identity-Token"], issuer)
    proof = read_by_joserfc(lines["Workload-Proof-Token"], wit.claims["cnf"]["jwk"])
    assert proof.claims == case["expected"]["claims"]
    assert proof.claims["wth"] == by_hand(lines["Workload-Identity-Token"])
    assert proof.claims["ath"] == by_hand(lines["Authorization"].removeprefix("Bearer "))


def test_both_write_the_same_claims() -> None:
    credential = CREDENTIALS[PUBLIC_KEY_ALGORITHMS[0]]
    ours = read_by_joserfc(make(credential), {**credential.key.public_key.to_jwk()})
    assert ours.claims == claims_by_hand(credential)
