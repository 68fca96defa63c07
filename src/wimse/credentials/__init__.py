"""Credentials of workloads: identifiers, tokens, certificates, and the bundles that say whom to trust.

This room knows nothing of HTTP messages and their signatures.
"""

from __future__ import annotations

from wimse.credentials.bundle import JWT_SVID, WIT_SVID, X509_SVID, TrustBundle, TrustBundles
from wimse.credentials.bundle_map import bundle_map_json, parse_bundle_map
from wimse.credentials.claims import TokenSettings
from wimse.credentials.identifier import TrustDomain, WorkloadIdentifier
from wimse.credentials.jws import UnverifiedJWS, sign_compact
from wimse.credentials.jwt_svid import VerifiedJWTSVID, issue_jwt_svid, jwt_svid_trust_domain, verify_jwt_svid
from wimse.credentials.wit import WIT_FIELD, WIT_TYPE, UnverifiedWIT, VerifiedWIT, issue_wit, verify_wit
from wimse.credentials.wit_cache import KnownWIT, VerifiedWITCache
from wimse.credentials.workload import WorkloadCredential, WorkloadSnapshot, WorkloadSource
from wimse.credentials.x509_credential import X509Credential, X509Snapshot, X509Source
from wimse.credentials.x509_svid import issue_x509_authority, issue_x509_svid
from wimse.credentials.x509_verification import (
    CertificatePurpose,
    UnverifiedX509SVID,
    VerifiedX509SVID,
    X509Settings,
    verify_x509_svid,
)

__all__ = [
    "JWT_SVID",
    "WIT_FIELD",
    "WIT_SVID",
    "WIT_TYPE",
    "X509_SVID",
    "CertificatePurpose",
    "KnownWIT",
    "TokenSettings",
    "TrustBundle",
    "TrustBundles",
    "TrustDomain",
    "UnverifiedJWS",
    "UnverifiedWIT",
    "UnverifiedX509SVID",
    "VerifiedJWTSVID",
    "VerifiedWIT",
    "VerifiedWITCache",
    "VerifiedX509SVID",
    "WorkloadCredential",
    "WorkloadIdentifier",
    "WorkloadSnapshot",
    "WorkloadSource",
    "X509Credential",
    "X509Settings",
    "X509Snapshot",
    "X509Source",
    "bundle_map_json",
    "issue_jwt_svid",
    "issue_wit",
    "issue_x509_authority",
    "issue_x509_svid",
    "jwt_svid_trust_domain",
    "parse_bundle_map",
    "sign_compact",
    "verify_jwt_svid",
    "verify_wit",
    "verify_x509_svid",
]
