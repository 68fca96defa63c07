"""The examples of http-signature-07 by RFC 9421 alone: accepted as published, refused with any byte changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Run, vector_cases, write_json

CASES = vector_cases("wimse/http-signature-07.json")
NOW = "1788298930"


def span(data: bytes, start: bytes, end: bytes) -> range:
    """The positions between `start` and the next `end`."""
    first = data.index(start) + len(start)
    return range(first, data.index(end, first))


def covered_spans(data: bytes) -> dict[str, range]:
    """Where the covered components and the parameters stand in the file."""
    spans = {
        "parameters and components": span(data, b"Signature-Input: sig1=", b"\n"),
        "signature": span(data, b"Signature: sig1=", b"\n"),
        "workload-identity-token": span(data, b"Workload-Identity-Token: ", b"\n"),
    }
    if data.startswith(b"HTTP"):
        spans["@status"] = span(data, b"HTTP/1.1 ", b" ")
        spans["content-type"] = span(data, b"Content-Type: ", b"\n")
        spans["content-digest"] = span(data, b"Content-Digest: ", b"\n")
    else:
        spans["@method"] = range(3)
        spans["@path and @query"] = span(data, b"GET ", b" ")
    return spans


def arguments(folder: Path, name: str) -> list[str]:
    case = CASES[name]
    (folder / "message.http").write_bytes(case["message"].encode("latin-1"))
    write_json(folder / "key.json", case["key"])
    made = [str(folder / "message.http"), "--keys", str(folder / "key.json"), "--now", NOW, "--json"]
    if name == "response":
        (folder / "request.http").write_bytes(case["request"].encode("latin-1"))
        made += ["--request", str(folder / "request.http")]
    return made


@pytest.mark.parametrize("name", ["request", "response"])
def test_the_example_is_accepted(run: Run, tmp_path: Path, name: str) -> None:
    outcome = run("httpsig", "verify", *arguments(tmp_path, name))
    assert outcome.status == 0, outcome
    assert outcome.document["parameters"]["tag"] == "wimse-workload-to-workload"
    assert outcome.document["content_digest"] == ("absent" if name == "request" else "matches")


@pytest.mark.parametrize("name", ["request", "response"])
def test_any_changed_byte_of_what_is_covered_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    given = arguments(tmp_path, name)
    message = tmp_path / "message.http"
    data = message.read_bytes()
    for what, positions in covered_spans(data).items():
        for position in positions[:: 5 if what == "workload-identity-token" else 1]:
            changed = bytearray(data)
            changed[position] ^= 1
            message.write_bytes(changed)
            outcome = run("httpsig", "verify", *given)
            assert outcome.status == 1, (what, position, bytes(changed))
            assert outcome.document["valid"] is False


def test_any_changed_byte_of_the_request_is_refused_in_its_response(run: Run, tmp_path: Path) -> None:
    given = arguments(tmp_path, "response")
    request = tmp_path / "request.http"
    data = request.read_bytes()
    spans = covered_spans(data)
    for position in (*spans["@method"], *spans["@path and @query"]):
        changed = bytearray(data)
        changed[position] ^= 1
        request.write_bytes(changed)
        assert run("httpsig", "verify", *given).status == 1, bytes(changed)
