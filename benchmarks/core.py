#!/usr/bin/env python3
"""What a signature costs beside its cryptography: ours and the nearest peer's, as ratios to the raw call.

    benchmarks/core.py [--json] [--rounds N] [--growth]

A typical WIMSE request: six components, five parameters, a WIT of about 1 KB, keys loaded. The raw call takes turns in
one process with ours, and apart from that with `http-message-signatures`, a few calls at a time; each figure is the
median over the rounds of the ratio within a round, and the clock is that of the processor (`time.process_time`), so
that what else the machine does falls out. Each message is a new one, of which nothing is known; it is made before the
clock starts. The raw call takes and gives signatures in the form in which they are sent: for ECDSA r and s side by side
(RFC 9421 §3.3.4, §3.3.5); the ratios to a call that stops at DER are the ones in brackets.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from typing import Any

import http_message_signatures as peer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hmac import HMAC
from http_message_signatures import algorithms as peer_algorithms
from http_message_signatures.structures import CaseInsensitiveDict

from wimse.httpsig import CoveredComponents, Fields, Request, Requirements, make_signature, sign, verify_message
from wimse.keys import EDDSA, ES256, PrivateKey, SecretKey, algorithm_named

Key = PrivateKey | SecretKey
Call = Callable[[Any], object]  # of what was made for it before the clock started
Make = Callable[[], Any]

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


def raw_calls(key: Key, base: bytes, *, der: bool = False) -> tuple[Call, Call]:
    """The bare calls of `cryptography`: to sign, and to verify. With `der`, ECDSA's signatures stay as it has them."""
    if isinstance(key, SecretKey):
        made = _mac(base).finalize()
        return (lambda _: _mac(base).finalize()), (lambda _: _mac(base).verify(made))
    native: Any = key.native
    public = native.public_key()
    arguments: tuple[object, ...] = ()
    if isinstance(native, ec.EllipticCurvePrivateKey):
        scheme = ec.ECDSA(hashes.SHA256() if native.key_size == 256 else hashes.SHA384())
        if not der:
            return _raw_ecdsa(native, scheme, base)
        arguments = (scheme,)
    elif not isinstance(native, ed25519.Ed25519PrivateKey):
        arguments = (padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())
    signature = native.sign(base, *arguments)
    return (lambda _: native.sign(base, *arguments)), (lambda _: public.verify(signature, base, *arguments))


def _raw_ecdsa(native: ec.EllipticCurvePrivateKey, scheme: ec.ECDSA, base: bytes) -> tuple[Call, Call]:
    public, size = native.public_key(), native.key_size // 8

    def make(_: object) -> bytes:
        r, s = decode_dss_signature(native.sign(base, scheme))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    signature = make(None)

    def check(_: object) -> None:
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        public.verify(encode_dss_signature(r, s), base, scheme)

    return make, check


def _mac(base: bytes) -> HMAC:
    mac = HMAC(SECRET, hashes.SHA256())
    mac.update(base)
    return mac


def new_message(fields: Sequence[tuple[str, str]]) -> Request:
    """A message of which nothing is known yet."""
    target = "/orders/1?notify=yes"
    return Request(method="POST", target=target, authority="orders.example", fields=Fields(fields))


def our_calls(key: Key) -> tuple[tuple[Make, Call], tuple[Make, Call]]:
    """The whole `sign`, which gives a signed message, and the whole `verify_message`; and what each is called with."""
    components = CoveredComponents.of(COMPONENTS)
    signed = tuple(sign(new_message(FIELDS), key, components, PARAMETERS, label="wimse").fields)
    requirements = Requirements(
        tag="wimse-workload-to-workload",
        components=tuple(components),
        parameters=("created", "expires", "nonce", "wimse-aud"),
        parameter_types={"wimse-aud": str},
    )
    verifier = key if isinstance(key, SecretKey) else key.public_key
    return (
        (lambda: new_message(FIELDS), lambda message: sign(message, key, components, PARAMETERS, label="wimse")),
        (
            lambda: new_message(signed),
            lambda message: verify_message(message, requirements, lambda _: verifier, now=NOW),
        ),
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

    def sign_once(_: object) -> Any:
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

    signed = sign_once(None)
    return sign_once, (lambda _: verifier.verify(signed))


def ratio(raw: Call, make: Make, call: Call, rounds: int) -> tuple[float, float]:
    """The median over the rounds of the call's time, divided by that of `raw` in the same round; and `raw`, in µs."""
    ratios: list[float] = []
    raws: list[float] = []
    for _ in range(rounds):
        raws.append(seconds_of(raw, _nothing))
        ratios.append(seconds_of(call, make) / raws[-1])
    return median(ratios), median(raws) * 1e6


def seconds_of(call: Call, make: Make, batch: int = 10) -> float:
    """Seconds of the processor for one call, over a batch of them; what it is called with is made before."""
    made = [make() for _ in range(batch)]
    began = time.process_time()
    for each in made:
        call(each)
    return (time.process_time() - began) / batch


def _nothing() -> None:
    return None


def measure(name: str, rounds: int) -> dict[str, float]:
    """All figures of one algorithm."""
    key = key_for(name)
    base = make_signature(new_message(FIELDS), key, COMPONENTS, PARAMETERS).base.data
    figures: dict[str, float] = {}
    raws, ders, ours, theirs = (
        raw_calls(key, base),
        raw_calls(key, base, der=True),
        our_calls(key),
        peer_calls(name, key),
    )
    for kind, raw, der, (make, call), peer_call in zip(("sign", "verify"), raws, ders, ours, theirs, strict=True):
        figures[f"{kind}_ratio"], figures[f"raw_{kind}_us"] = ratio(raw, make, call, rounds)
        figures[f"{kind}_ratio_der"], _ = ratio(der, make, call, rounds)
        figures[f"peer_{kind}_ratio"], _ = ratio(raw, _nothing, peer_call, rounds)
    return figures


def growth(rounds: int) -> dict[str, dict[int, float]]:
    """µs to sign and verify with HMAC, whose own cost is small, as the components and a field's size grow."""
    by_count = {n: _cost([(f"X-{each}", "v" * 20) for each in range(n)], rounds) for n in (4, 8, 16, 32, 64)}
    by_size = {n: _cost([("X-Large", "v" * n)], rounds) for n in (256, 1_024, 4_096, 16_384, 65_536)}
    return {"components": by_count, "field_bytes": by_size}


def _cost(fields: list[tuple[str, str]], rounds: int) -> float:
    key = SecretKey(SECRET, algorithm=ALGORITHMS["hmac-sha256"][0])
    components, requirements = CoveredComponents.of([name.lower() for name, _ in fields]), Requirements()

    def both(message: Request) -> object:
        signed = sign(message, key, components, {"created": NOW})
        return verify_message(signed, requirements, lambda _: key, now=NOW)

    return median(seconds_of(both, lambda: new_message(fields)) for _ in range(rounds)) * 1e6


def memory() -> dict[str, int]:
    """Bytes that are held after 1,000 and after 100,000 verifications."""
    make, verify = our_calls(key_for("hmac-sha256"))[1]
    held: dict[str, int] = {}
    tracemalloc.start()
    for done in range(1, 100_001):
        verify(make())
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
    lines = [f"{'times the raw call':20}{'sign':>14}{'peer':>8}{'verify':>16}{'peer':>8}     raw"]
    for name, row in document["algorithms"].items():
        ratios = f"{row['sign_ratio']:7.2f} ({row['sign_ratio_der']:.2f}){row['peer_sign_ratio']:8.1f}"
        ratios += f"{row['verify_ratio']:9.2f} ({row['verify_ratio_der']:.2f})"
        raw = f"{row['raw_sign_us']:.0f} and {row['raw_verify_us']:.0f} µs"
        lines.append(f"{name:20}{ratios}{row['peer_verify_ratio']:8.1f}     {raw}")
    for what, rows in document.get("growth_us", {}).items():
        lines.append(f"{what}: " + ", ".join(f"{size}: {cost:.0f} µs" for size, cost in rows.items()))
    for done, size in document.get("held_bytes", {}).items():
        lines.append(f"held after {done} verifications: {size} bytes")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
