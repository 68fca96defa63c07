"""WIMSE workload-to-workload authentication with HTTP Message Signatures (draft-ietf-wimse-http-signature).

Implements revisions 07 and 06, that of the Go proof of concept by Cofide, and a bridge to it. A draft: revisions are
values, and a verifier accepts the ones it was configured for.
"""

from __future__ import annotations

from wimse.profiles.http_signature.interop import BRIDGE, COFIDE_POC, REVISIONS
from wimse.profiles.http_signature.judging import (
    SignatureRules,
    check_request_nonce,
    has_profile_signature,
    wit_of,
)
from wimse.profiles.http_signature.making import SignedRequest, default_audience, sign_request, sign_response
from wimse.profiles.http_signature.outdated import explained
from wimse.profiles.http_signature.revision import (
    AUDIENCE,
    REQUEST_NONCE,
    REVISION_06,
    REVISION_07,
    SIGN_RESPONSE,
    Revision,
)
from wimse.profiles.http_signature.settings import SignatureSettings
from wimse.profiles.http_signature.wishes import (
    is_signature_wished,
    wish_for_signed_requests,
    wish_for_signed_response,
)

__all__ = [
    "AUDIENCE",
    "BRIDGE",
    "COFIDE_POC",
    "REQUEST_NONCE",
    "REVISIONS",
    "REVISION_06",
    "REVISION_07",
    "SIGN_RESPONSE",
    "Revision",
    "SignatureRules",
    "SignatureSettings",
    "SignedRequest",
    "check_request_nonce",
    "default_audience",
    "explained",
    "has_profile_signature",
    "is_signature_wished",
    "sign_request",
    "sign_response",
    "wish_for_signed_requests",
    "wish_for_signed_response",
    "wit_of",
]
