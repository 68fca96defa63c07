"""HTTP Message Signatures (RFC 9421) and Content-Digest (RFC 9530), with no thought of workloads or tokens."""

from __future__ import annotations

from wimse.httpsig.base import SignatureBase, signature_base
from wimse.httpsig.components import ComponentIdentifier, component_value
from wimse.httpsig.digest import CONTENT_DIGEST, DIGEST_ALGORITHMS, check_content_digest, content_digest
from wimse.httpsig.flow import Flow, run, run_async
from wimse.httpsig.http1 import MessageFile, parse_http1
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields, Message, Request, Response, with_fields
from wimse.httpsig.needs import AsyncKeyResolver, KeyResolver, NeedKey, VerificationKey
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.requirements import Requirements
from wimse.httpsig.resolvers import JWKSet, StaticKeys
from wimse.httpsig.selection import select_signature
from wimse.httpsig.signatures import LabelledSignature, MalformedSignature, ParsedSignatures, parse_signatures
from wimse.httpsig.signing import MadeSignature, make_signature, sign
from wimse.httpsig.verifying import VerifiedSignature, verify, verify_message, verify_message_async

__all__ = [
    "CONTENT_DIGEST",
    "DEFAULT_LIMITS",
    "DIGEST_ALGORITHMS",
    "AsyncKeyResolver",
    "ComponentIdentifier",
    "Fields",
    "Flow",
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
    "Request",
    "Requirements",
    "Response",
    "SignatureBase",
    "SignatureInput",
    "StaticKeys",
    "VerificationKey",
    "VerifiedSignature",
    "check_content_digest",
    "component_value",
    "content_digest",
    "make_signature",
    "parse_http1",
    "parse_signatures",
    "run",
    "run_async",
    "select_signature",
    "sign",
    "signature_base",
    "verify",
    "verify_message",
    "verify_message_async",
    "with_fields",
]
