#!/usr/bin/env python3
"""What a signature costs beside its cryptography: ours and the nearest peer's, as ratios to the raw call.

    benchmarks/core.py [--json] [--rounds N] [--growth]

A typical WIMSE request: six components, five parameters, a WIT of about 1 KB, keys loaded. The raw call, ours and
`http-message-signatures` take turns in one process, a few calls at a time; each figure is the median over the rounds of
the ratio within a round, so that what else the machine does falls out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from typing import Any

import http_message_signatures as peer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.hmac import HMAC
from http_message_signatures import algorithms as peer_algorithms
from http_message_signatures.structures import CaseInsensitiveDict

from wimse.httpsig import CoveredComponents, Fields, Request, Requirements, make_signature, sign, verify_message
from wimse.keys import EDDSA, ES256, PrivateKey, SecretKey, algorithm_named

Key = PrivateKey | SecretKey
Call = Callable[[], object]

NOW = 1_800_000_000
COMPONENTS = ("@method", "@path", "@query", "workload-identity-token", "content-type", "content-digest")
PARAMETERS: dict[str, object] = {
    "created": NOW,
    "expires": NOW + 60,
    "nonce": "bm-jajy7E8EBzQm_mf1m4w",
    "tag": "wimse-workload-to-workload",
    "wimse-aud": "https://orders.example/orders/1",
}
FIELDS = (
    ("Host", "orders.example"),
    ("Accept", "*/*"),
    ("User-Agent", "benchmark"),
    ("Content-Type", "application/json"),
    ("Content-Length", "16"),
    ("Content-Digest", "sha-256=:SGzQ6JlFIp5zX3/pvdUjTx3tgZJ1ohca0DYZK4dFlR8=:"),
    ("Workload-Identity-Token", "e" * 60 + "." + "x" * 880 + "." + "s" * 86),
)
SECRET = b"s" * 32
ALGORITHMS = {
    "ecdsa-p256-sha256": (ES256, peer_algorithms.ECDSA_P256_SHA256),
    "ed25519": (EDDSA, peer_algorithms.ED25519),
    "ecdsa-p384-sha384": (algorithm_named("ES384"), peer_algorithms.ECDSA_P384_SHA384),
    "rsa-pss-sha512": (algorithm_named("PS512"), peer_algorithms.RSA_PSS_SHA512),
    "hmac-sha256": (algorithm_named("HS256"), peer_algorithms.HMAC_SHA256),
}


def key_for(name: str) -> Key:
    """A new key, of 2,048 bits where it is RSA."""
    algorithm = ALGORITHMS[name][0]
    if algorithm.symmetric:
        return SecretKey(SECRET, algorithm=algorithm)
    return PrivateKey.generate(algorithm, rsa_bits=2048)


def raw_calls(key: Key, base: bytes) -> tuple[Call, Call]:
    """The bare calls of `cryptography`, with signatures in the form in which it gives and takes them."""
    if isinstance(key, SecretKey):
        made = _mac(base).finalize()
        return (lambda: _mac(base).finalize()), (lambda: _mac(base).verify(made))
    native: Any = key.native
    public = native.public_key()
    arguments: tuple[object, ...] = ()
    if isinstance(native, ec.EllipticCurvePrivateKey):
        arguments = (ec.ECDSA(hashes.SHA256() if native.key_size == 256 else hashes.SHA384()),)
    elif not isinstance(native, ed25519.Ed25519PrivateKey):
        arguments = (padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())
    signature = native.sign(base, *arguments)
    return (lambda: native.sign(base, *arguments)), (lambda: public.verify(signature, base, *arguments))


def _mac(base: bytes) -> HMAC:
    mac = HMAC(SECRET, hashes.SHA256())
    mac.update(base)
    return mac


def our_calls(key: Key) -> tuple[Call, Call]:
    """The whole `sign`, which gives a signed message, and the whole `verify_message`."""
    message = Request(method="POST", target="/orders/1?notify=yes", authority="orders.example", fields=Fields(FIELDS))
    components = CoveredComponents.of(COMPONENTS)
    signed = sign(message, key, components, PARAMETERS, label="wimse")
    requirements = Requirements(
        tag="wimse-workload-to-workload",
        components=tuple(components),
        parameters=("created", "expires", "nonce", "wimse-aud"),
        parameter_types={"wimse-aud": str},
    )
    verifier = key if isinstance(key, SecretKey) else key.public_key
    return (
        lambda: sign(message, key, components, PARAMETERS, label="wimse"),
        lambda: verify_message(signed, requirements, lambda _: verifier, now=NOW),
    )


def peer_calls(name: str, key: Key) -> tuple[Call, Call]:
    """The nearest request that the peer can do: the same components; created, expires, nonce, tag and its keyid."""
    private: Any = SECRET if isinstance(key, SecretKey) else key.native
    public: Any = SECRET if isinstance(key, SecretKey) else key.native.public_key()

    class Keys(peer.HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> Any:  # noqa: ARG002 - the peer's signature
            return private

        def resolve_public_key(self, key_id: str) -> Any:  # noqa: ARG002 - the peer's signature
            return public

    algorithm = ALGORITHMS[name][1]
    signer = peer.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Keys())
    verifier = peer.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Keys())
    created, expires = datetime.now(UTC), datetime.fromtimestamp(time.time() + 3600, UTC)

    def sign_once() -> Any:
        url = "https://orders.example/orders/1?notify=yes"
        message = SimpleNamespace(method="POST", url=url, headers=CaseInsensitiveDict(dict(FIELDS)))
        signer.sign(
            message,
            key_id="k",
            created=created,
            expires=expires,
            nonce="bm-jajy7E8EBzQm_mf1m4w",
            tag="wimse-workload-to-workload",
            covered_component_ids=COMPONENTS,
            use_existing_digest=True,
        )
        return message

    signed = sign_once()
    return sign_once, (lambda: verifier.verify(signed))


def interleaved(calls: dict[str, Call], rounds: int, batch: int = 10) -> dict[str, float]:
    """Median over the rounds of each call's time, divided by that of `raw` in the same round; and raw in µs."""
    for call in calls.values():
        call()
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    raws: list[float] = []
    for _ in range(rounds):
        took = {name: seconds_of(call, batch) for name, call in calls.items()}
        raws.append(took["raw"])
        for name, seconds in took.items():
            ratios[name].append(seconds / took["raw"])
    return {name: median(values) for name, values in ratios.items()} | {"raw_us": median(raws) * 1e6}


def seconds_of(call: Call, batch: int) -> float:
    """Seconds for one call, over a batch of them."""
    began = time.perf_counter()
    for _ in range(batch):
        call()
    return (time.perf_counter() - began) / batch


def measure(name: str, rounds: int) -> dict[str, float]:
    """All figures of one algorithm."""
    key = key_for(name)
    message = Request(method="POST", target="/orders/1?notify=yes", fields=Fields(FIELDS))
    base = make_signature(message, key, COMPONENTS, PARAMETERS).base.data
    raw, ours, theirs = raw_calls(key, base), our_calls(key), peer_calls(name, key)
    signing = interleaved({"raw": raw[0], "ours": ours[0], "peer": theirs[0]}, rounds)
    verifying = interleaved({"raw": raw[1], "ours": ours[1], "peer": theirs[1]}, rounds)
    return {
        "sign_ratio": signing["ours"],
        "verify_ratio": verifying["ours"],
        "peer_sign_ratio": signing["peer"],
        "peer_verify_ratio": verifying["peer"],
        "raw_sign_us": signing["raw_us"],
        "raw_verify_us": verifying["raw_us"],
    }


def growth(rounds: int) -> dict[str, dict[int, float]]:
    """µs to sign and verify with HMAC, whose own cost is small, as the components and a field's size grow."""
    by_count = {n: _cost([(f"X-{each}", "v" * 20) for each in range(n)], rounds) for n in (4, 8, 16, 32, 64)}
    by_size = {n: _cost([("X-Large", "v" * n)], rounds) for n in (256, 1_024, 4_096, 16_384, 65_536)}
    return {"components": by_count, "field_bytes": by_size}


def _cost(fields: list[tuple[str, str]], rounds: int) -> float:
    key = SecretKey(SECRET, algorithm=ALGORITHMS["hmac-sha256"][0])
    message = Request(method="GET", target="/", authority="a.example", fields=Fields(fields))
    components, requirements = CoveredComponents.of([name.lower() for name, _ in fields]), Requirements()

    def both() -> object:
        signed = sign(message, key, components, {"created": NOW})
        return verify_message(signed, requirements, lambda _: key, now=NOW)

    both()
    return median(seconds_of(both, 10) for _ in range(rounds)) * 1e6


def memory() -> dict[str, int]:
    """Bytes that are held after 1,000 and after 100,000 verifications."""
    _, verify = our_calls(key_for("hmac-sha256"))
    held: dict[str, int] = {}
    tracemalloc.start()
    for done in range(1, 100_001):
        verify()
        if done in (1_000, 100_000):
            held[str(done)] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=60, help="how often the calls take turns")
    parser.add_argument("--growth", action="store_true", help="also: how the cost grows, and what memory is held")
    arguments = parser.parse_args()
    document: dict[str, Any] = {"algorithms": {name: measure(name, arguments.rounds) for name in ALGORITHMS}}
    if arguments.growth:
        document |= {"growth_us": growth(arguments.rounds), "held_bytes": memory()}
    if arguments.json:
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    lines = [f"{'times the raw call':20}{'sign':>8}{'peer':>8}{'verify':>10}{'peer':>8}     raw"]
    for name, row in document["algorithms"].items():
        ratios = f"{row['sign_ratio']:8.2f}{row['peer_sign_ratio']:8.1f}{row['verify_ratio']:10.2f}"
        raw = f"{row['raw_sign_us']:.0f} and {row['raw_verify_us']:.0f} µs"
        lines.append(f"{name:20}{ratios}{row['peer_verify_ratio']:8.1f}     {raw}")
    for what, rows in document.get("growth_us", {}).items():
        lines.append(f"{what}: " + ", ".join(f"{size}: {cost:.0f} µs" for size, cost in rows.items()))
    for done, size in document.get("held_bytes", {}).items():
        lines.append(f"held after {done} verifications: {size} bytes")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
