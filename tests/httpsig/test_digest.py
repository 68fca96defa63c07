from __future__ import annotations

import gzip
import hmac
import time
from typing import Any

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import Fields, Limits, check_content_digest, content_digest, digest

BODY = b'{"hello": "world"}'
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
# RFC 9421 §1.1 and B.2 for this content; RFC 9530 appendix B has it with a line feed
SHA256 = "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
SHA512 = "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew=="


def check(value: str, content: bytes = BODY, **limits: int) -> None:
    check_content_digest(Fields([("Content-Digest", value)]), content, limits=Limits(**limits))


def test_the_digests_are_those_of_the_specifications() -> None:
    assert content_digest(BODY) == f"sha-256=:{SHA256}:"
    assert content_digest(BODY, ["sha-512"]) == f"sha-512=:{SHA512}:"
    assert content_digest(BODY, ["sha-512", "sha-256"]) == f"sha-512=:{SHA512}:, sha-256=:{SHA256}:"
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


@pytest.mark.parametrize("algorithms", [[], ["md5"], ["sha"], ["sha-1"], ["SHA-256"], ["sha-256", "md5"], ["unixsum"]])
def test_no_digest_is_made_with_another_algorithm(algorithms: list[str]) -> None:
    """RF-21"""
    with pytest.raises(ConfigurationError):
        content_digest(BODY, algorithms)


@pytest.mark.parametrize("algorithms", [["sha-256"], ["sha-512"], ["sha-256", "sha-512"]])
def test_the_right_digest_is_accepted_and_changed_content_is_not(algorithms: list[str]) -> None:
    """DG-01, DG-04, HS-09, HS-47: the comparison can fail, for each algorithm (CVE-2026-26275)."""
    value = content_digest(BODY, algorithms)
    check(value)
    for changed in (b"", BODY + b" ", BODY[:-1], BODY.upper(), b"\0" + BODY):
        with refused(Reason.DIGEST_MISMATCH):
            check(value, changed)


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """CR-23: each comparison goes through hmac.compare_digest, which still decides."""
    compared: list[bool] = []

    def recording(one: Any, other: Any) -> bool:
        compared.append(hmac.compare_digest(one, other))
        return compared[-1]

    monkeypatch.setattr(digest, "compare_digest", recording)
    check(content_digest(BODY, ["sha-256", "sha-512"]))
    with refused(Reason.DIGEST_MISMATCH):
        check(content_digest(BODY), BODY + b"x")
    assert compared == [True, True, False, False]  # the last one as the usual field, and as any
    check(content_digest(BODY))
    assert compared[4:] == [True]


def test_content_without_a_digest_is_refused() -> None:
    """DG-03, DG-11, DG-12, HS-09: neither does an older field stand in for it."""
    for fields in (
        Fields(),
        Fields([("Digest", f"sha-256={SHA256}")]),
        Fields([("Repr-Digest", f"sha-256=:{SHA256}:")]),
    ):
        with refused(Reason.DIGEST_MISSING):
            check_content_digest(fields, BODY)
        check_content_digest(fields, b"")


@pytest.mark.parametrize(
    "lines", [[], [("Content-Length", "0")], [("Transfer-Encoding", "chunked")], [("Content-Length", "18")]]
)
def test_only_the_bytes_say_whether_there_is_content(lines: list[tuple[str, str]]) -> None:
    """DG-14: whatever the framing says."""
    check_content_digest(Fields(lines), b"")
    with refused(Reason.DIGEST_MISSING):
        check_content_digest(Fields(lines), b"x")


def test_the_digest_of_an_empty_content_must_be_that_of_no_bytes() -> None:
    """DG-13, DG-14"""
    check(f"sha-256=:{EMPTY}:", b"")
    with refused(Reason.DIGEST_MISMATCH):
        check(f"sha-256=:{SHA256}:", b"")
    with refused(Reason.DIGEST_MISMATCH):
        check(f"sha-256=:{EMPTY}:")


@pytest.mark.parametrize(
    "value",
    [
        "md5=:Sd/dVLAcvNLSq16eXua5uQ==:",
        "sha=:B7Lv3E1jGjZ6Z1pnZ5gnZZ0z1J4=:",
        "unixsum=:AAA=:",
        "unixcksum=:AAA=:",
        "crc32c=:AAAAAA==:",
        "adler=:AAAAAA==:",
        f"sha-1=:{EMPTY}:",
        f"sha256=:{SHA256}:",
        f"md5=:Sd/dVLAcvNLSq16eXua5uQ==:, x=:{SHA256}:",
        "",
    ],
)
def test_without_a_supported_algorithm_the_field_proves_nothing(value: str) -> None:
    """DG-05, DG-10: the deprecated ones, and an empty field."""
    with refused(Reason.DIGEST_UNUSABLE):
        check(value)


def test_one_right_digest_does_not_make_up_for_a_wrong_one() -> None:
    """DG-06"""
    wrong512 = content_digest(b"other", ["sha-512"])
    for value in (
        f"sha-256=:{SHA256}:, {wrong512}",
        f"{wrong512}, sha-256=:{SHA256}:",
        f"sha-256=:{EMPTY}:, sha-512=:{SHA512}:",
    ):
        with refused(Reason.DIGEST_MISMATCH):
            check(value)
    with refused(Reason.DIGEST_MISMATCH):
        check(f"sha-256=:{EMPTY}:, md5=:Sd/dVLAcvNLSq16eXua5uQ==:")


def test_an_unknown_algorithm_beside_a_right_digest_is_ignored() -> None:
    """DG-07"""
    check(f"md5=:AAAA:, sha-256=:{SHA256}:")
    check(f"sha-256=:{SHA256}:, sha3-999=:AAAA:")


@pytest.mark.parametrize("first", [SHA256, EMPTY])
def test_a_member_that_occurs_twice_is_refused(first: str) -> None:
    """DG-08: in one line or in two, equal or not."""
    with refused(Reason.DIGEST_UNUSABLE):
        check(f"sha-256=:{first}:, sha-256=:{SHA256}:")
    with refused(Reason.DIGEST_UNUSABLE):
        lines = [("Content-Digest", f"sha-256=:{first}:"), ("content-digest", f"sha-256=:{SHA256}:")]
        check_content_digest(Fields(lines), BODY)


def test_two_lines_of_different_algorithms_are_one_field() -> None:
    lines = [("Content-Digest", f"sha-256=:{SHA256}:"), ("content-digest", f"sha-512=:{SHA512}:")]
    check_content_digest(Fields(lines), BODY)


@pytest.mark.parametrize(
    "value",
    [
        "sha-256",
        "sha-256=?1",
        f'sha-256="{SHA256}"',
        f"sha-256={SHA256}",
        f"sha-256=:{SHA256}:;a=1",
        f"sha-256=:{SHA256}:;a",
        f"sha-256=(:{SHA256}:)",
        f"sha-256=:{SHA256[:-1]}:",  # no padding
        f"sha-256=:{SHA256[:-2]}F=:",  # trailing bits
        f"sha-256=:{SHA256.replace('+', '-')} :",
        f"sha-256:{SHA256}:",
        f"SHA-256=:{SHA256}:",
        f"sha-256=:{SHA256}:,",
        f"sha-256=:{SHA256}: x",
        f"sha-256=:{SHA256}:, x",
        f"sha-256=:{SHA256}:, x=1",
        "sha-256=:\xe9:",
        f"sha-256=:{SHA256}:, t=:AAAA:;q=0.1",
    ],
)
def test_a_member_that_is_no_plain_byte_sequence_is_refused(value: str) -> None:
    """DG-09"""
    with refused(Reason.DIGEST_UNUSABLE):
        check(value)


@pytest.mark.parametrize("value", ["sha-256=::", "sha-256=:AAAA:", f"sha-256=:{SHA512}:", f"sha-512=:{SHA256}:"])
def test_a_digest_of_the_wrong_length_never_matches(value: str) -> None:
    """DG-09: truncated, empty, or another algorithm's."""
    with refused(Reason.DIGEST_MISMATCH):
        check(value)


def test_the_digest_is_of_the_bytes_on_the_wire() -> None:
    """DG-15, DG-16: a coding that a hop adds or removes, or a library undoes, changes the content."""
    packed = gzip.compress(BODY)
    check(content_digest(packed), packed)
    with refused(Reason.DIGEST_MISMATCH):
        check(content_digest(packed), BODY)
    with refused(Reason.DIGEST_MISMATCH):
        check(content_digest(BODY), packed)


def test_the_limit_of_members_is_exact() -> None:
    """DG-27"""
    value = f"sha-256=:{SHA256}:, a=:AAAA:"
    check(value, max_digests=2)
    with refused(Reason.TOO_MANY_DIGESTS):
        check(value, max_digests=1)
    many = f"sha-256=:{SHA256}:" + "".join(f", a{number}=:AAAA:" for number in range(7))
    check(many)
    with refused(Reason.TOO_MANY_DIGESTS):
        check(many + ", b=:AAAA:")


def test_the_limit_of_length_is_exact() -> None:
    value = f"sha-256=:{SHA256}:"
    check(value, max_field_bytes=len(value))
    with refused(Reason.FIELD_TOO_LARGE):
        check(value, max_field_bytes=len(value) - 1)


def test_many_members_cost_nothing() -> None:
    """DG-27: at most two digests are computed, however many are named."""
    content = bytes(4_000_000)
    value = content_digest(content, ["sha-256", "sha-512"]) + "".join(f", a{number}=:AAAA:" for number in range(100))
    started = time.process_time()
    with refused(Reason.TOO_MANY_DIGESTS):
        check(value, content)
    assert time.process_time() - started < 0.2
