"""WIMSE workload-to-workload authentication with HTTP Message Signatures (draft-ietf-wimse-http-signature).

Implements revisions 07 and 06. A draft: revisions are values, and a verifier accepts the ones it was configured for.
"""

from __future__ import annotations

from wimse.profiles.http_signature.judging import (
    begin_signature,
    check_request_nonce,
    has_profile_signature,
    verify_signature,
    wit_of,
)
from wimse.profiles.http_signature.making import SignedRequest, default_audience, sign_request, sign_response
from wimse.profiles.http_signature.revision import (
    AUDIENCE,
    REQUEST_NONCE,
    REVISION_06,
    REVISION_07,
    REVISIONS,
    SIGN_RESPONSE,
    Revision,
)
from wimse.profiles.http_signature.settings import SignatureSettings

__all__ = [
    "AUDIENCE",
    "REQUEST_NONCE",
    "REVISIONS",
    "REVISION_06",
    "REVISION_07",
    "SIGN_RESPONSE",
    "Revision",
    "SignatureSettings",
    "SignedRequest",
    "begin_signature",
    "check_request_nonce",
    "default_audience",
    "has_profile_signature",
    "sign_request",
    "sign_response",
    "verify_signature",
    "wit_of",
]
