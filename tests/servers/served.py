"""The application that granian serves in the tests, behind the middleware; its identity comes from the environment."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from typing import Any
from urllib.parse import unquote_to_bytes

from wimse.authentication import Authenticator, BearerEntrance, BearerPolicy, TargetAudience, exactly, member_of
from wimse.credentials import (
    TrustBundle,
    TrustBundles,
    TrustDomain,
    WorkloadCredential,
    WorkloadIdentifier,
    WorkloadSnapshot,
)
from wimse.errors import Reason, Refused
from wimse.keys import PrivateKey
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.testing import FixedSource

CALLS: list[str] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    path, query = scope["path"], scope["query_string"]
    if path == "/calls":
        await answer(send, 200, json.dumps(CALLS).encode())
        return
    CALLS.append(path)
    if "wimse.bearer" in scope:
        await answer(send, 200, f"{scope['wimse.bearer'].identity} {body.decode()}".encode())
        return
    if path == "/redirect":
        await answer(send, 307, b"", (b"location", unquote_to_bytes(query)))
    elif path == "/gzip":
        await answer(send, 200, gzip.compress(b"squeezed"), (b"content-encoding", b"gzip"))
    elif path == "/big":
        await answer(send, 200, b"x" * int(query))
    elif path == "/file":
        await file_answer(scope, send)
    elif path == "/no-content":
        await answer(send, 204, b"")
    else:
        seen = {
            "identity": str(scope["wimse"].identity),
            "nonce": scope["wimse"].nonce,
            "audience": scope["wimse"].signature.parameters["wimse-aud"],
            "target": f"{scope['raw_path'].decode()}?{query.decode()}",
            "body": body.decode(),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        }
        await answer(send, 200, json.dumps(seen).encode(), (b"content-type", b"application/json"))


async def answer(send: Any, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": content})


async def file_answer(scope: Any, send: Any) -> None:
    """As frameworks do it: by the server where it offers that, else as a body."""
    if "http.response.pathsend" in scope["extensions"]:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(b"unsigned")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": file.name})
    else:
        await answer(send, 200, b"from a file")


TOKENS = {
    "legacy-token": "spiffe://example.org/legacy",
    "client-token": "spiffe://example.org/client",
}


async def verify_bearer(token: str) -> WorkloadIdentifier:
    if token not in TOKENS:
        raise Refused(Reason.TOKEN_SIGNATURE_INVALID, "the bearer token is not good")
    return WorkloadIdentifier.parse(TOKENS[token])


BEARER = BearerEntrance(
    policy=BearerPolicy(bearer_callers=exactly("spiffe://example.org/legacy")), verify=verify_bearer
)


def make() -> WimseMiddleware:
    settings = json.loads(os.environ["WIMSE_TEST_SERVER"])
    domain = TrustDomain.parse("spiffe://example.org")
    bundles = TrustBundles(TrustBundle.parse(domain, settings["bundle"].encode()))
    credential = WorkloadCredential.from_wit(settings["wit"], PrivateKey.from_jwk(settings["key"]))
    return WimseMiddleware(
        application,
        authenticator=Authenticator(
            bundles=bundles,
            audience=TargetAudience(settings["origin"]),
            replay=MemoryReplayStore(),
            policy=member_of(domain),
        ),
        source=FixedSource(WorkloadSnapshot(credential, bundles)),
        scheme="http",
        max_body_bytes=100_000,
        max_response_bytes=100_000,
        exempt=["/calls"],
        bearer=BEARER,
    )


app = make() if "WIMSE_TEST_SERVER" in os.environ else None
