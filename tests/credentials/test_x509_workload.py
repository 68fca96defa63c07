from __future__ import annotations

import ssl

import pytest

from tests.credentials.certificates import authority, leaf, uri
from tests.credentials.tokens import NOW, SPIFFE
from tests.refusals import refused
from wimse.credentials import TrustBundles, X509Credential, X509Snapshot
from wimse.errors import Reason, Unavailable
from wimse.keys import EDDSA, PS256, PrivateKey
from wimse.testing import InMemoryX509Authority

CA = authority(now=NOW)
LEAF = leaf(CA, uri("spiffe://example.org/a"), now=NOW)


def test_a_chain_and_its_key_become_a_credential() -> None:
    credential = X509Credential.from_der([LEAF.der, CA.der], LEAF.key)
    assert (credential.identity, credential.expires_at) == (SPIFFE.workload("/a"), NOW + 3600)
    text = "".join(ssl.DER_cert_to_PEM_cert(der) for der in (LEAF.der, CA.der)).encode()
    assert X509Credential.from_pem(text, LEAF.key) == credential
    assert "key" not in repr(credential)


@pytest.mark.parametrize("other", [PrivateKey.generate(), PrivateKey.generate(EDDSA), PrivateKey.generate(PS256)])
def test_another_key_is_refused(other: PrivateKey) -> None:
    with pytest.raises(Exception, match=r"key_mismatch|algorithm_mismatch") as caught:
        X509Credential.from_der([LEAF.der], other)
    assert caught.value.reason in {Reason.KEY_MISMATCH, Reason.ALGORITHM_MISMATCH}  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", [b"", b"?", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_pem_is_refused(text: bytes) -> None:
    with refused(Reason.CERTIFICATE_MALFORMED):
        X509Credential.from_pem(text, LEAF.key)


def test_a_credential_is_not_used_after_its_end() -> None:
    """WC-47: from the second on in which it ends."""
    credential = X509Credential.from_der([LEAF.der], LEAF.key)
    credential.check_usable(NOW + 3599)
    with pytest.raises(Unavailable) as caught:
        credential.check_usable(NOW + 3600)
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED


def test_a_snapshot_is_a_source() -> None:
    snapshot = X509Snapshot(None, TrustBundles())
    assert snapshot.snapshot() is snapshot
    ca = InMemoryX509Authority(now=NOW)
    source = ca.source("/a", now=NOW, dns_names=["a.example"])
    assert source.credential is not None
    assert source.credential.identity == ca.trust_domain.workload("/a")
    assert dict(source.bundles) == {ca.trust_domain: ca.bundle}
