"""Digests of content that comes in chunks."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    CONTENT_DIGEST,
    REPR_DIGEST,
    Digester,
    DigestVerifier,
    Fields,
    Limits,
    check_repr_digest,
    content_digest,
    digest_fields,
    parse_digests,
    repr_digest,
)
from wimse.httpsig.limits import DEFAULT_LIMITS

BODY = b'{"hello": "world"}\n'
# RFC 9530 appendix B.1, B.2 and B.3
WHOLE = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
EMPTY = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
PART = "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"
BOTH = ("sha-256", "sha-512")
ALGORITHMS = st.sampled_from([("sha-256",), ("sha-512",), BOTH, BOTH[::-1]])


def header(value: str, name: str = "Content-Digest") -> Fields:
    return Fields([(name, value)])


def feed(verifier: DigestVerifier, *chunks: bytes) -> None:
    for chunk in chunks:
        verifier.update(chunk)
    verifier.finish()


@st.composite
def cut(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(content)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


@given(cut(st.binary(max_size=300)), ALGORITHMS)
def test_how_the_content_is_cut_does_not_matter(chunks: list[bytes], algorithms: tuple[str, ...]) -> None:
    digester = Digester(algorithms)
    for chunk in chunks:
        digester.update(chunk)
    value = digester.finish()
    assert value == digester.finish() == content_digest(b"".join(chunks), algorithms)
    feed(DigestVerifier(header(value)), *chunks)


@given(cut(st.binary(min_size=1, max_size=200)), ALGORITHMS, st.data())
def test_one_byte_changed_dropped_or_added_is_refused(
    chunks: list[bytes], algorithms: tuple[str, ...], data: st.DataObject
) -> None:
    """DG-01, DG-04: wherever it is, however the content is cut."""
    value = content_digest(b"".join(chunks), algorithms)
    place = data.draw(st.integers(0, len(chunks) - 1))
    chunk = chunks[place]
    position = data.draw(st.integers(0, len(chunk)))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    kind = data.draw(st.sampled_from(["change", "drop", "add"]))
    rest = chunk[position:] if kind == "add" else chunk[position + 1 :]
    changed = chunk[:position] + (b"" if kind == "drop" else byte) + rest
    assume(len(changed) != len(chunk) or changed != chunk)
    # Added in the middle of equal bytes it is still one byte more; changed to itself it is no change.
    assume(b"".join([*chunks[:place], changed, *chunks[place + 1 :]]) != b"".join(chunks))
    with refused(Reason.DIGEST_MISMATCH):
        feed(DigestVerifier(header(value)), *chunks[:place], changed, *chunks[place + 1 :])


@pytest.mark.parametrize(
    "algorithms", [(), ("md5",), ("sha",), ("sha-1",), ("sha-256", "crc32c"), ("unixsum",), ("SHA-512",)]
)
def test_nothing_is_digested_with_another_algorithm(algorithms: tuple[str, ...]) -> None:
    """RF-21"""
    with pytest.raises(ConfigurationError):
        Digester(algorithms)


@pytest.mark.parametrize("deprecated", ["md5", "sha", "sha-1", "unixsum", "unixcksum", "adler", "crc32c"])
def test_a_deprecated_digest_proves_nothing(deprecated: str) -> None:
    """DG-05, DG-06: not alone, although it is right; nor does it make up for a wrong one."""
    names = {"md5": "md5", "sha": "sha1", "sha-1": "sha1"}
    digest = hashlib.new(names[deprecated], BODY).digest() if deprecated in names else b"\x19\x05"
    member = f"{deprecated}=:{base64.b64encode(digest).decode()}:"
    for name in (CONTENT_DIGEST, REPR_DIGEST):
        with refused(Reason.DIGEST_UNUSABLE):
            DigestVerifier(header(member, name), name=name)
        with refused(Reason.DIGEST_MISMATCH):
            feed(DigestVerifier(header(f"{member}, {EMPTY}", name), name=name), BODY)
        feed(DigestVerifier(header(f"{member}, {WHOLE}", name), name=name), BODY)  # DG-07


@pytest.mark.parametrize("wrong", ["sha-256", "sha-512"])
def test_every_known_member_must_match(wrong: str) -> None:
    """DG-06: in either order."""
    members = [content_digest(b"other" if name == wrong else BODY, [name]) for name in BOTH]
    for value in (", ".join(members), ", ".join(members[::-1])):
        verifier = DigestVerifier(header(value))
        assert set(verifier.algorithms) == set(BOTH)
        with refused(Reason.DIGEST_MISMATCH):
            feed(verifier, BODY)


def test_content_without_a_digest_is_refused_at_its_first_byte() -> None:
    """DG-03, DG-12, DG-14: before the rest is read; what holds no byte is no content."""
    verifier = DigestVerifier(Fields([("Content-Length", "0")]))
    verifier.update(b"")
    with refused(Reason.DIGEST_MISSING):
        verifier.update(b"x")


@pytest.mark.parametrize(
    "older", [("Digest", "sha-256=RK/0"), ("Repr-Digest", WHOLE), ("Want-Content-Digest", "sha-256=1")]
)
def test_another_field_does_not_stand_in(older: tuple[str, str]) -> None:
    """DG-11"""
    with refused(Reason.DIGEST_MISSING):
        DigestVerifier(Fields([older])).update(BODY)


def test_no_content_needs_no_digest_and_may_have_that_of_nothing() -> None:
    """DG-14"""
    feed(DigestVerifier(Fields()))
    feed(DigestVerifier(Fields()), b"", b"")
    feed(DigestVerifier(header(EMPTY)))
    with refused(Reason.DIGEST_MISMATCH):
        feed(DigestVerifier(header(WHOLE)))


def test_where_none_is_required_only_one_that_is_there_is_checked() -> None:
    verifier = DigestVerifier(Fields(), required=False)
    assert (verifier.required, verifier.algorithms) == (False, ())
    feed(verifier, BODY)
    with refused(Reason.DIGEST_MISMATCH):
        feed(DigestVerifier(header(EMPTY), required=False), BODY)


def test_what_was_refused_stays_refused() -> None:
    """DG-18: whoever swallows the refusal gets it again, and never a yes."""
    verifier = DigestVerifier(Fields())
    with refused(Reason.DIGEST_MISSING):
        verifier.update(BODY)
    for _ in range(2):
        with refused(Reason.DIGEST_MISSING):
            verifier.finish()
        with refused(Reason.DIGEST_MISSING):
            verifier.update(b"")
    verifier = DigestVerifier(header(WHOLE))
    verifier.update(BODY[:-1])
    with refused(Reason.DIGEST_MISMATCH):
        verifier.finish()
    with refused(Reason.DIGEST_MISMATCH):
        verifier.update(BODY[-1:])


def test_what_came_before_too_much_is_not_verified_alone() -> None:
    """DG-18: the data up to the limit have the right digest, and are not all that was sent."""
    verifier = DigestVerifier(header(WHOLE), max_bytes=len(BODY))
    verifier.update(BODY)
    with refused(Reason.BODY_TOO_LARGE):
        verifier.update(b"x")
    with refused(Reason.BODY_TOO_LARGE):
        verifier.finish()


def test_nothing_can_be_added_when_it_is_finished() -> None:
    digester = Digester()
    digester.finish()
    with pytest.raises(ConfigurationError):
        digester.update(b"")
    verifier = DigestVerifier(header(WHOLE))
    feed(verifier, BODY)
    verifier.finish()
    with pytest.raises(ConfigurationError):
        verifier.update(b"")


@pytest.mark.parametrize("value", ["sha-256=::", "sha-256=:AAAA:", f"sha-512=:{WHOLE[9:]}", f"{WHOLE}, sha-512=:AAAA:"])
def test_a_digest_of_a_wrong_length_is_refused_before_any_content(value: str) -> None:
    """DG-09"""
    with refused(Reason.DIGEST_MISMATCH):
        DigestVerifier(header(value))


def test_the_limit_of_content_is_exact() -> None:
    """DG-21: 413 at the first byte too many, wherever it is cut."""
    verifier = DigestVerifier(header(WHOLE), max_bytes=len(BODY))
    feed(verifier, *[bytes([byte]) for byte in BODY])
    assert verifier.received == len(BODY)
    verifier = DigestVerifier(header(WHOLE), max_bytes=len(BODY) - 1)
    verifier.update(BODY[:-1])
    with refused(Reason.BODY_TOO_LARGE):
        verifier.update(BODY[-1:])
    with pytest.raises(ConfigurationError):
        DigestVerifier(Fields(), max_bytes=-1)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_taken(kind: type) -> None:
    verifier = DigestVerifier(header(WHOLE), max_bytes=len(BODY))
    feed(verifier, kind(BODY))
    assert verifier.received == len(BODY)


def test_the_bytes_of_a_view_are_counted() -> None:
    with refused(Reason.BODY_TOO_LARGE):
        DigestVerifier(header(WHOLE), max_bytes=7).update(memoryview(bytes(8)).cast("Q"))


class TestTrailers:
    def test_a_digest_in_the_trailer_does_not_count(self) -> None:
        """DG-23: by default; whether or not Trailer announces it."""
        with refused(Reason.DIGEST_IN_TRAILER):
            DigestVerifier(Fields([("Trailer", "Expires, Content-Digest")])).update(BODY)
        with refused(Reason.DIGEST_IN_TRAILER):
            DigestVerifier(Fields()).finish(header(EMPTY))
        verifier = DigestVerifier(header(WHOLE))
        verifier.update(BODY)
        with refused(Reason.DIGEST_IN_TRAILER):
            verifier.finish(header(WHOLE))

    @pytest.mark.parametrize("algorithms", [("sha-256",), ("sha-512",), BOTH])
    def test_it_counts_where_the_caller_says_so(self, algorithms: tuple[str, ...]) -> None:
        for content, reason in ((BODY, None), (BODY[1:], Reason.DIGEST_MISMATCH)):
            verifier = DigestVerifier(Fields(), trailer=True)
            verifier.update(content)
            trailers = Fields([("Expires", "0"), ("Content-Digest", content_digest(BODY, algorithms))])
            if reason is None:
                verifier.finish(trailers)
                assert verifier.algorithms == algorithms
                verifier.finish(trailers)
            else:
                with refused(reason):
                    verifier.finish(trailers)

    def test_then_it_must_be_somewhere(self) -> None:
        verifier = DigestVerifier(Fields(), trailer=True)
        verifier.update(BODY)
        with refused(Reason.DIGEST_MISSING):
            verifier.finish(header(WHOLE, "Repr-Digest"))

    def test_one_in_the_header_section_is_checked_as_ever(self) -> None:
        feed(DigestVerifier(header(WHOLE), trailer=True), BODY)
        with refused(Reason.DIGEST_MISMATCH):
            feed(DigestVerifier(header(EMPTY), trailer=True), BODY)

    def test_two_are_one_too_many(self) -> None:
        """DG-08: also equal ones; a reader that merges them takes one, another the other."""
        verifier = DigestVerifier(header(WHOLE), trailer=True)
        verifier.update(BODY)
        with refused(Reason.DIGEST_UNUSABLE):
            verifier.finish(header(WHOLE))

    @pytest.mark.parametrize("value", ["md5=:AAAA:", "", "sha-256", f"{WHOLE}, {WHOLE}"])
    def test_it_is_read_as_strictly(self, value: str) -> None:
        """DG-05, DG-08, DG-10"""
        verifier = DigestVerifier(Fields(), trailer=True)
        verifier.update(BODY)
        for _ in range(2):
            with refused(Reason.DIGEST_UNUSABLE):
                verifier.finish(header(value))


class TestRepresentations:
    def test_the_digests_are_those_of_the_specification(self) -> None:
        """RFC 9530 B.1 to B.3: equal with the whole content, not so with none or a part of it."""
        assert repr_digest(BODY) == content_digest(BODY) == WHOLE
        assert content_digest(b"") == EMPTY
        assert content_digest(BODY[10:]) == PART
        for content, digest in ((BODY, WHOLE), (b"", EMPTY), (BODY[10:], PART)):
            fields = Fields([("Content-Digest", digest), ("Repr-Digest", WHOLE)])
            feed(DigestVerifier(fields), content)
            check_repr_digest(fields, BODY)

    def test_a_part_is_not_the_representation(self) -> None:
        with refused(Reason.DIGEST_MISMATCH):
            check_repr_digest(header(WHOLE, "Repr-Digest"), BODY[10:])

    def test_content_digest_does_not_stand_in(self) -> None:
        with refused(Reason.DIGEST_MISSING):
            check_repr_digest(header(WHOLE), BODY)
        check_repr_digest(header(WHOLE), BODY, required=False)
        check_repr_digest(Fields(), b"")

    def test_one_with_excess_padding_is_refused(self) -> None:
        """As RFC 9530 itself prints it in B.4; a digest has one spelling."""
        with refused(Reason.DIGEST_UNUSABLE):
            check_repr_digest(header(WHOLE.replace("=:", "==:").replace("256==", "256="), "Repr-Digest"), BODY)


class TestParsing:
    def test_every_member_is_given(self) -> None:
        assert parse_digests(header("md5=:AAAA:,\tx=::")) == {"md5": b"\0\0\0", "x": b""}
        assert parse_digests(Fields()) is None
        assert parse_digests(header("")) == {}

    @pytest.mark.parametrize(
        "value", ["sha-256=:AAB=:, x=:AAA=:", "x=:AAA=:, sha-256=:AAA:", "a=:AAB=:, b=:AAA=:, c=:AAA=:"]
    )
    def test_another_member_does_not_lend_its_spelling(self, value: str) -> None:
        """DG-09: each is canonical, not only some member of the same bytes."""
        with refused(Reason.DIGEST_UNUSABLE):
            parse_digests(header(value))

    @pytest.mark.parametrize(
        "member", ["sha-256", "sha-256=1", "sha-256=(:AAAA:)", "x=:AAAA:;q=1", "x=:AAAA:;q", "x=?1"]
    )
    def test_each_is_a_byte_sequence_without_parameters(self, member: str) -> None:
        """DG-09: in either field, the unknown ones too."""
        for name in (CONTENT_DIGEST, REPR_DIGEST):
            with refused(Reason.DIGEST_UNUSABLE):
                parse_digests(header(f"a=:AAAA:, {member}", name), name)

    @pytest.mark.parametrize("name", ["digest", "Content-Digest", "want-content-digest", ""])
    def test_another_name_is_a_mistake(self, name: str) -> None:
        for call in (lambda: parse_digests(Fields(), name), lambda: DigestVerifier(Fields(), name=name)):
            with pytest.raises(ConfigurationError):
                call()

    def test_members_are_counted_for_both_fields(self) -> None:
        """DG-27"""
        value = ", ".join(f"a{number}=:AAAA:" for number in range(9))
        for name in (CONTENT_DIGEST, REPR_DIGEST):
            with refused(Reason.TOO_MANY_DIGESTS):
                parse_digests(header(value, name), name)
            with refused(Reason.FIELD_TOO_LARGE):
                parse_digests(header(value, name), name, limits=Limits(max_field_bytes=10))

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
    def test_any_text_is_parsed_or_refused(self, text: str) -> None:
        reason: Reason | None = None
        try:
            parse_digests(header(text))
        except Refused as error:
            reason = error.reason
        assert reason in {None, Reason.DIGEST_UNUSABLE, Reason.TOO_MANY_DIGESTS}


class TestAgain:
    def test_the_same_data_are_verified_again(self) -> None:
        verifier = DigestVerifier(Fields(), trailer=True)
        verifier.update(BODY)
        verifier.finish(header(WHOLE))
        feed(verifier.again(), BODY[:3], BODY[3:])
        with refused(Reason.DIGEST_MISMATCH):
            feed(verifier.again(), BODY[:3])
        with refused(Reason.DIGEST_IN_TRAILER):
            verifier.again().finish(header(WHOLE))

    def test_what_had_no_data_has_none_again(self) -> None:
        """DG-03: where a digest is required, the second reading needs one as the first did."""
        verifier = DigestVerifier(Fields())
        verifier.finish()
        assert verifier.again().required
        with refused(Reason.DIGEST_MISSING):
            verifier.again().update(b"x")
        optional = DigestVerifier(Fields(), required=False)
        optional.finish()
        feed(optional.again(), b"x")

    def test_only_what_was_verified(self) -> None:
        with pytest.raises(ConfigurationError):
            DigestVerifier(header(WHOLE)).again()


def test_memory_does_not_depend_on_the_size() -> None:
    """DG-21, DG-27: 100 MB, both digests, made and checked."""
    chunk = bytes(65_536)

    def content() -> Iterator[bytes]:
        return (chunk for _ in range(1_600))

    tracemalloc.start()
    try:
        digester = Digester(BOTH)
        for each in content():
            digester.update(each)
        verifier = DigestVerifier(header(digester.finish()))
        feed(verifier, *content())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verifier.received == 1_600 * 65_536
    assert peak < 1_000_000


def test_no_content_at_all_may_be_what_is_permitted() -> None:
    verifier = DigestVerifier(Fields(), required=False, max_bytes=0)
    verifier.finish()
    with refused(Reason.BODY_TOO_LARGE):
        DigestVerifier(Fields(), required=False, max_bytes=0).update(b"x")


@given(
    st.one_of(
        st.text(alphabet="sha-256=:,; \tAQ/+z09*_.", max_size=40),
        st.builds(
            lambda name, value, at, new: (text := f"{name}=:{value}:")[:at] + new + text[at + 1 :],
            st.sampled_from(["sha-256", "sha-512", "*x", "Sha", "9"]),
            st.binary(max_size=9).map(lambda data: b64encode(data).decode("ascii")),
            st.integers(min_value=0, max_value=24),
            st.text(alphabet="=:AB/ ,;x", max_size=2),
        ),
    )
)
def test_the_reader_of_one_member_reads_what_the_parser_reads(text: str) -> None:
    scanned = digest_fields._scan(text)
    if scanned is not None:
        assert scanned == digest_fields._parse(text, "Content-Digest", DEFAULT_LIMITS)


@given(st.binary(max_size=70), st.sampled_from(["sha-256", "sha-512", "md5"]))
def test_the_usual_form_is_read_without_the_parser(value: bytes, name: str) -> None:
    assert digest_fields._scan(f"{name}=:{b64encode(value).decode('ascii')}:") == {name: value}


@pytest.mark.parametrize(("name", "whose"), [(CONTENT_DIGEST, "content"), (REPR_DIGEST, "representation")])
def test_a_mismatch_says_whose_digest_differs(name: str, whose: str) -> None:
    verifier = DigestVerifier(Fields([(name, content_digest(b"one"))]), name=name)
    verifier.update(b"other")
    with pytest.raises(Refused, match=f"the {whose}'s sha-256 digest is not the one in"):
        verifier.finish()


def test_the_limit_of_the_field_is_exact() -> None:
    assert parse_digests(header(WHOLE), limits=Limits(max_field_bytes=len(WHOLE)))
    with refused(Reason.FIELD_TOO_LARGE):
        parse_digests(header(WHOLE), limits=Limits(max_field_bytes=len(WHOLE) - 1))


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_refusal_names_the_field_and_what_is_wrong(name: str) -> None:
    with pytest.raises(Refused, match=f"the message has content and no {name}"):
        DigestVerifier(Fields(), name=name.lower()).update(b"x")
    with pytest.raises(Refused, match=f"{name} has a member twice"):
        parse_digests(header(f"{WHOLE}, {WHOLE}", name), name.lower())
