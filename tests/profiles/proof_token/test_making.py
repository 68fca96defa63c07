from __future__ import annotations

from dataclasses import replace

import pytest

from tests.keys.pool import OTHER_RSA, name_of, private_key
from tests.profiles.proof_token.forge import (
    ACCESS_TOKEN,
    AUDIENCE,
    CALLER,
    DOMAIN,
    NOW,
    SETTINGS,
    TOKEN_ID,
    TXN_TOKEN,
    WIMSE,
    decoded,
    judge,
    new_key,
    verified_wit,
)
from tests.refusals import refused
from wimse.credentials import UnverifiedWIT, WorkloadCredential, issue_wit, verify_wit
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.keys import EDDSA, PUBLIC_KEY_ALGORITHMS, Algorithm, PrivateKey, PublicKey
from wimse.profiles.proof_token import (
    REVISION_01,
    REVISION_02,
    ProofRevision,
    TokenHashes,
    make_proof,
    token_hash,
)


def make(
    credential: WorkloadCredential = CALLER,
    *,
    audience: str = AUDIENCE,
    token_id: str = TOKEN_ID,
    now: int = NOW,
    revision: ProofRevision = REVISION_02,
    tokens: TokenHashes | None = None,
) -> str:
    return make_proof(
        credential,
        audience=audience,
        now=now,
        token_id=token_id,
        revision=revision,
        settings=SETTINGS,
        tokens=tokens,
    )


def test_a_proof_says_what_it_must_and_no_more() -> None:
    """WPTC-01, WPTC-02, WPTC-04, WPTC-05, WPTC-07, WPTC-08, WPTC-40: no private claims."""
    header, claims = decoded(make())
    assert header == {"alg": "ES256", "typ": "wpt+jwt"}
    assert claims == {"aud": AUDIENCE, "iat": NOW, "exp": NOW + 60, "jti": TOKEN_ID, "wth": token_hash(CALLER.wit)}


def test_what_is_beside_it_is_bound() -> None:
    """WPTC-09, WPTC-10, WPTC-11, WPTC-12."""
    tokens = TokenHashes(
        access_token=token_hash(ACCESS_TOKEN), txn_token=token_hash(TXN_TOKEN), others={"x-user": token_hash("u")}
    )
    _, claims = decoded(make(revision=REVISION_01, tokens=tokens))
    assert claims["ath"] == "CL4wjfpRmNf-bdYIbYLnV9d5rMARGwKYE10wUwzC0jI"  # as in the draft's own example
    assert claims["tth"] == token_hash(TXN_TOKEN)
    assert claims["oth"] == {"x-user": token_hash("u")}


def test_revision_02_binds_no_access_token() -> None:
    """WPTC-37: there is none that it could stand beside."""
    with pytest.raises(ConfigurationError):
        make(tokens=TokenHashes(access_token=token_hash(ACCESS_TOKEN)))


def test_a_hash_is_over_ascii() -> None:
    assert token_hash("") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    with refused(Reason.FIELD_MALFORMED):
        token_hash("ü")


def test_a_proof_does_not_outlive_its_wit() -> None:
    """WPTC-33, WPTC-34."""
    short = DOMAIN.credential("/caller", now=NOW, lifetime=20)
    assert decoded(make(short))[1]["exp"] == NOW + 20
    for now in (NOW + 20, NOW + 21):
        with pytest.raises(Unavailable) as caught:
            make(short, now=now)
        assert caught.value.reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.parametrize("token_id", ["", "i" * 21])
def test_a_jti_has_128_bits(token_id: str) -> None:
    """WPTC-07."""
    with pytest.raises(ConfigurationError):
        make(token_id=token_id)


@pytest.mark.parametrize("audience", ["", "https://a/?x=1", "https://a/#x", "https://a/?", "https://a/#"])
def test_an_audience_has_neither_query_nor_fragment(audience: str) -> None:
    """WPTC-04."""
    with pytest.raises(ConfigurationError):
        make(audience=audience)


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS, ids=name_of)
def test_every_algorithm_makes_proofs(algorithm: Algorithm) -> None:
    """WPTC-03: named as the WIT names it."""
    credential = WIMSE.credential("/caller", now=NOW, key=private_key(algorithm, OTHER_RSA))
    assert decoded(make(credential))[0]["alg"] == algorithm.jose_name
    assert judge(make(credential), wit=verified_wit(credential, WIMSE)).token_id == TOKEN_ID


def named(name: str) -> tuple[WorkloadCredential, PrivateKey]:
    """A credential whose WIT calls its Ed25519 key's algorithm by `name`."""
    key = PrivateKey.generate(EDDSA)
    public = replace(key.public_key, algorithm=replace(EDDSA, jose_name=name))
    public_jwk = {**key.public_key.to_jwk(), "alg": name}
    wit = issue_wit(
        subject=WIMSE.identity("/caller"),
        workload_key=key.public_key,
        signer=WIMSE.key,
        issued_at=NOW,
        expires_at=NOW + 300,
        issuer="https://issuer",
        token_id="1",
    )
    assert public.to_jwk() == public_jwk
    header, claims = decoded(wit)
    from tests.profiles.proof_token.forge import forge_proof

    text = forge_proof({**claims, "cnf": {"jwk": public_jwk}}, header=header, key=WIMSE.key)
    return WorkloadCredential.from_wit(text, key), key


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_alg_is_the_very_string_of_the_wit(name: str) -> None:
    """WPTC-03, WPTC-16."""
    credential, _ = named(name)
    token = make(credential)
    assert decoded(token)[0]["alg"] == name
    wit = verify_wit(UnverifiedWIT.parse(credential.wit), WIMSE.bundle, now=NOW)
    assert judge(token, wit=wit).identity == WIMSE.identity("/caller")


def test_a_wit_that_names_another_algorithm_is_not_proved() -> None:
    credential, _ = named("EdDSA")
    wit = WIMSE.credential("/other", now=NOW).wit
    with refused(Reason.KEY_MISMATCH):
        make(WorkloadCredential(credential.identity, wit, credential.key, NOW + 300))


class WrongSigner:
    """A signer elsewhere that signs with another key than it says."""

    def __init__(self) -> None:
        self.public_key: PublicKey = CALLER.key.public_key

    def sign(self, data: bytes) -> bytes:
        return new_key().sign(data)


def test_a_remote_signer_that_errs_is_found_out() -> None:
    with pytest.raises(Unavailable) as caught:
        make(replace(CALLER, key=WrongSigner()))
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE
