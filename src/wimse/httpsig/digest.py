"""Content-Digest and Repr-Digest (RFC 9530 §2, §3) with sha-256 and sha-512: made and checked, whole or in chunks.

Rules, the same for both fields:

1. One rule for when there must be one, whatever Content-Length or chunks say: data of at least one byte need a digest;
   without data a digest may be there, and must then be that of no bytes.
2. Every member whose algorithm is supported must match; a right one does not make up for a wrong one (§6.6). Members
   of other algorithms are ignored beside a supported one. Deprecated algorithms (§5) are never computed, so that alone
   they prove nothing, and nothing is made with them.
3. The header section counts. A digest in the trailer section, which every intermediary may drop (§6.4), counts only
   where the caller says so; and never beside one in the header section.

The two fields differ in what they are computed over, which is the caller's to know. Content-Digest: the content as it
is sent, after content codings and before transfer codings. Repr-Digest: the whole selected representation, also after
content codings. The two are the same bytes in a request, and in a response that is neither an answer to HEAD, nor 206
(a part), nor 204 or 304 (no content); for these the caller brings the representation from elsewhere.
"""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Any, Final, NoReturn, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.digest_fields import CONTENT_DIGEST, REPR_DIGEST, name_as_written, parse_digests
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields

__all__ = [
    "CONTENT_DIGEST",
    "DIGEST_ALGORITHMS",
    "REPR_DIGEST",
    "DigestVerifier",
    "Digester",
    "check_content_digest",
    "check_repr_digest",
    "content_digest",
    "parse_digests",
    "repr_digest",
]

# RFC 9530 §5: the two that are "Active". The deprecated ones MUST NOT be used, and prove nothing.
_HASHES: Final[dict[str, Callable[[], Any]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_SIZES: Final = {name: new().digest_size for name, new in _HASHES.items()}
DIGEST_ALGORITHMS: Final = tuple(_HASHES)
_SHA_256_MEMBER: Final = 54  # characters of one: its name, and 32 bytes in base64 between colons

Chunk = bytes | bytearray | memoryview
_NO_FIELDS: Final = Fields()


class Digester:
    """Computes the value of an Integrity field from data that come in chunks; how they are cut does not matter.

    For a signer that sends the value in the trailer section, or that buffers the content and signs afterwards. Holds a
    few hundred bytes, however much passes.
    """

    __slots__ = ("_finished", "_hashes")

    def __init__(self, algorithms: Iterable[str] = ("sha-256",)) -> None:
        """Begin.

        Args:
            algorithms: ``sha-256``, ``sha-512``, or both, in the order in which they are written.

        Raises:
            ConfigurationError: for another algorithm, a deprecated one included, or none.
        """
        names = list(algorithms)
        if not names or not set(names) <= set(_HASHES):
            raise ConfigurationError("a digest is made with sha-256, sha-512 or both")
        self._hashes = {name: _HASHES[name]() for name in names}
        self._finished = False

    def update(self, chunk: Chunk) -> None:
        """Take the next bytes.

        Raises:
            ConfigurationError: after `finish`, whose value would not be that of these bytes.
        """
        if self._finished:
            raise ConfigurationError("the digest is finished and takes no more data")
        for each in self._hashes.values():
            each.update(chunk)

    def finish(self) -> str:
        """The field's value for all bytes taken; may be asked for again."""
        self._finished = True
        return str(cast("Any", http_sf.ser({name: each.digest() for name, each in self._hashes.items()})))


class DigestVerifier:
    """Compares data that come in chunks with the digests that a message carries; how they are cut does not matter.

    Nothing is verified before `finish` has returned. What was refused once stays refused. Holds a few hundred bytes,
    however much passes.

    Attributes:
        name: the field, in lower case.
        required: whether data without a digest are refused.
    """

    __slots__ = (
        "_announced",
        "_expected",
        "_hashes",
        "_limits",
        "_max_bytes",
        "_received",
        "_refusal",
        "_trailer",
        "_verified",
        "_written",
        "name",
        "required",
    )

    def __init__(
        self,
        fields: Fields,
        *,
        name: str = CONTENT_DIGEST,
        required: bool = True,
        trailer: bool = False,
        max_bytes: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Read what is expected, before any data.

        Args:
            fields: of the message's header section.
            name: `CONTENT_DIGEST` or `REPR_DIGEST`.
            required: whether data of at least one byte need a digest. With False a message without the field passes
                unchecked; `algorithms` is then empty.
            trailer: whether a digest in the trailer section counts where the header section has none.
            max_bytes: most data taken, in bytes; None sets no limit here, since memory does not depend on it.
            limits: how long the field is, and how many members are read.

        Raises:
            Refused: `digest_unusable` for a field that is malformed, has a member twice, or has no member that is
                supported; `digest_mismatch` for a digest whose length no data can have; `too_many_digests`;
                `field_too_large`.
            ConfigurationError: for another `name`, or a negative `max_bytes`.
        """
        self._written = name_as_written(name)
        if max_bytes is not None and max_bytes < 0:
            raise ConfigurationError("max_bytes must not be negative")
        self.name = name
        self.required = required
        self._trailer = trailer
        self._max_bytes = max_bytes
        self._limits = limits
        self._received = 0
        self._refusal: Refused | None = None
        self._verified = False
        self._expected = _expected(fields, name, limits)
        # A digest that is yet to come may be of any algorithm; that makes two at most (RFC 9530 §6.7).
        wanted = self._expected or (DIGEST_ALGORITHMS if trailer else ())
        self._hashes = {each: _HASHES[each]() for each in wanted}
        # RFC 9110 §6.6.2: Trailer lists the fields that may follow. It only makes the refusal say more.
        announced = fields.combined("trailer") or ""
        self._announced = name in (each.strip().lower() for each in announced.split(","))

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms whose digests are compared; empty when the message has none, or none yet."""
        return tuple(self._expected)

    @property
    def received(self) -> int:
        """How many bytes were taken."""
        return self._received

    def update(self, chunk: Chunk) -> None:
        """Take the next bytes.

        Raises:
            Refused: `body_too_large` above `max_bytes`; `digest_missing` at the first byte when a digest is required
                and cannot come any more, or `digest_in_trailer` when it would come there; what was raised before.
            ConfigurationError: after `finish`, which has not seen these bytes.
        """
        self._raise_again()
        if self._verified:
            raise ConfigurationError("the data are verified and no more can be added")
        size = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        self._received += size
        if self._max_bytes is not None and self._received > self._max_bytes:
            self._refuse(Reason.BODY_TOO_LARGE, f"the content is larger than {self._max_bytes} bytes")
        if size and not self._hashes:
            self._check_present()
        for each in self._hashes.values():
            each.update(chunk)

    def finish(self, trailers: Fields = _NO_FIELDS) -> None:
        """Compare, once all data have come. The data are verified when this returns.

        Args:
            trailers: the fields of the trailer section.

        Raises:
            Refused: `digest_mismatch` when any supported member differs; `digest_missing`; `digest_in_trailer` for
                one in the trailer section where none counts; `digest_unusable` for one in both sections, or as on
                construction; what was raised before.
        """
        self._raise_again()
        if self._verified:
            return
        if self.name in trailers:
            self._take_trailer(trailers)
        if not self._expected and self._received:
            self._check_present()
        for algorithm, value in self._expected.items():  # §6.6: one right member does not make up for a wrong one
            if not compare_digest(self._hashes[algorithm].digest(), value):
                data = "content" if self.name == CONTENT_DIGEST else "representation"
                self._refuse(
                    Reason.DIGEST_MISMATCH, f"the {data}'s {algorithm} digest is not the one in {self._written}"
                )
        self._verified = True

    def again(self) -> DigestVerifier:
        """A new verifier for data that are verified and read once more, from a file, say. It takes no trailers.

        Raises:
            ConfigurationError: before `finish` has returned.
        """
        if not self._verified:
            raise ConfigurationError("only what is verified can be verified again")
        other = DigestVerifier(_NO_FIELDS, name=self.name, required=self.required, max_bytes=self._max_bytes)
        other._expected = dict(self._expected)
        other._hashes = {each: _HASHES[each]() for each in self._expected}
        return other

    def _take_trailer(self, trailers: Fields) -> None:
        if not self._trailer:
            self._refuse(Reason.DIGEST_IN_TRAILER, f"{self._written} is in the trailer section")
        if self._expected:  # merging them (RFC 9110 §6.5.1) would let one of the two win
            self._refuse(Reason.DIGEST_UNUSABLE, f"{self._written} is in the header and the trailer section")
        try:
            self._expected = _expected(trailers, self.name, self._limits)
        except Refused as refused:
            self._refuse(refused.reason, refused.detail)

    def _check_present(self) -> None:
        if self.required and self._announced and not self._trailer:
            self._refuse(Reason.DIGEST_IN_TRAILER, f"{self._written} is to come in the trailer section")
        if self.required:
            self._refuse(Reason.DIGEST_MISSING, f"the message has content and no {self._written}")

    def _refuse(self, reason: Reason, detail: str) -> NoReturn:
        self._refusal = Refused(reason, detail)
        raise self._refusal

    def _raise_again(self) -> None:
        if self._refusal is not None:
            raise Refused(self._refusal.reason, self._refusal.detail)


def content_digest(content: bytes, algorithms: Iterable[str] = ("sha-256",)) -> str:
    """The value of a Content-Digest field.

    Args:
        content: the content as it is sent, after any content coding.
        algorithms: ``sha-256``, ``sha-512``, or both.

    Raises:
        ConfigurationError: for another algorithm, or none.
    """
    names = tuple(algorithms)
    if names == ("sha-256",):
        return _sha_256_member(content)
    digester = Digester(names)
    digester.update(content)
    return digester.finish()


def repr_digest(representation: bytes, algorithms: Iterable[str] = ("sha-256",)) -> str:
    """The value of a Repr-Digest field (RFC 9530 §3); arguments and errors as `content_digest`.

    Args:
        representation: the whole selected representation, after any content coding, also where the message carries
            only a part of it or nothing; empty when there is none.
        algorithms: ``sha-256``, ``sha-512``, or both.
    """
    return content_digest(representation, algorithms)


def check_content_digest(fields: Fields, content: bytes, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Compute the digest of the content that was received and compare it with the field.

    Args:
        fields: of the message.
        content: as received, before any content coding is undone.
        limits: how many members are read.

    Raises:
        Refused: `digest_missing` when there is content and no field; `digest_unusable` for a field that is
            malformed, has a member twice, or has no member that is supported; `digest_mismatch` when any
            supported member differs; `too_many_digests`; `digest_in_trailer` when there is content, and Trailer
            announces the only digest.
    """
    # What nearly all send is one sha-256: compared with the field as it would be written for this content. Whatever is
    # not the same to the letter is for the other to read, which says what is wrong with it, if anything is.
    text = fields.by_name.get(CONTENT_DIGEST, "")
    usual = len(text) == _SHA_256_MEMBER <= limits.max_field_bytes and text.isascii()
    if usual and compare_digest(text, _sha_256_member(content)):
        return
    _check(DigestVerifier(fields, limits=limits), content)


def _sha_256_member(content: bytes) -> str:
    return f"sha-256=:{b2a_base64(hashlib.sha256(content).digest(), newline=False).decode('ascii')}:"


def check_repr_digest(
    fields: Fields, representation: bytes, *, required: bool = True, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Compute the digest of a representation and compare it with Repr-Digest; errors as `check_content_digest`.

    Args:
        fields: of the message.
        representation: the whole selected representation, before any content coding is undone; it is the message's
            content in the cases that the module's docstring names, and put together from several parts otherwise.
        required: whether a representation of at least one byte needs the field.
        limits: how many members are read.
    """
    _check(DigestVerifier(fields, name=REPR_DIGEST, required=required, limits=limits), representation)


def _check(verifier: DigestVerifier, data: bytes) -> None:
    verifier.update(data)
    verifier.finish()


def _expected(fields: Fields, name: str, limits: Limits) -> dict[str, bytes]:
    members = parse_digests(fields, name, limits=limits)
    if members is None:
        return {}
    supported = {algorithm: value for algorithm, value in members.items() if algorithm in _HASHES}
    if not supported:
        raise Refused(Reason.DIGEST_UNUSABLE, f"{name_as_written(name)} has neither sha-256 nor sha-512")
    for algorithm, value in supported.items():
        if len(value) != _SIZES[algorithm]:  # known before the first byte of 10 GB
            raise Refused(
                Reason.DIGEST_MISMATCH, f"the {algorithm} digest in {name_as_written(name)} has the wrong length"
            )
    return supported
