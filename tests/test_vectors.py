from __future__ import annotations

import pytest

from tests import vectors
from wimse.errors import Reason

# Each kind, and the test module that runs all of its cases.
RUNNERS = {
    "keys": "tests/keys/test_vectors_of_keys.py",
    "ed25519_public_keys": "tests/keys/test_edwards.py",
    "signatures": "tests/httpsig/test_vectors_of_signatures.py",
    "components": "tests/httpsig/test_vectors_of_signatures.py",
    "wits": "tests/credentials/test_vectors_of_credentials.py",
    "proofs": "tests/profiles/proof_token/test_vectors_of_proofs.py",
    "bundles": "tests/credentials/test_vectors_of_credentials.py",
    "identifiers": "tests/credentials/test_identifier.py",
}


def test_the_manifest_lists_every_file_and_no_other() -> None:
    present = {path.relative_to(vectors.ROOT).as_posix() for path in vectors.ROOT.rglob("*.json")} - {"manifest.json"}
    listed = [entry["path"] for entry in vectors.files()]
    assert sorted(listed) == sorted(present)


@pytest.mark.parametrize("entry", vectors.files(), ids=lambda entry: str(entry["path"]))
def test_a_file_describes_itself(entry: dict[str, str]) -> None:
    document = vectors.load(entry["path"])
    assert {"document", "sections", "second_witness"} <= set(document["provenance"])
    ids = [case["id"] for case in document["cases"]]
    assert len(ids) == len(set(ids))
    for case in document["cases"]:
        assert {"id", "section", "comment", "expected"} <= set(case)


def test_every_kind_has_a_runner_that_reads_all_of_its_cases() -> None:
    assert {entry["kind"] for entry in vectors.files()} == set(RUNNERS)
    for kind, module in RUNNERS.items():
        source = (vectors.ROOT.parent / module).read_text(encoding="utf-8")
        assert f'vectors.cases("{kind}")' in source


def test_every_expected_reason_is_one_that_exists() -> None:
    known = {reason.code for reason in Reason}
    for kind in RUNNERS:
        for name, case in vectors.cases(kind).items():
            assert case["expected"].get("reason") in known | {None}, name
