"""The content that was received against the digest that was signed."""

from __future__ import annotations

import base64
import gzip
import hashlib

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    HEAD,
    NOW,
    Authenticate,
    adding,
    entrance,
    forge_request,
    reason_of,
    replacing,
)
from wimse.errors import Reason


def member(name: str, content: bytes = CONTENT) -> str:
    digest = hashlib.new(name.replace("-", ""), content).digest()
    return f"{name}=:{base64.b64encode(digest).decode()}:"


RIGHT, RIGHT_512 = member("sha-256"), member("sha-512")
WRONG, WRONG_512 = member("sha-256", b"other"), member("sha-512", b"other")


@pytest.mark.parametrize(
    "content", [b"", b"\0", CONTENT[:-1], CONTENT + b"\n", CONTENT.upper(), gzip.compress(CONTENT)]
)
@pytest.mark.parametrize("digest", [RIGHT, RIGHT_512, f"{RIGHT}, {RIGHT_512}"])
def test_other_content_is_refused(authenticate: Authenticate, content: bytes, digest: str) -> None:
    """DG-01, DG-04, DG-13, DG-15, HS-09, HS-47: for each algorithm; the signature is untouched and good."""
    request = forge_request(digest=digest)
    assert reason_of(authenticate, entrance(), request, content, NOW) is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize("content", [CONTENT, b"\0"])
def test_content_without_a_digest_is_refused(authenticate: Authenticate, content: bytes) -> None:
    """DG-03, DG-12, DG-14, HS-09: of one byte, too; the request was signed without."""
    request = forge_request(digest=None)
    assert reason_of(authenticate, entrance(), request, content, NOW) is Reason.DIGEST_MISSING


@pytest.mark.parametrize("digest", ["", member("sha-256", b""), member("sha-512", b"")])
def test_no_content_needs_no_digest_but_may_have_that_of_nothing(authenticate: Authenticate, digest: str) -> None:
    """DG-14: whatever Content-Length says."""
    for head in (HEAD, adding(HEAD, ("Content-Length", "0")), adding(HEAD, ("Transfer-Encoding", "chunked"))):
        request = forge_request(head=head, content=b"", digest=digest)
        assert authenticate(entrance(), request, b"", NOW).identity == CALLER.identity


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        (f"{WRONG}, {RIGHT_512}", Reason.DIGEST_MISMATCH),
        (f"{RIGHT}, {WRONG_512}", Reason.DIGEST_MISMATCH),
        (f"{WRONG}, {member('md5')}", Reason.DIGEST_MISMATCH),
        (member("md5"), Reason.DIGEST_UNUSABLE),
        (f"sha={RIGHT.removeprefix('sha-256=')}", Reason.DIGEST_UNUSABLE),
        ("crc32c=:AAAAAA==:, adler=:AAAAAA==:, unixsum=:AAA=:", Reason.DIGEST_UNUSABLE),
        (f"{RIGHT}, {WRONG}", Reason.DIGEST_UNUSABLE),
        (f"{WRONG}, {RIGHT}", Reason.DIGEST_UNUSABLE),
        (f"{RIGHT[:-6]}==:", Reason.DIGEST_UNUSABLE),
        ("sha-256=:AAAA:", Reason.DIGEST_MISMATCH),
        ("sha-256=::", Reason.DIGEST_MISMATCH),
        (RIGHT.replace(":", '"'), Reason.DIGEST_UNUSABLE),
        (f"{RIGHT};q=1", Reason.DIGEST_UNUSABLE),
        ("sha-256", Reason.DIGEST_UNUSABLE),
        (f"SHA-256={RIGHT.removeprefix('sha-256=')}", Reason.DIGEST_UNUSABLE),
        (" ", Reason.DIGEST_UNUSABLE),
        (",", Reason.DIGEST_UNUSABLE),
        (", ".join(f"x{n}=:AAAA:" for n in range(20)), Reason.TOO_MANY_DIGESTS),
    ],
)
def test_a_digest_that_does_not_prove_the_content_is_refused(
    authenticate: Authenticate, digest: str, reason: Reason
) -> None:
    """DG-05, DG-06, DG-08, DG-09, DG-10, DG-27: the signature covers the field as it stands."""
    request = forge_request(digest=digest)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is reason


@pytest.mark.parametrize("digest", [RIGHT_512, f"{RIGHT}, {RIGHT_512}", f"{RIGHT}, md5=:AAAA:", f"x=:AAAA:, {RIGHT}"])
def test_a_supported_digest_is_enough(authenticate: Authenticate, digest: str) -> None:
    """DG-07."""
    assert authenticate(entrance(), forge_request(digest=digest), CONTENT, NOW).identity == CALLER.identity


@pytest.mark.parametrize("name", ["Digest", "Repr-Digest", "Want-Content-Digest"])
def test_another_field_is_no_content_digest(authenticate: Authenticate, name: str) -> None:
    """DG-11."""
    request = forge_request(head=adding(HEAD, (name, RIGHT)), digest=None, extra=[name.lower()])
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.DIGEST_MISSING


def test_a_digest_that_was_changed_with_the_content_is_refused(authenticate: Authenticate) -> None:
    """DG-02, HS-04: it is covered."""
    request = replacing(forge_request(), "Content-Digest", WRONG)
    assert reason_of(authenticate, entrance(), request, b"other", NOW) is Reason.SIGNATURE_INVALID


def test_a_digest_that_was_added_with_the_content_is_refused(authenticate: Authenticate) -> None:
    """DG-12, HS-04."""
    request = adding(forge_request(content=b""), ("Content-Digest", WRONG))
    assert reason_of(authenticate, entrance(), request, b"other", NOW) is Reason.COMPONENT_NOT_COVERED
