"""`wimse key`: what is written where, and what is never shown."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Run, process
from wimse.keys import PrivateKey, load_keys, load_private_key, load_public_keys


@pytest.mark.parametrize("form", ["jwk", "pem"])
@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"])
def test_generate(run: Run, tmp_path: Path, algorithm: str, form: str) -> None:
    outcome = run("key", "generate", "--algorithm", algorithm, "--format", form, "--out", "k")
    assert outcome.status == 0
    path = tmp_path / "k"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_private_key(path.read_bytes())
    assert algorithm in key.algorithm.jose_names
    secret = key.to_jwk()["d"]
    assert secret not in outcome.text
    assert key.public_key.thumbprint() in outcome.text
    written = load_private_key(run("key", "generate", "--algorithm", algorithm, "--format", form).stdout)
    assert algorithm in written.algorithm.jose_names


@pytest.mark.parametrize("algorithm", ["PS256", "RS512", "rsa-v1_5-sha256"])
def test_an_rsa_key_is_generated_shown_and_converted(run: Run, tmp_path: Path, algorithm: str) -> None:
    assert run("key", "generate", "--algorithm", algorithm, "--bits", "2048", "--out", "k").status == 0
    key = load_private_key((tmp_path / "k").read_bytes())
    assert algorithm in (key.algorithm.jose_name, key.algorithm.http_name)
    secret = key.to_jwk()
    shown = run("key", "show", "k", "--json")
    assert shown.document["keys"][0]["jwk"] == key.public_key.to_jwk()
    assert not any(secret[name] in shown.text for name in ("d", "p", "q", "dp", "dq", "qi"))
    assert run("key", "convert", "k", "--to", "pem", "--out", "p").status == 0
    assert run("key", "show", "p").status == 2  # PEM does not say what it is for
    assert run("key", "show", "p", "--alg", "ES256").status == 2
    made = run("key", "convert", "p", "--to", "jwk", "--alg", algorithm)
    assert load_private_key(made.stdout).public_key.same_key(key.public_key)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "hmac-sha256"])
def test_a_shared_secret_is_a_private_matter(run: Run, tmp_path: Path, algorithm: str) -> None:
    """CR-04: it has no public half, and no PEM."""
    assert run("key", "generate", "--algorithm", algorithm, "--kid", "s", "--out", "k").status == 0
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    jwk = json.loads((tmp_path / "k").read_bytes())
    for outcome in (run("key", "show", "k"), run("key", "show", "k", "--json")):
        assert outcome.status == 0
        assert jwk["k"] not in outcome.text
        assert "thumbprint" not in outcome.text
    assert run("key", "generate", "--algorithm", algorithm, "--format", "pem").status == 2
    assert run("key", "convert", "k", "--to", "pem").status == 2
    assert run("key", "convert", "k", "--to", "jwk", "--public").status == 2
    assert run("key", "convert", "k", "--to", "jwks", "--out", "set").status == 0
    assert stat.S_IMODE((tmp_path / "set").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "set").read_bytes()) == {"keys": [jwk]}


def test_a_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert process("key", "generate", "--out", "k", cwd=tmp_path).status == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_nothing_is_replaced_and_no_link_is_followed(run: Run, tmp_path: Path) -> None:
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    for target in (there, link):
        outcome = run("key", "generate", "--out", target)
        assert (outcome.status, outcome.stdout) == (1, b"")
        assert "is there already" in outcome.stderr
        assert "is there already" in run("key", "generate", "--out", target, "--json").document["error"]
    assert there.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert run("key", "generate", "--out", tmp_path / "no" / "folder").status == 1
    assert run("key", "generate", "--out", "nul\0").status in (1, 2)


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = run("key", "generate", "--out", "k")
    assert (outcome.status, outcome.stdout) == (1, b"")
    assert "No space left" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_kid_and_a_document(run: Run) -> None:
    document = run("key", "generate", "--kid", "k1", "--json").document
    assert document["private"] is True
    key = load_private_key(document["data"].encode())
    assert (key.kid, document["keys"][0]["kid"]) == ("k1", "k1")
    assert document["keys"][0]["jwk"] == key.public_key.to_jwk()
    assert run("key", "generate", "--kid", "k1", "--format", "pem").status == 2
    assert run("key", "generate", "--algorithm", "none").status == 2
    assert run("key", "generate", "--algorithm", "HS1").status == 2
    assert run("key", "generate", "--bits", "2048").status == 2
    assert run("key", "generate", "--algorithm", "PS256", "--bits", "1024").status == 2
    assert run("key", "generate", "--format", "der").status == 2


def private_parts(value: Any) -> bool:
    return "d" in value if isinstance(value, dict) else any(map(private_parts, value))


def test_show_never_shows_a_private_part(run: Run, tmp_path: Path) -> None:
    keys = [PrivateKey.generate(kid="one\x1b[31m"), PrivateKey.generate()]
    (tmp_path / "k").write_text(json.dumps({"keys": [each.to_jwk() for each in keys]}))
    document = run("key", "show", "k", "--json").document
    assert [each["thumbprint"] for each in document["keys"]] == [each.public_key.thumbprint() for each in keys]
    assert not private_parts([each["jwk"] for each in document["keys"]])
    plain = run("key", "show", "k")
    for each in keys:
        assert each.to_jwk()["d"] not in plain.text
    assert "\x1b" not in plain.text
    (tmp_path / "p").write_bytes(keys[0].to_pem())
    assert "PRIVATE" not in run("key", "show", "p").text


def test_convert(run: Run, tmp_path: Path) -> None:
    key = PrivateKey.generate(kid="one")
    (tmp_path / "k").write_text(json.dumps(key.to_jwk()))
    assert load_private_key(run("key", "convert", "k", "--to", "pem").stdout).public_key.same_key(key.public_key)
    for form in ("jwk", "jwks", "pem"):
        private = load_keys(run("key", "convert", "k", "--to", form).stdout)
        assert isinstance(private[0], PrivateKey)
        made = run("key", "convert", "k", "--to", form, "--public")
        assert key.to_jwk()["d"] not in made.text
        (public,) = load_public_keys(made.stdout)
        assert public.same_key(key.public_key)
    assert run("key", "convert", "k", "--to", "pem", "--out", "private.pem").status == 0
    assert run("key", "convert", "k", "--to", "jwks", "--public", "--out", "public.json").status == 0
    assert stat.S_IMODE((tmp_path / "private.pem").stat().st_mode) == 0o600
    assert "private.pem" in run("key", "convert", "k", "--to", "pem", "--out", "private.pem").stderr
    two = {"keys": [key.to_jwk(), PrivateKey.generate().to_jwk()]}
    (tmp_path / "two").write_text(json.dumps(two))
    assert run("key", "convert", "two", "--to", "pem").status == 2
    assert len(run("key", "convert", "two", "--to", "jwks").document["keys"]) == 2


def test_from_stdin(run: Run) -> None:
    assert run("key", "show", "-", stdin=PrivateKey.generate().to_pem()).status == 0
