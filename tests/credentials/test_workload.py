from __future__ import annotations

import pytest

from tests.credentials.tokens import ABSENT, NOW, WORKLOAD, bundle, wit, workload
from tests.refusals import refused
from wimse.credentials import TrustBundles, WorkloadCredential, WorkloadSnapshot, WorkloadSource
from wimse.errors import Reason, Unavailable
from wimse.keys import PrivateKey


def test_a_token_and_its_key_are_joined() -> None:
    text = wit()
    credential = WorkloadCredential.from_wit(text, WORKLOAD)
    assert (credential.identity, credential.wit, credential.expires_at) == (workload(), text, NOW + 600)
    assert text not in repr(credential)


@pytest.mark.parametrize("cnf", [ABSENT, None, {}, {"jwk": None}, {"jwk": PrivateKey.generate().public_key.to_jwk()}])
def test_a_token_for_another_key_is_refused(cnf: object) -> None:
    """WC-12, WT-36"""
    with refused(Reason.KEY_MISMATCH):
        WorkloadCredential.from_wit(wit(cnf=cnf), WORKLOAD)


def test_a_token_without_an_end_is_refused() -> None:
    with refused(Reason.TOKEN_CLAIM):
        WorkloadCredential.from_wit(wit(exp=ABSENT), WORKLOAD)
    with refused(Reason.TOKEN_SUBJECT):
        WorkloadCredential.from_wit(wit(sub=1), WORKLOAD)
    with refused(Reason.TOKEN_MALFORMED):
        WorkloadCredential.from_wit("", WORKLOAD)


def test_an_expired_credential_does_not_sign() -> None:
    """WC-47, TM-09: at exp itself it is over, with no leeway for ourselves."""
    credential = WorkloadCredential.from_wit(wit(), WORKLOAD)
    credential.check_usable(NOW + 599)
    with pytest.raises(Unavailable) as caught:
        credential.check_usable(NOW + 600)
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED


def test_a_source_hands_out_snapshots() -> None:
    snapshot = WorkloadSnapshot(WorkloadCredential.from_wit(wit(), WORKLOAD), TrustBundles(bundle()))

    class Fixed:
        def snapshot(self) -> WorkloadSnapshot:
            return snapshot

    source: WorkloadSource = Fixed()
    assert source.snapshot() is snapshot
