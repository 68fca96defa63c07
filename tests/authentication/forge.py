"""Messages as an attacker, a careless sender or an honest one would write them; all of them really signed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pytest

from wimse.authentication import (
    AnyRevision,
    AudienceFunction,
    AudienceRule,
    AuthenticatedWorkload,
    Authenticator,
    BundleLookup,
    ClientAuthenticator,
    PeerRule,
    Policy,
    ReplayStore,
    any_trusted,
    exactly,
    expect,
)
from wimse.credentials import TokenSettings, TrustBundle, TrustDomain, WorkloadCredential, WorkloadSource
from wimse.errors import Reason, WimseError
from wimse.httpsig import (
    ComponentIdentifier,
    Fields,
    Request,
    Response,
    component_value,
    content_digest,
    make_signature,
    with_fields,
)
from wimse.keys import ES256, PrivateKey, Signer, b64url_encode
from wimse.profiles.http_signature import REVISION_07, Revision, SignatureSettings, SignedRequest
from wimse.stores import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

NOW = 1_800_000_000
LEEWAY = 30
NONCE = "n" * 22
TAG = "wimse-workload-to-workload"
AUDIENCE = "https://orders.example/orders"
CONTENT = b'{"item": 7}'
ANSWER = b'{"order": 12}'

DOMAIN = InMemoryTrustDomain()
FOREIGN = InMemoryTrustDomain("spiffe://elsewhere.example")
WIMSE = InMemoryTrustDomain("wimse://example.org")
CALLER = DOMAIN.credential("/caller", now=NOW)
SERVER = DOMAIN.credential("/server", now=NOW)

HEAD = Request(
    method="POST",
    target="/orders?x=1",
    authority="orders.example",
    fields=Fields(
        [
            ("Host", "orders.example"),
            ("Content-Type", "application/json"),
            ("Authorization", "Bearer abc"),
            ("Txn-Token", "def"),
            ("Accept", "*/*"),
        ]
    ),
)
ANSWER_HEAD = Response(status=201, fields=Fields([("Content-Type", "application/json")]))

REQUEST_COMPONENTS = (
    "@method",
    "@path",
    "@query",
    "workload-identity-token",
    "content-type",
    "content-digest",
    "authorization",
    "txn-token",
)
RESPONSE_COMPONENTS = (
    "@status",
    '"@method";req',
    '"@path";req',
    '"@query";req',
    "workload-identity-token",
    "content-type",
    "content-digest",
)

Message: TypeAlias = Request | Response
Authenticate: TypeAlias = Callable[[Authenticator, Request, bytes, int], AuthenticatedWorkload]
VerifyResponse: TypeAlias = Callable[
    [ClientAuthenticator, Response, bytes, SignedRequest, int], AuthenticatedWorkload | None
]


def changed(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """`base` with `changes`; None takes a member out."""
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def request_parameters(**changes: object) -> dict[str, object]:
    """The parameters of a good request; underscores stand for hyphens."""
    base: dict[str, object] = {
        "created": NOW,
        "expires": NOW + 60,
        "nonce": NONCE,
        "tag": TAG,
        "wimse-aud": AUDIENCE,
        "wimse-sign-response": True,
    }
    return changed(base, {name.replace("_", "-"): value for name, value in changes.items()})


def response_parameters(**changes: object) -> dict[str, object]:
    """The parameters of a good response; underscores stand for hyphens."""
    base: dict[str, object] = {
        "created": NOW,
        "expires": NOW + 60,
        "nonce": "m" * 22,
        "tag": TAG,
        "wimse-req-nonce": NONCE,
    }
    return changed(base, {name.replace("_", "-"): value for name, value in changes.items()})


def present(components: Iterable[str], message: Message) -> list[str]:
    """Those of `components` that the message has."""
    return [each for each in components if each[0] in '@"' or each in message.fields]


def dress(head: Request, wit: str | None, content: bytes, digest: str | None = "") -> Request:
    """The head with its WIT and Content-Digest; an empty `digest` is computed, None leaves it out."""
    lines = [] if wit is None else [("Workload-Identity-Token", wit)]
    if digest is not None and (digest or content):
        lines.append(("Content-Digest", digest or content_digest(content)))
    return with_fields(head, head.fields.adding(*lines))


def forge_request(
    credential: WorkloadCredential = CALLER,
    *,
    head: Request = HEAD,
    content: bytes = CONTENT,
    wit: str | None = None,
    key: Signer | None = None,
    digest: str | None = "",
    omit: Iterable[str] = (),
    extra: Iterable[str] = (),
    parameters: Mapping[str, object] | None = None,
    label: str = "wimse",
) -> Request:
    """A request signed by `make_signature` over whatever is asked for; all defaults give a good one."""
    dressed = dress(head, wit or credential.wit, content, digest)
    components = [each for each in present(REQUEST_COMPONENTS, dressed) if each not in set(omit)]
    made = make_signature(
        dressed,
        key or credential.key,
        [*components, *extra],
        request_parameters() if parameters is None else parameters,
        label=label,
    )
    return adding(dressed, *made.lines())


def forge_response(
    request: Request,
    credential: WorkloadCredential = SERVER,
    *,
    head: Response = ANSWER_HEAD,
    content: bytes = ANSWER,
    wit: str | None = None,
    key: Signer | None = None,
    digest: bool = True,
    omit: Iterable[str] = (),
    extra: Iterable[str] = (),
    parameters: Mapping[str, object] | None = None,
    label: str = "wimse",
) -> Response:
    """A response to `request`, likewise."""
    lines = [("Workload-Identity-Token", wit or credential.wit)]
    if content and digest:
        lines.append(("Content-Digest", content_digest(content)))
    dressed = with_fields(head, head.fields.adding(*lines))
    components = [each for each in present(RESPONSE_COMPONENTS, dressed) if each not in set(omit)]
    made = make_signature(
        dressed,
        key or credential.key,
        [*components, *extra],
        response_parameters() if parameters is None else parameters,
        label=label,
        request=request,
    )
    return with_fields(dressed, dressed.fields.adding(*made.lines()))


def write_literally(
    credential: WorkloadCredential = CALLER, *, signed: str, shown: str | None = None, label: str = "wimse"
) -> Request:
    """A good request but for its parameters, which are text that `make_signature` would not write.

    Args:
        signed: the parameters that stand in the signature base, ``;created=1``.
        shown: the parameters that stand in Signature-Input; None means the same.
    """
    dressed = dress(HEAD, credential.wit, CONTENT)
    identifiers = [ComponentIdentifier.parse(each) for each in REQUEST_COMPONENTS]
    listed = "(" + " ".join(each.serialized for each in identifiers) + ")"
    lines = [f"{each.serialized}: {component_value(each, dressed)}" for each in identifiers]
    base = "\n".join([*lines, f'"@signature-params": {listed}{signed}'])
    value = base64.b64encode(credential.key.sign(base.encode("ascii"))).decode("ascii")
    return adding(
        dressed,
        ("Signature-Input", f"{label}={listed}{signed if shown is None else shown}"),
        ("Signature", f"{label}=:{value}:"),
    )


def adding(message: Request, *lines: tuple[str, str]) -> Request:
    """The message with further field lines at its end."""
    return with_fields(message, message.fields.adding(*lines))


def replacing(message: Request, name: str, *values: str) -> Request:
    """The message with the lines of one field replaced; no value takes the field out."""
    fields = message.fields.without(name.lower())
    return with_fields(message, fields.adding(*((name, value) for value in values)))


def encode(value: object) -> str:
    """JSON in base64url; text is taken as JSON already, bytes as they are."""
    if isinstance(value, bytes):
        return b64url_encode(value)
    return b64url_encode((value if isinstance(value, str) else json.dumps(value)).encode("utf-8"))


def wit_claims(credential: WorkloadCredential = CALLER, /, **changes: object) -> dict[str, object]:
    """The claims of a good WIT."""
    base: dict[str, object] = {
        "sub": str(credential.identity),
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "1",
        "cnf": {"jwk": credential.key.public_key.to_jwk()},
    }
    return changed(base, changes)


def forge_wit(
    claims: object = None,
    *,
    header: object = None,
    signer: Signer = DOMAIN.key,
    **header_changes: object,
) -> str:
    """A WIT with any header and claims, signed by any key; both may be raw JSON text."""
    full = changed({"alg": "ES256", "kid": "issuer", "typ": "wit+jwt"}, header_changes) if header is None else header
    signing_input = f"{encode(full)}.{encode(wit_claims() if claims is None else claims)}"
    return f"{signing_input}.{b64url_encode(signer.sign(signing_input.encode('ascii')))}"


def entrance(
    *,
    bundles: Mapping[TrustDomain, TrustBundle] | WorkloadSource | BundleLookup | None = None,
    audience: str | Iterable[str] | AudienceRule | AudienceFunction = AUDIENCE,
    replay: ReplayStore | None = None,
    policy: Policy = any_trusted,
    settings: SignatureSettings | None = None,
    token_settings: TokenSettings | None = None,
    revision: AnyRevision | Iterable[AnyRevision] = REVISION_07,
) -> Authenticator:
    """The server's side, with a replay store of its own."""
    return Authenticator(
        bundles=DOMAIN.bundles if bundles is None else bundles,
        audience=audience,
        replay=MemoryReplayStore() if replay is None else replay,
        policy=policy,
        settings=settings,
        token_settings=token_settings,
        revision=revision,
    )


def caller(
    *,
    server: PeerRule | None = None,
    require: bool = True,
    token_settings: TokenSettings | None = None,
    revision: Revision = REVISION_07,
) -> ClientAuthenticator:
    """The client's side."""
    return ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW),
        server=server or expect(exactly("spiffe://example.org/server")),
        require_signed_response=require,
        token_settings=token_settings,
        revision=revision,
    )


def reason_of(call: Callable[..., object], /, *arguments: Any, **more: Any) -> Reason:
    """Why the call fails."""
    with pytest.raises(WimseError) as caught:
        call(*arguments, **more)
    return caught.value.reason


def authenticate_now(entrance: Authenticator, request: Request, content: bytes, now: int) -> AuthenticatedWorkload:
    """By the synchronous driver."""
    return entrance.authenticate(request, content, now=now)


def authenticate_awaited(entrance: Authenticator, request: Request, content: bytes, now: int) -> AuthenticatedWorkload:
    """By the asynchronous driver."""
    return asyncio.run(entrance.authenticate_async(request, content, now=now))


def verify_now(
    client: ClientAuthenticator, response: Response, content: bytes, sent: SignedRequest, now: int
) -> AuthenticatedWorkload | None:
    """By the synchronous driver."""
    return client.verify_response(response, content, sent, now=now)


def verify_awaited(
    client: ClientAuthenticator, response: Response, content: bytes, sent: SignedRequest, now: int
) -> AuthenticatedWorkload | None:
    """By the asynchronous driver."""
    return asyncio.run(client.verify_response_async(response, content, sent, now=now))


class Awaited(Awaitable[Any]):
    """Something to await that is no coroutine, so that nobody is warned when it never is."""

    def __init__(self, result: object) -> None:
        """Hold the result, or the exception to raise."""
        self._result = result

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


class RecordingStore:
    """A replay store that remembers what it was asked, and answers with one value."""

    def __init__(self, answer: Any = True) -> None:
        """Hold the answer."""
        self.claims: list[tuple[bytes, int, int]] = []
        self._answer = answer

    def claim(self, key: bytes, until: int, now: int) -> Any:
        """Record and answer."""
        self.claims.append((key, until, now))
        return self._answer


def new_key() -> PrivateKey:
    """A P-256 key that nobody knows."""
    return PrivateKey.generate(ES256)
