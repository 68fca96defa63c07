"""Answering an Accept-Signature (RFC 9421 §5.2) without becoming an oracle.

A signer that signs whatever it is asked to sign lends its key to whoever asks. So what it is willing to sign is a value
of its own, the policy, and the rules are:

1. Only components that the policy names are covered, exactly as it names them; nothing is left out or added, as §5.2
   asks for "the same set of covered components": what does not fit is refused, never trimmed.
2. Components that the policy requires are covered. A signature over nothing is never made: it would fit any message.
3. The key, the algorithm and the tag are among those of the policy. A tag names a protocol; a signature for another
   protocol is not made.
4. A nonce that the peer chooses is signed only when the policy says so. `created` and `expires` are the signer's.
5. Parameters that are not known here are refused: nothing is promised that is not understood.
6. All or nothing: when one of several signatures is refused, none is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from wimse.errors import ConfigurationError, Reason, Refused, Violation
from wimse.httpsig.accept_signature import SignatureRequest
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.message import AnyMessage, Request, Response
from wimse.httpsig.signing import sign
from wimse.keys import AnySigner, verification_key

__all__ = ["AnswerPolicy", "answer"]

_KNOWN = frozenset({"created", "expires", "nonce", "alg", "keyid", "tag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPolicy:
    """What a signer is willing to sign when it is asked to.

    Attributes:
        signers: the keys, each under the `keyid` by which it may be asked for, and which the signature then has.
        default_keyid: the key that is taken when none is asked for; it must be one of `signers`. None refuses.
        components: identifiers that may be covered, exactly these: ``content-digest;sf`` is another one.
        required_components: identifiers that must be covered; they may be, too.
        tags: those that may be asked for. None among them lets a signature have no tag. Default: no tag only.
        chosen_nonce: whether a nonce that the peer chooses may be signed. Default False.
        max_nonce_bytes: longest nonce that is. Default 128.
        max_signatures: how many signatures one field may ask for. Default 4.
        lifetime: from `created` to `expires`. Default 5 min; at least 1 s.

    Raises on construction:
        ConfigurationError: for a policy that allows nothing, a default key that is not there, a limit below 1.
    """

    signers: Mapping[str, AnySigner] = field(repr=False)
    default_keyid: str | None = None
    components: frozenset[ComponentIdentifier]
    required_components: frozenset[ComponentIdentifier] = frozenset()
    tags: frozenset[str | None] = frozenset({None})
    chosen_nonce: bool = False
    max_nonce_bytes: int = 128
    max_signatures: int = 4
    lifetime: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not self.signers or not self.tags or not (self.components or self.required_components):
            raise ConfigurationError("an answer policy needs keys, components and tags")
        if self.default_keyid is not None and self.default_keyid not in self.signers:
            raise ConfigurationError("the default key of an answer policy is not one of its keys")
        if self.max_nonce_bytes < 1 or self.max_signatures < 1 or self.lifetime < timedelta(seconds=1):
            raise ConfigurationError("a limit of an answer policy is below 1")
        object.__setattr__(self, "signers", MappingProxyType(dict(self.signers)))

    def check(self, asked: SignatureRequest) -> None:
        """Compare one signature that is asked for with this policy.

        Raises:
            Refused: with every violation: `component_forbidden`, `component_not_covered`, `parameter_forbidden`,
                `parameter_value`, `algorithm_mismatch`; its reason is that of the first one.
        """
        violations = [*self._coverage(asked), *self._parameters(asked), *self._key(asked)]
        if violations:
            raise Refused.for_violations(violations)

    def fitting(self, asked: Iterable[SignatureRequest]) -> tuple[SignatureRequest, ...]:
        """Those of `asked` that this policy allows: "MAY ignore any signature request that does not fit" (§5.2)."""
        return tuple(each for each in asked if self._allows(each))

    def _allows(self, asked: SignatureRequest) -> bool:
        try:
            self.check(asked)
        except Refused:
            return False
        return True

    def keyid_for(self, asked: SignatureRequest) -> str | None:
        """The key that is asked for, or the default one; it may not be there."""
        return asked.wanted.text("keyid") if "keyid" in asked.parameters else self.default_keyid

    def _coverage(self, asked: SignatureRequest) -> list[Violation]:
        allowed, covered = self.components | self.required_components, frozenset(asked.components)
        found = [
            Violation(Reason.COMPONENT_FORBIDDEN, "a component is asked for that is not signed for others")
            for each in asked.components
            if each not in allowed
        ][:1]
        found += [
            Violation(Reason.COMPONENT_NOT_COVERED, f"{each} is not covered")
            for each in sorted(self.required_components - covered, key=str)
        ]
        if not covered and not found:
            found.append(Violation(Reason.COMPONENT_NOT_COVERED, "a signature over no component is not made"))
        return found

    def _parameters(self, asked: SignatureRequest) -> list[Violation]:
        found = [
            Violation(Reason.PARAMETER_FORBIDDEN, "a parameter is asked for that is not known")
            for name in asked.parameters
            if name not in _KNOWN
        ][:1]
        nonce = asked.wanted.text("nonce")
        if nonce is not None and not self.chosen_nonce:
            found.append(Violation(Reason.PARAMETER_FORBIDDEN, "a nonce of the peer's choice is not signed"))
        elif nonce is not None and len(nonce) > self.max_nonce_bytes:
            found.append(Violation(Reason.PARAMETER_VALUE, f"the nonce is longer than {self.max_nonce_bytes} bytes"))
        if asked.wanted.text("tag") not in self.tags:
            found.append(Violation(Reason.PARAMETER_VALUE, "the tag is not one that is signed with"))
        return found

    def _key(self, asked: SignatureRequest) -> list[Violation]:
        # Which keys there are is not told (§8.3).
        signer = self.signers.get(self.keyid_for(asked) or "")
        if signer is None:
            return [Violation(Reason.PARAMETER_VALUE, "the key is not one that is signed with")]
        name = verification_key(signer).algorithm.http_name
        if asked.parameters.get("alg", name) != name:
            return [Violation(Reason.ALGORITHM_MISMATCH, "the algorithm is not the one of the key")]
        return []


def answer(
    message: AnyMessage,
    asked: Iterable[SignatureRequest],
    policy: AnswerPolicy,
    *,
    now: int,
    request: Request | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> AnyMessage:
    """Make the signatures that are asked for (§5.2), each under the label that was asked for.

    Args:
        message: what is signed: the response to the request that asked, or the next request after the response that
            did. Nothing but Signature-Input and Signature lines is added to it.
        asked: from `parse_accept_signature`, all of it, or what `AnswerPolicy.fitting` left of it.
        policy: what this signer is willing to sign.
        now: seconds since 1970.
        request: when the message is a response, the request that it answers.
        field_types: the structured fields that are known, for `sf` and `key`.

    Returns:
        The message with the signatures; as it was when nothing is asked.

    Raises:
        Refused: as `AnswerPolicy.check` and `SignatureRequest.check_target`; `too_many_signatures`;
            `signature_label_duplicated` for a label that the message has; a reason of the class `base` when a
            component is not in the message. Then nothing is signed.
    """
    wanted = tuple(asked)
    if len(wanted) > policy.max_signatures:
        raise Refused(Reason.TOO_MANY_SIGNATURES, f"more than {policy.max_signatures} signatures are asked for")
    target: type[Request | Response] = Request if isinstance(message, Request) else Response
    for each in wanted:  # all checks before the first signature
        each.check_target(target, field_types)
        policy.check(each)
    for each in wanted:
        keyid = policy.keyid_for(each) or ""
        message = sign(
            message,
            policy.signers[keyid],
            each.components,
            _parameters(each, keyid, now, policy.lifetime),
            label=each.label,
            request=request,
            field_types=field_types,
        )
    return message


def _parameters(asked: SignatureRequest, keyid: str, now: int, lifetime: timedelta) -> dict[str, object]:
    # In the order in which they are asked for; what is not asked for comes after (§5.2 step 2.5).
    own: dict[str, object] = {"created": now, "expires": now + int(lifetime.total_seconds()), "keyid": keyid}
    return {name: own.get(name, value) for name, value in asked.parameters.items()} | own
