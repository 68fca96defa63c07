"""What hostile signature fields cost: counted in calls, since times differ from machine to machine (SB-38)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.refusals import refused
from wimse.errors import Reason, Refused, WimseError
from wimse.httpsig import CoveredComponents, Fields, Limits, NeedKey, Request, Requirements, sign, verify_message
from wimse.keys import PrivateKey, PublicKey

PRIVATE = PrivateKey.generate()
KEY = PRIVATE.public_key
HUGE = Limits(
    max_signature_field_bytes=10**9, max_signatures=10**6, max_components=10**6, max_parameters=10**6, max_fields=10**6
)


def message(signature_input: str, signature: str = "sig1=:AAAA:") -> Request:
    lines = [("Signature-Input", signature_input), ("Signature", signature)]
    return Request(method="GET", target="/", fields=Fields(lines))


def refusal(judged: Request, limits: Limits, resolver: Callable[[NeedKey], Any] = lambda _: KEY) -> Reason:
    with pytest.raises(Refused) as caught:
        verify_message(judged, Requirements(label="sig1"), resolver, now=0, limits=limits)
    return caught.value.reason


def calls(run: Callable[[], object]) -> int:
    """How many functions are called, of Python and of C."""
    count = 0

    def profile(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def labels(number: int) -> str:
    return ", ".join(f"s{each}=()" for each in range(number))


def components(number: int) -> str:
    return "sig1=(" + " ".join(f'"a{each}"' for each in range(number)) + ")"


def parameters(number: int) -> str:
    return "sig1=()" + "".join(f";p{each}" for each in range(number))


@pytest.mark.parametrize(
    ("text", "limits", "reason"),
    [
        (components(10_000), Limits(), Reason.FIELD_TOO_LARGE),
        ("sig1=(" + '"a" ' * 262_144 + ")", Limits(), Reason.FIELD_TOO_LARGE),
        ("sig1=" + "(" * 1_048_576, Limits(), Reason.FIELD_TOO_LARGE),
        (labels(500), Limits(), Reason.TOO_MANY_SIGNATURES),
        (labels(1_300), Limits(), Reason.TOO_MANY_SIGNATURES),
        ("sig1=(" + "a " * 8_000 + ")", Limits(), Reason.TOO_MANY_COMPONENTS),
        ("sig1=(" + '"a" ' * 4_000 + ")", Limits(), Reason.TOO_MANY_COMPONENTS),
        ("sig1=" + "(" * 16_000, Limits(), Reason.TOO_MANY_COMPONENTS),
        ("sig1=" + "( " * 8_000, Limits(), Reason.TOO_MANY_COMPONENTS),
        (components(513), Limits(), Reason.TOO_MANY_COMPONENTS),
        (parameters(2_000), Limits(), Reason.TOO_MANY_PARAMETERS),
        ("sig1=()" + ";a" * 5_000, Limits(), Reason.TOO_MANY_PARAMETERS),
    ],
)
def test_too_much_is_refused_before_it_is_parsed(
    text: str, limits: Limits, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SB-38: 10,000 components, 1 MB, 500 labels, deep lists: neither parsed nor looked at twice."""

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("http_sf.parse", parsed)
    judged = message(text, text)
    assert refusal(judged, limits) is reason


@pytest.mark.parametrize("text", [components(65), parameters(17), components(512), "sig1=1", components(64)])
def test_no_key_is_asked_for_and_no_base_built_for_what_is_refused_anyway(text: str) -> None:
    """SB-38, LB-10: the last one is refused for what the application asks."""

    def nobody(_: NeedKey) -> PublicKey:
        raise AssertionError("asked")

    requirements = Requirements(label="sig1", parameters=("nonce",))
    with pytest.raises(Refused) as caught:
        verify_message(message(text), requirements, nobody, now=0)
    assert caught.value.reason in (
        Reason.TOO_MANY_COMPONENTS,
        Reason.TOO_MANY_PARAMETERS,
        Reason.SIGNATURE_FIELD_MALFORMED,
        Reason.PARAMETER_MISSING,
    )


def test_one_signature_at_most_is_checked_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """LB-10"""
    checked: list[bytes] = []
    really = PublicKey.verify

    def counting(self: PublicKey, signature: bytes, data: bytes) -> None:
        checked.append(data)
        really(self, signature, data)

    monkeypatch.setattr(PublicKey, "verify", counting)
    judged = message(", ".join(f"sig{n}=()" for n in range(8)), ", ".join(f"sig{n}=:AAAA:" for n in range(8)))
    assert refusal(judged, Limits(), lambda _: KEY) is Reason.SIGNATURE_INVALID
    assert len(checked) == 1


GROWING: dict[str, Callable[[int], Request]] = {
    "components": lambda n: message(components(n)),
    "one component again and again": lambda n: message("sig1=(" + '"a" ' * n + ")"),
    "parameters": lambda n: message(parameters(n)),
    "one parameter again and again": lambda n: message("sig1=()" + ";a" * n),
    "parameters of a component": lambda n: message('sig1=("a"' + "".join(f";p{each}" for each in range(n)) + ")"),
    "labels": lambda n: message(labels(n)),
    "labels that are doubled in parameters": lambda n: message(
        ", ".join(f"s{each}=();a;a" for each in range(n)), ", ".join(f"s{each}=:AAAA:" for each in range(n))
    ),
    "labels with signatures": lambda n: message(
        "sig1=(), " + labels(n), "sig1=:AAAA:, " + ", ".join(f"s{each}=:AAAA:" for each in range(n))
    ),
    "a long signature": lambda n: message("sig1=()", "sig1=:" + "AAAA" * n + ":"),
    "a long string": lambda n: message('sig1=();nonce="' + "a" * n + '"'),
    "escapes": lambda n: message('sig1=();nonce="' + '\\"' * n + '"'),
    "quotes": lambda n: message('sig1=("' + '"' * n),
    "commas": lambda n: message("sig1=()" + "," * n),
    "parentheses": lambda n: message("sig1=" + "(" * n),
    "white space": lambda n: message("sig1=(" + " " * n + ")"),
    "open quotes": lambda n: message("sig1=(" + '"\\' * n),
    "percent signs": lambda n: message("sig1=(" + '%"' * n),
}


@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("label", ["sig1", None])
def test_the_work_grows_with_the_size_and_no_faster(grow: Callable[[int], Request], label: str | None) -> None:
    """SB-38: with the limits raised out of the way; twice the size, twice the calls."""

    def judge(judged: Request) -> None:
        try:
            verify_message(judged, Requirements(label=label), lambda _: KEY, now=0, limits=HUGE)
        except WimseError:
            return
        raise AssertionError("accepted")

    small, large = grow(1_000), grow(4_000)
    assert calls(lambda: judge(large)) < 4.4 * calls(lambda: judge(small)) + 100


def covering(number: int, size: int) -> Callable[[], object]:
    """Sign and verify a message with so many components of such a size, known and new to the verifier."""
    names = [f"x-{each}" for each in range(number)]
    fields = [(name, "v" * size) for name in names]
    covered, requirements = CoveredComponents.of(names), Requirements()

    def both() -> object:
        signed = sign(Request(method="GET", target="/", fields=Fields(fields)), PRIVATE, covered, {"created": 0})
        return verify_message(signed, requirements, lambda _: KEY, now=0, limits=HUGE)

    both()
    return both


def test_a_good_signature_costs_as_much_more_as_it_has_components() -> None:
    """SB-38: and no more calls for a longer field, whose bytes are copied and hashed only."""
    few, many = calls(covering(100, 10)), calls(covering(400, 10))
    assert many < 4.4 * few + 100
    assert calls(covering(100, 10_000)) <= few + 10


def test_the_default_limits_bound_the_work() -> None:
    """SB-38: whatever stands in 16 KiB."""
    worst = max(calls(lambda each=each: refusal(each(2_000), Limits())) for each in GROWING.values())  # type: ignore[misc]
    assert worst < 20_000


def test_a_limit_is_exact_where_the_whole_is_counted() -> None:
    """SB-38: as many as all labels together may have are read, with white space wherever it may stand."""
    one = "(  " + "  ".join(f'"a{each}"' for each in range(4)) + "  )"
    text = ", ".join(f"s{each}={one};a;  b" for each in range(3)) + f", sig1={one}"
    limits = Limits(max_components=4, max_signatures=4)
    with refused(Reason.COMPONENT_ABSENT):
        verify_message(message(text), Requirements(label="sig1"), lambda _: KEY, now=0, limits=limits)
