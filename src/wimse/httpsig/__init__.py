"""HTTP Message Signatures (RFC 9421) and digest fields (RFC 9530), with no thought of workloads or tokens."""

from __future__ import annotations

from wimse.httpsig.accept_signature import SignatureRequest, parse_accept_signature, request_signatures
from wimse.httpsig.answering import AnswerPolicy, answer
from wimse.httpsig.base import SignatureBase, signature_base
from wimse.httpsig.components import ComponentIdentifier, Resolver, component_value, resolver_for
from wimse.httpsig.coverage import CoveredComponents
from wimse.httpsig.digest import (
    DIGEST_ALGORITHMS,
    Digester,
    DigestVerifier,
    check_content_digest,
    check_repr_digest,
    content_digest,
    repr_digest,
)
from wimse.httpsig.digest_fields import CONTENT_DIGEST, REPR_DIGEST, parse_digests
from wimse.httpsig.digest_preferences import (
    WANT_CONTENT_DIGEST,
    WANT_REPR_DIGEST,
    DigestPreferences,
    parse_want_digest,
    want_digest,
)
from wimse.httpsig.digest_streams import HeldBack, collected, collected_async, held_back, held_back_async
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldType, StructuredFieldTypes
from wimse.httpsig.flow import Flow, run, run_async
from wimse.httpsig.http1 import MessageFile, parse_http1
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields, Message, Request, Response, with_fields
from wimse.httpsig.needs import AsyncKeyResolver, KeyResolver, NeedKey
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.requirements import Requirements
from wimse.httpsig.resolvers import JWKSet, StaticKeys
from wimse.httpsig.selection import select_signature
from wimse.httpsig.signatures import LabelledSignature, MalformedSignature, ParsedSignatures, parse_signatures
from wimse.httpsig.signing import (
    MadeSignature,
    PreparedSignature,
    make_signature,
    make_signature_async,
    prepare_signature,
    sign,
    sign_async,
)
from wimse.httpsig.verifying import VerifiedSignature, verify, verify_message, verify_message_async

__all__ = [
    "CONTENT_DIGEST",
    "DEFAULT_FIELD_TYPES",
    "DEFAULT_LIMITS",
    "DIGEST_ALGORITHMS",
    "REPR_DIGEST",
    "WANT_CONTENT_DIGEST",
    "WANT_REPR_DIGEST",
    "AnswerPolicy",
    "AsyncKeyResolver",
    "ComponentIdentifier",
    "CoveredComponents",
    "DigestPreferences",
    "DigestVerifier",
    "Digester",
    "Fields",
    "Flow",
    "HeldBack",
    "JWKSet",
    "KeyResolver",
    "LabelledSignature",
    "Limits",
    "MadeSignature",
    "MalformedSignature",
    "Message",
    "MessageFile",
    "NeedKey",
    "ParsedSignatures",
    "PreparedSignature",
    "Request",
    "Requirements",
    "Resolver",
    "Response",
    "SignatureBase",
    "SignatureInput",
    "SignatureRequest",
    "StaticKeys",
    "StructuredFieldType",
    "StructuredFieldTypes",
    "VerifiedSignature",
    "answer",
    "check_content_digest",
    "check_repr_digest",
    "collected",
    "collected_async",
    "component_value",
    "content_digest",
    "held_back",
    "held_back_async",
    "make_signature",
    "make_signature_async",
    "parse_accept_signature",
    "parse_digests",
    "parse_http1",
    "parse_signatures",
    "parse_want_digest",
    "prepare_signature",
    "repr_digest",
    "request_signatures",
    "resolver_for",
    "run",
    "run_async",
    "select_signature",
    "sign",
    "sign_async",
    "signature_base",
    "verify",
    "verify_message",
    "verify_message_async",
    "want_digest",
    "with_fields",
]
