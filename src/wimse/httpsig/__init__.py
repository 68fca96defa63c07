"""HTTP Message Signatures (RFC 9421) and Content-Digest (RFC 9530), with no thought of workloads or tokens."""

from __future__ import annotations

from wimse.httpsig.accept_signature import SignatureRequest, parse_accept_signature, request_signatures
from wimse.httpsig.answering import AnswerPolicy, answer
from wimse.httpsig.base import SignatureBase, signature_base
from wimse.httpsig.components import ComponentIdentifier, Resolver, component_value, resolver_for
from wimse.httpsig.digest import CONTENT_DIGEST, DIGEST_ALGORITHMS, check_content_digest, content_digest
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldType, StructuredFieldTypes
from wimse.httpsig.flow import Flow, run, run_async
from wimse.httpsig.http1 import MessageFile, parse_http1
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields, Message, Request, Response, with_fields
from wimse.httpsig.parameters import LabelledSignature, SignatureInput, parse_signatures
from wimse.httpsig.signing import MadeSignature, make_signature, sign
from wimse.httpsig.verifying import NeedKey, Requirements, VerifiedSignature, select_signature, verify

__all__ = [
    "CONTENT_DIGEST",
    "DEFAULT_FIELD_TYPES",
    "DEFAULT_LIMITS",
    "DIGEST_ALGORITHMS",
    "AnswerPolicy",
    "ComponentIdentifier",
    "Fields",
    "Flow",
    "LabelledSignature",
    "Limits",
    "MadeSignature",
    "Message",
    "MessageFile",
    "NeedKey",
    "Request",
    "Requirements",
    "Resolver",
    "Response",
    "SignatureBase",
    "SignatureInput",
    "SignatureRequest",
    "StructuredFieldType",
    "StructuredFieldTypes",
    "VerifiedSignature",
    "answer",
    "check_content_digest",
    "component_value",
    "content_digest",
    "make_signature",
    "parse_accept_signature",
    "parse_http1",
    "parse_signatures",
    "request_signatures",
    "resolver_for",
    "run",
    "run_async",
    "select_signature",
    "sign",
    "signature_base",
    "verify",
    "with_fields",
]
