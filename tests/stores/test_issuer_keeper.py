from __future__ import annotations

import base64
import logging
import pickle
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.stores.issuers import ISSUER, KEK, NAME, NOW, ROTATION, SEALER, keeper, sqlite
from wimse.credentials import TrustDomain, UnverifiedX509SVID, issue_x509_authority, verify_x509_svid
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import (
    Authority,
    EncryptedSealer,
    KeyEncryptionKey,
    KeyUse,
    PlaintextSealer,
    UpstreamAuthority,
)
from wimse.keys import PrivateKey
from wimse.stores.issuer import KeyKeeper, SQLIssuerStore, adopt_backup, back_up_sqlite, restore_sqlite

SPIFFE = TrustDomain("spiffe", NAME)
SUBJECT = SPIFFE.workload("/payments")
OTHER_KEK = KeyEncryptionKey(bytes(range(100, 132)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLIssuerStore]:
    opened = sqlite(tmp_path / "issuer.db")
    yield opened
    opened.close()


def wit(authority: Authority, now: int) -> str:
    return authority.issue_wit(SUBJECT, PrivateKey.generate().public_key, now=now, token_id="1").text


def active(keys: KeyKeeper, use: KeyUse = KeyUse.WIT) -> str:
    record = keys.key_set.active(use)
    assert record is not None
    return record.kid


def test_a_restart_goes_on_with_the_same_keys(store: SQLIssuerStore) -> None:
    first = keeper(store)
    before = first.start(now=NOW)
    again = keeper(store).start(now=NOW + 1)
    assert again.wit_keys == before.wit_keys
    assert again.active[KeyUse.WIT].key.public_key == before.active[KeyUse.WIT].key.public_key


def test_refreshing_costs_nothing_when_nothing_is_due(store: SQLIssuerStore) -> None:
    keys = keeper(store)
    keys.start(now=NOW)
    revision = store.revision()
    for second in range(1, 60):
        keys.refresh(now=NOW + second)
    assert store.revision() == revision
    keys.refresh(now=NOW + 60)
    assert store.revision() > revision


def test_a_store_that_is_not_reached_stops_the_signing_in_time(store: SQLIssuerStore) -> None:
    """IS-25: another server may have revoked what this one would sign with."""
    authority = Authority(SPIFFE, keeper(store).start(now=NOW), settings=ISSUER)
    wit(authority, NOW + 3)
    with pytest.raises(Unavailable) as refusal:
        wit(authority, NOW + 4)
    assert refusal.value.reason is Reason.ISSUER_UNAVAILABLE
    with pytest.raises(Unavailable):
        authority.issue_jwt_svid(SUBJECT, ["a"], now=NOW + 4)


def test_an_older_state_does_not_replace_a_newer_one(store: SQLIssuerStore) -> None:
    keys = keeper(store)
    before = keys.start(now=NOW)
    authority = Authority(SPIFFE, before, settings=ISSUER)
    old = active(keys)
    authority.install(keys.refresh(now=NOW + 30))
    authority.install(keys.revoke(old, now=NOW + 30))
    assert authority.distrusts(old)
    assert old not in authority.bundles()[SPIFFE].to_json().decode()
    with pytest.raises(Unavailable):
        authority.install(before)


def test_without_a_key_that_may_sign_nothing_is_signed(store: SQLIssuerStore) -> None:
    """IS-25: revoked, and the successor is not published for long enough."""
    keys = keeper(store)
    authority = Authority(SPIFFE, keys.start(now=NOW), settings=ISSUER)
    authority.install(keys.revoke(active(keys), now=NOW + 1))
    with pytest.raises(Unavailable, match="not published for long enough"):
        wit(authority, NOW + 1)
    authority.install(keys.refresh(now=NOW + ROTATION.publication_delay))
    wit(authority, NOW + ROTATION.publication_delay)


def test_a_token_lives_no_longer_than_its_key_was_prepared_for(store: SQLIssuerStore) -> None:
    """IS-24, IS-26: an operator who raises the lifetime gets it with the next key; until then it is clamped."""
    longer = replace(ISSUER, wit_lifetime=timedelta(minutes=10))
    keys = KeyKeeper(store, SEALER, NAME, issuer=longer, rotation=ROTATION)
    keeper(store).start(now=NOW)
    authority = Authority(SPIFFE, keys.start(now=NOW), settings=longer)
    token = authority.issue_wit(SUBJECT, PrivateKey.generate().public_key, now=NOW, token_id="1")
    assert token.expires_at == NOW + 20


def test_a_start_with_a_clock_that_has_gone_back_is_refused(store: SQLIssuerStore) -> None:
    """IS-34: one day, also when the last rotation is longer ago than that."""
    keys = keeper(store)
    keys.start(now=NOW)
    keys.refresh(now=NOW + 50)
    with pytest.raises(ConfigurationError, match="clock is 86400 seconds behind"):
        keeper(store).start(now=NOW + 50 - 86_400)
    with pytest.raises(Unavailable):
        keys.refresh(now=NOW - 86_400)
    keeper(store).start(now=NOW + 50)


def test_no_private_key_is_in_the_database_file(store: SQLIssuerStore, tmp_path: Path) -> None:
    """IS-28, WC-45."""
    keys = keeper(store).start(now=NOW)
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for signing in keys.active.values():
        secret = signing.key.native.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
        assert secret not in everything
        assert signing.key.to_jwk()["d"].encode() not in everything


def test_nothing_shows_a_key(store: SQLIssuerStore, caplog: pytest.LogCaptureFixture) -> None:
    """IS-28: neither reprs nor logs nor pickles."""
    caplog.set_level(logging.DEBUG)
    keys = keeper(store)
    opened = keys.start(now=NOW)
    shown = repr((opened, keys.key_set, store, SEALER, KEK, store.load())) + caplog.text
    for record in keys.key_set.keys:
        assert repr(record.sealed)[2:-1] not in shown
    for signing in opened.active.values():
        assert signing.key.to_jwk()["d"] not in shown
    for secret in (opened, SEALER, KEK):
        with pytest.raises(TypeError):
            pickle.dumps(secret)


def test_development_without_encryption_is_said_loudly_and_never_mixed(
    store: SQLIssuerStore, caplog: pytest.LogCaptureFixture
) -> None:
    KeyKeeper(store, PlaintextSealer(), NAME, issuer=ISSUER, rotation=ROTATION).start(now=NOW)
    assert "WITHOUT ENCRYPTION" in caplog.text
    with pytest.raises(ConfigurationError, match="development mode"):
        keeper(store).start(now=NOW)


def test_encrypted_keys_do_not_open_without_the_key(store: SQLIssuerStore) -> None:
    keeper(store).start(now=NOW)
    with pytest.raises(ConfigurationError, match="no key-encryption key is configured"):
        KeyKeeper(store, PlaintextSealer(), NAME).start(now=NOW)
    with pytest.raises(ConfigurationError, match="which is not configured"):
        keeper(store, EncryptedSealer(NAME, OTHER_KEK)).start(now=NOW)


def test_a_new_key_encryption_key_takes_over_and_the_old_one_is_not_needed_any_more(store: SQLIssuerStore) -> None:
    before = keeper(store).start(now=NOW)
    after = keeper(store, EncryptedSealer(NAME, OTHER_KEK, (KEK,))).start(now=NOW)
    assert after.wit_keys == before.wit_keys
    keeper(store, EncryptedSealer(NAME, OTHER_KEK)).start(now=NOW)
    with pytest.raises(ConfigurationError):
        keeper(store).start(now=NOW)


SWAPS = {
    "the ciphertext of another key": "UPDATE wimse_signing_keys SET sealed ="
    " (SELECT sealed FROM wimse_signing_keys WHERE use = 'jwt' AND state = 'active') WHERE use = 'wit'",
    "a changed byte": "UPDATE wimse_signing_keys SET sealed = substr(sealed, 1, length(sealed) - 1)",
    "nothing": "UPDATE wimse_signing_keys SET sealed = x''",
    "another kid": "UPDATE wimse_signing_keys SET kid = 'x' || kid",
    "another use": "UPDATE wimse_signing_keys SET use = CASE use WHEN 'wit' THEN 'jwt' ELSE 'wit' END"
    " WHERE state = 'prepared' AND use != 'x509'",
    "another public half": "UPDATE wimse_signing_keys SET document ="
    " (SELECT document FROM wimse_signing_keys WHERE use = 'jwt' AND state = 'active') WHERE use = 'wit'",
    "another certificate": "UPDATE wimse_signing_keys SET document = replace(document, json_extract(document,"
    " '$.chain[0]'), (SELECT json_extract(document, '$.chain[0]') FROM wimse_signing_keys WHERE use = 'x509' AND"
    " state = 'prepared')) WHERE use = 'x509' AND state = 'active'",
}


@pytest.mark.parametrize("statement", SWAPS.values(), ids=SWAPS.keys())
def test_a_key_that_is_not_what_its_record_says_stops_the_start(
    store: SQLIssuerStore, tmp_path: Path, statement: str
) -> None:
    """IS-33: kid, public half, private half, use, trust domain and certificate belong together."""
    keeper(store).start(now=NOW)
    with sqlite3.connect(tmp_path / "issuer.db") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(ConfigurationError, match="stored"):
        keeper(store).start(now=NOW)


def test_a_key_of_another_trust_domain_does_not_open(store: SQLIssuerStore) -> None:
    keeper(store).start(now=NOW)
    with pytest.raises(ConfigurationError, match="belongs elsewhere"):
        keeper(store, EncryptedSealer("other.org", KEK)).start(now=NOW)


def test_after_a_restore_the_active_key_is_published_and_nothing_unpublished_signs(tmp_path: Path) -> None:
    """IS-25, IS-33: validators hold the bundle of today, the backup has the keys of an earlier day."""
    database, backup = tmp_path / "issuer.db", tmp_path / "backup.db"
    store = sqlite(database)
    keys = keeper(store)
    keys.start(now=NOW)
    back_up_sqlite(database, backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    for second in range(0, 200, 10):
        keys.refresh(now=NOW + second)
    sequence = keys.key_set.sequence
    store.close()
    for path in tmp_path.glob("issuer.db*"):
        path.unlink()
    restore_sqlite(backup, database)
    store = sqlite(database, now=NOW + 200)
    adopt_backup(store, now=NOW + 200)
    keys = keeper(store)
    authority = Authority(SPIFFE, keys.start(now=NOW + 200), settings=ISSUER)
    assert keys.key_set.sequence > sequence
    with pytest.raises(Unavailable):
        wit(authority, NOW + 200)
    later = NOW + 200 + 2 * ROTATION.publication_delay
    for now in range(NOW + 200, later + 1):
        authority.install(keys.refresh(now=now))
    assert active(keys) in {each.kid for each in authority.bundles()[SPIFFE].wit_keys}
    wit(authority, later)
    store.close()


def test_a_backup_overwrites_nothing_and_a_damaged_one_is_not_restored(tmp_path: Path) -> None:
    database, backup = tmp_path / "issuer.db", tmp_path / "backup.db"
    store = sqlite(database)
    keeper(store).start(now=NOW)
    back_up_sqlite(database, backup)
    with pytest.raises(ConfigurationError, match="there already"):
        back_up_sqlite(database, backup)
    with pytest.raises(ConfigurationError, match="is there already"):
        restore_sqlite(backup, database)
    store.close()
    content = bytearray(backup.read_bytes())
    content[200:-200] = b"\xff" * (len(content) - 400)
    backup.write_bytes(content)
    with pytest.raises((ConfigurationError, Unavailable)):
        restore_sqlite(backup, tmp_path / "new.db")
    there = {path.name for path in tmp_path.iterdir()}
    assert there - {".issuer.db.lock", ".new.db.lock"} == {"backup.db", "issuer.db"}
    backup.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to others"):
        restore_sqlite(backup, tmp_path / "new.db")


# ------------------------------------------------------------------------------------------- an upstream authority


def upstream(*, path_length: int | None = 1, days: int = 30, key: PrivateKey | None = None) -> UpstreamAuthority:
    root_key, key = PrivateKey.generate(), key or PrivateKey.generate()
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("root", "upstream")]

    def certificate(subject: int, holder: PrivateKey, length: int | None) -> x509.Certificate:
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "digital_signature",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(names[subject])
            .issuer_name(names[0])
            .public_key(holder.public_key.native)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(NOW - 60, UTC))
            .not_valid_after(datetime.fromtimestamp(NOW, UTC) + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(holder.public_key.native), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key.native), critical=False
            )
            .sign(
                root_key.native,
                None
                if not hasattr(root_key.native, "curve")
                else __import__("cryptography.hazmat.primitives.hashes", fromlist=["SHA256"]).SHA256(),
            )
        )

    from cryptography.hazmat.primitives.serialization import Encoding

    root, middle = certificate(0, root_key, None), certificate(1, key, path_length)
    pem = [each.public_bytes(Encoding.PEM) for each in (root, middle)]
    return UpstreamAuthority.parse(chain=pem[1], key=key.to_pem(), roots=pem[0])


def test_under_an_upstream_authority_the_chain_is_handed_out_and_its_root_is_published(store: SQLIssuerStore) -> None:
    above = upstream()
    keys = KeyKeeper(store, SEALER, NAME, issuer=ISSUER, rotation=ROTATION, upstream=above)
    authority = Authority(SPIFFE, keys.start(now=NOW), settings=ISSUER)
    for now in (NOW, NOW + 60):  # the second one after a rotation
        authority.install(keys.refresh(now=now))
        issued = authority.issue_x509_svid(SUBJECT, PrivateKey.generate().public_key, now=now, dns_names=["a.example"])
        bundle = authority.bundles()[SPIFFE]
        assert bundle.x509_authorities == above.roots
        assert len(issued.intermediates) == 2
        chain = (issued.der, *issued.intermediates)
        assert issued.chain_der == b"".join(chain)
        verified = verify_x509_svid(UnverifiedX509SVID.parse(list(chain)), bundle, now=now)
        assert verified.identity == SUBJECT


def test_an_upstream_authority_that_may_not_certify_ours_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="may not certify"):
        upstream(path_length=0)


def test_an_upstream_authority_that_ends_too_soon_prepares_nothing(store: SQLIssuerStore) -> None:
    ended = replace(upstream(), not_after=NOW + 10)
    with pytest.raises(ConfigurationError, match="ends before"):
        KeyKeeper(store, SEALER, NAME, issuer=ISSUER, rotation=ROTATION, upstream=ended).start(now=NOW)


def test_what_signs_goes_on_when_the_upstream_authority_has_ended(
    store: SQLIssuerStore, caplog: pytest.LogCaptureFixture
) -> None:
    KeyKeeper(store, SEALER, NAME, issuer=ISSUER, rotation=ROTATION, upstream=upstream()).start(now=NOW)
    ended = replace(upstream(), not_after=NOW + 10)
    keys = KeyKeeper(store, SEALER, NAME, issuer=ISSUER, rotation=ROTATION, upstream=ended)
    keys.start(now=NOW)
    authority = Authority(SPIFFE, keys.refresh(now=NOW + 60), settings=ISSUER)
    assert "no x509 key can be prepared" in caplog.text
    authority.issue_x509_svid(SUBJECT, PrivateKey.generate().public_key, now=NOW + 60)


@pytest.mark.parametrize("part", ["chain", "key", "roots"])
def test_a_file_of_the_upstream_authority_that_is_not_pem_is_refused(part: str) -> None:
    key = PrivateKey.generate().to_pem()
    files = {"chain": b"", "key": key, "roots": b"", part: b"nonsense"}
    with pytest.raises(ConfigurationError, match="upstream"):
        UpstreamAuthority.parse(**files)


def test_a_certificate_of_a_version_that_does_not_exist_is_no_upstream_authority() -> None:
    """The library has an error of another family for it."""
    key = PrivateKey.generate()
    der = issue_x509_authority(SPIFFE, key, not_before=NOW, not_after=NOW + 60)
    # RFC 5280 §4.1.2.1: [0] INTEGER 2, which is v3.
    wrong = base64.encodebytes(der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020112"), 1))
    pem = b"-----BEGIN CERTIFICATE-----\n" + wrong + b"-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigurationError, match="chain"):
        UpstreamAuthority.parse(chain=pem, key=key.to_pem(), roots=pem)


def test_a_key_that_is_not_there_is_refused(store: SQLIssuerStore) -> None:
    keys = keeper(store)
    keys.start(now=NOW)
    with pytest.raises(Refused) as refusal:
        keys.revoke("nobody", now=NOW)
    assert refusal.value.reason is Reason.KEY_UNKNOWN
