"""The targets: each is one function of bytes, with one invariant.

Any input is parsed, or refused with `Refused`; never is another exception raised. That it ends soon and in bounded
memory is seen to by the limits of `fuzz/run.py`.

To add a target: write a function of bytes that lets only what must not happen get out, decorate it with `@target`, and
put a few plain files into `fuzz/corpus/NAME/`. The tests run every target over its corpus, `make fuzz` fuzzes them all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from wimse.credentials import (
    WIT_FIELD,
    TrustBundle,
    TrustDomain,
    UnverifiedWIT,
    WorkloadIdentifier,
    bundle_map_json,
    issue_wit,
    parse_bundle_map,
    verify_wit,
)
from wimse.credentials.jws import UnverifiedJWS
from wimse.credentials.jwt_svid import jwt_svid_trust_domain
from wimse.errors import ConfigurationError, Refused
from wimse.httpsig import (
    CONTENT_DIGEST,
    REPR_DIGEST,
    WANT_CONTENT_DIGEST,
    AnswerPolicy,
    ComponentIdentifier,
    DigestVerifier,
    Fields,
    Request,
    Response,
    answer,
    collected,
    held_back,
    parse_accept_signature,
    parse_http1,
    parse_signatures,
    parse_want_digest,
    signature_base,
    want_digest,
    with_fields,
)
from wimse.keys import PrivateKey, b64url_encode, load_keys, parse_json_object
from wimse.keys.public import PublicKey
from wimse.profiles import proof_token
from wimse.workload_api.admin import StoredEntry, difference, parse_entries

__all__ = ["TARGETS", "Target"]

Target = Callable[[bytes], None]
TARGETS: Final[dict[str, Target]] = {}

DOMAINS: Final = (TrustDomain("spiffe", "example.org"), TrustDomain("wimse", "example.org"))
# The issuing key of RFC 8037 appendix A: published, so that the corpus stays what it is from one run to the next.
ISSUER: Final = PrivateKey.from_jwk(
    {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "kid": "issuer",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
)
REQUEST: Final = Request(
    method="POST",
    target="/orders?item=1&item=2&a=b",
    authority="example.org",
    fields=Fields([("Content-Type", "text/plain"), ("Signature-Input", 'a=("@method")'), ("Signature", "a=:AAAA:")]),
)
NOW: Final = 1_700_000_000
POLICY: Final = AnswerPolicy(
    signers={"issuer": ISSUER},
    default_keyid="issuer",
    components=frozenset(map(ComponentIdentifier.parse, ("@status", "@path", '"@method";req', "content-type"))),
    tags=frozenset({None, "app"}),
    chosen_nonce=True,
)
# The workload's key of draft-ietf-wimse-wpt-01: published, likewise.
WORKLOAD: Final = PrivateKey.from_jwk(
    {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "1CXXvflN_LVVsIsYXsUvB03JmlGWeCHqQVuouCF92bg",
        "d": "sdLX8yCYKqo_XvGBLn-ZWeKT7llYeeQpgeCaXVxb5kY",
    }
)
WIT: Final = verify_wit(
    UnverifiedWIT.parse(
        issue_wit(
            subject=DOMAINS[1].workload("/a"),
            workload_key=WORKLOAD.public_key,
            signer=ISSUER,
            issued_at=NOW,
            expires_at=NOW + 3600,
            issuer="https://issuer.example",
            token_id="1",
        )
    ),
    TrustBundle(trust_domain=DOMAINS[1], wit_keys=(ISSUER.public_key,)),
    now=NOW,
)
PROOFS: Final = proof_token.ProofTokenSettings(context_fields=("x-user-token",))


def target(function: Target) -> Target:
    """Enter a function among the targets, under its own name."""
    TARGETS[function.__name__] = function
    return function


@target
def message(data: bytes) -> None:
    """An HTTP/1.1 message in a file."""
    with suppress(Refused):
        parse_http1(data).to_bytes()


@target
def signatures(data: bytes) -> None:
    """A message with signatures: its fields are read, and the base of each signature is built."""
    with suppress(Refused):
        found = parse_http1(data).message
        for each in parse_signatures(found.fields):
            # One signature that cannot be built does not hide the next.
            with suppress(Refused):
                signature_base(each.input, found, REQUEST if isinstance(found, Response) else None)


@target
def signature_fields(data: bytes) -> None:
    """Signature-Input and Signature alone, on two lines, under a message that has what they may cover."""
    first, _, second = data.partition(b"\n")
    with suppress(Refused):
        fields = Fields.from_bytes([(b"signature-input", first), (b"signature", second)])
        for each in parse_signatures(fields):
            for signed in (REQUEST, Response(status=200, fields=fields)):
                with suppress(Refused):
                    signature_base(each.input, signed, REQUEST if isinstance(signed, Response) else None)


@target
def accept_signature(data: bytes) -> None:
    """Accept-Signature, in a request and in a response: nothing is signed but what the policy allows."""
    for carrier, signed, request in (
        (REQUEST, Response(status=200, fields=REQUEST.fields), REQUEST),
        (Response(status=200), REQUEST, None),
    ):
        with suppress(Refused):
            fields = Fields.from_bytes([(b"accept-signature", data)])
            asked = parse_accept_signature(with_fields(carrier, fields))
            made = answer(signed, asked, POLICY, now=NOW, request=request)
            labels = {each.label for each in asked}
            for each in parse_signatures(made.fields):
                assert each.label not in labels or POLICY.components.issuperset(each.input.components)


@target
def component(data: bytes) -> None:
    """A component identifier, as people write it."""
    with suppress(Refused):
        str(ComponentIdentifier.parse(data.decode("latin-1")))


@target
def digest(data: bytes) -> None:
    """Content-Digest and Repr-Digest: the first line is the field, the rest the content, cut in two ways."""
    value, _, content = data.partition(b"\n")
    for name in (CONTENT_DIGEST, REPR_DIGEST):
        with suppress(Refused):
            fields = Fields.from_bytes([(name.encode("ascii"), value)])
            collected([content], DigestVerifier(fields, name=name))
            assert b"".join(held_back([content[:1], content[1:]], DigestVerifier(fields, name=name))) == content


@target
def want_content_digest(data: bytes) -> None:
    """Want-Content-Digest: what was read can be answered."""
    with suppress(Refused):
        wanted = parse_want_digest(Fields.from_bytes([(WANT_CONTENT_DIGEST.encode("ascii"), data)]))
        if wanted is not None:
            answer = wanted.choose()
            assert answer is None or want_digest({answer: 10})


@target
def jws(data: bytes) -> None:
    """A compact JWS, a WIT and a JWT-SVID."""
    text = data.decode("latin-1")
    for parse in (UnverifiedJWS.parse, UnverifiedWIT.parse, jwt_svid_trust_domain):
        with suppress(Refused):
            parse(text)


@target
def wit_claims(data: bytes) -> None:
    """A WIT with a good signature: the first line is its header, the rest its payload."""
    header, _, payload = data.partition(b"\n")
    signing_input = f"{b64url_encode(header)}.{b64url_encode(payload)}"
    text = f"{signing_input}.{b64url_encode(ISSUER.sign(signing_input.encode('ascii')))}"
    with suppress(Refused):
        unverified = UnverifiedWIT.parse(text)
        bundle = TrustBundle(trust_domain=unverified.trust_domain, wit_keys=(ISSUER.public_key,))
        verify_wit(unverified, bundle, now=NOW)


@target
def wpt(data: bytes) -> None:
    """A proof: in a field as it is, and with a good signature, its first line the header and the rest the payload."""
    header, _, payload = data.partition(b"\n")
    signing_input = f"{b64url_encode(header)}.{b64url_encode(payload)}"
    signed = f"{signing_input}.{b64url_encode(WORKLOAD.sign(signing_input.encode('ascii')))}".encode("ascii")
    for revision in proof_token.REVISIONS.values():
        scheme = b"" if revision.scheme is None else f"{revision.scheme} ".encode("ascii")
        for value in (data, scheme + signed):
            with suppress(Refused):
                lines = [(WIT_FIELD, WIT.text), ("Txn-Token", "a.b.c"), ("X-User-Token", "u")]
                fields = Fields.from_bytes([(revision.field.encode("ascii"), value)]).adding(*lines)
                verified = proof_token.verify_request(
                    with_fields(REQUEST, fields), WIT, revision=revision, settings=PROOFS, now=NOW
                )
                assert NOW - 30 < verified.proof.expires_at <= NOW + 330
                assert set(verified.covered) == {WIT_FIELD, "txn-token", "x-user-token"}


@target
def identifier(data: bytes) -> None:
    """A workload identifier and a trust domain."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(Refused):
        assert str(WorkloadIdentifier.parse(text)) == text
    with suppress(Refused):
        assert str(TrustDomain.parse(text)) == text


@target
def bundle(data: bytes) -> None:
    """A trust bundle, of either scheme."""
    for domain in DOMAINS:
        with suppress(Refused):
            TrustBundle.parse(domain, data)


@target
def bundle_map(data: bytes) -> None:
    """A bundle map, of either scheme: what was read is written and read as the same."""
    for domain in DOMAINS:
        with suppress(Refused):
            found = parse_bundle_map(data, scheme=domain.scheme)
            again = parse_bundle_map(bundle_map_json(found), scheme=domain.scheme)
            assert set(again) == set(found)
            for each, known in found.items():
                written = known.to_jwks()
                written.pop("spiffe_refresh_hint", None)
                assert again[each].to_jwks() == written


@target
def entries_file(data: bytes) -> None:
    """A file of entries: refused with its line, or each entry can be registered and has no difference to itself."""
    for domain in DOMAINS:
        with suppress(ConfigurationError):
            declared = parse_entries(data, domain)
            stored = [StoredEntry.of(each.registration(domain)) for each in declared.entries]
            assert not difference(declared.entries, stored, domain, prune=True)


@target
def jwk(data: bytes) -> None:
    """A JWK, read as a public and as a private key."""
    for read in (PublicKey.from_jwk, PrivateKey.from_jwk):
        with suppress(Refused):
            read(parse_json_object(data, "the key"))


@target
def key_file(data: bytes) -> None:
    """A file of keys: JWK, JWK Set or PEM."""
    with suppress(Refused):
        load_keys(data)
