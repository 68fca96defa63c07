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
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "Ed25519"])
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
    assert run("key", "generate", "--algorithm", "HS256").status == 2
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
