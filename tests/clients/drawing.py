"""What several processes draw at random at once, all from the same beginnings."""

from __future__ import annotations

import base64
import json
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from tests.servers.support import DOMAIN
from wimse.authentication import ClientAuthenticator, any_trusted, expect
from wimse.clients.hop import Hop, new_nonce
from wimse.credentials import WorkloadCredential, WorkloadSnapshot
from wimse.httpsig import parse_signatures
from wimse.keys import EDDSA, ES256, PrivateKey, SecretKey
from wimse.profiles.proof_token import REVISION_02 as PROOF_02
from wimse.testing import FixedSource

WORKERS = 4
PATIENCE = 60

Drawn = TypeVar("Drawn")
_starts: list[Any] = []  # in each process: where all of them wait for each other


def begin(start: Any) -> None:
    """Keep it."""
    _starts.append(start)


def in_processes(method: str, draw: Callable[..., Drawn], *arguments: Any) -> list[Drawn]:
    """What each of several processes drew, of which no one begins before all are there."""
    context = multiprocessing.get_context(method)
    start = context.Barrier(WORKERS)
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=begin, initargs=(start,)) as pool:
        return list(pool.map(_together, [draw] * WORKERS, [arguments] * WORKERS, timeout=PATIENCE))


def _together(draw: Callable[..., Drawn], arguments: tuple[Any, ...]) -> Drawn:
    _starts[-1].wait(PATIENCE)
    random.seed(0)  # what this generator says, it says in each of them
    return draw(*arguments)


def of_messages(wit: str, key: dict[str, Any], times: int) -> dict[str, list[str]]:
    """Sign the same request and make the same proof, many times, as clients do; and new keys.

    Returns:
        By name, what was drawn. Of an ECDSA signature that is its first half: the same for two messages, it would give
        the key away.
    """
    credential = WorkloadCredential.from_wit(wit, PrivateKey.from_jwk(key))
    source = FixedSource(WorkloadSnapshot(credential, DOMAIN.bundles))
    signing = ClientAuthenticator(source, server=expect(any_trusted))
    proving = ClientAuthenticator(source, server=expect(any_trusted), revision=PROOF_02, require_signed_response=False)
    drawn: dict[str, list[str]] = {}
    for _ in range(times):
        _of_request(hop(signing), drawn)
        _of_proof(hop(proving), drawn)
    for algorithm in (ES256, EDDSA):
        drawn.setdefault("key", []).append(PrivateKey.generate(algorithm).public_key.thumbprint())
    drawn["secret"] = [SecretKey.generate().to_jwk()["k"]]
    return drawn


def nonces(times: int) -> bytes:
    """So many nonces, one after the other, each of 16 bytes."""
    return b"".join(base64.urlsafe_b64decode(new_nonce() + "==") for _ in range(times))


def hop(judge: ClientAuthenticator) -> Hop:
    lines = [(b"Host", b"orders.example")]
    return Hop.sign(judge, method="POST", scheme="https", target="/orders", lines=lines, content=b"1")


def _of_request(signed: Hop, drawn: dict[str, list[str]]) -> None:
    (signature,) = parse_signatures(signed.sent.request.fields)
    drawn.setdefault("nonce", []).append(str(signature.input.parameters["nonce"]))
    drawn.setdefault("half of a signature", []).append(signature.value[:32].hex())


def _of_proof(proven: Hop, drawn: dict[str, list[str]]) -> None:
    (field,) = proven.sent.request.fields.values("authorization")
    _, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in field.removeprefix("WPT ").split("."))
    drawn.setdefault("jti", []).append(json.loads(claims)["jti"])
    drawn.setdefault("half of a signature", []).append(signature[:32].hex())
