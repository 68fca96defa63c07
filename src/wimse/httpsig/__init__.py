"""HTTP Message Signatures (RFC 9421) and Content-Digest (RFC 9530), with no thought of workloads or tokens."""

from __future__ import annotations

from wimse.httpsig.base import SignatureBase, signature_base
from wimse.httpsig.components import ComponentIdentifier, component_value
from wimse.httpsig.digest import CONTENT_DIGEST, DIGEST_ALGORITHMS, check_content_digest, content_digest
from wimse.httpsig.flow import Flow, run, run_async
from wimse.httpsig.http1 import MessageFile, parse_http1
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields, Message, Request, Response, with_fields
from wimse.httpsig.parameters import LabelledSignature, SignatureInput, parse_signatures
from wimse.httpsig.signing import (
    MadeSignature,
    PreparedSignature,
    make_signature,
    make_signature_async,
    prepare_signature,
    sign,
    sign_async,
)
from wimse.httpsig.verifying import NeedKey, Requirements, VerifiedSignature, select_signature, verify

__all__ = [
    "CONTENT_DIGEST",
    "DEFAULT_LIMITS",
    "DIGEST_ALGORITHMS",
    "ComponentIdentifier",
    "Fields",
    "Flow",
    "LabelledSignature",
    "Limits",
    "MadeSignature",
    "Message",
    "MessageFile",
    "NeedKey",
    "PreparedSignature",
    "Request",
    "Requirements",
    "Response",
    "SignatureBase",
    "SignatureInput",
    "VerifiedSignature",
    "check_content_digest",
    "component_value",
    "content_digest",
    "make_signature",
    "make_signature_async",
    "parse_http1",
    "parse_signatures",
    "prepare_signature",
    "run",
    "run_async",
    "select_signature",
    "sign",
    "sign_async",
    "signature_base",
    "verify",
    "with_fields",
]
