"""The one entrance: verify WIT, signature, digest, audience, freshness and policy, in this order and completely."""

from __future__ import annotations

from wimse.authentication.client import ClientAuthenticator
from wimse.authentication.matchers import AnyOf, PathTemplate
from wimse.authentication.needs import BundleLookup, ClaimNonce, NeedBundle, ReplayStore
from wimse.authentication.result import AuthenticatedWorkload
from wimse.authentication.rules import (
    AudienceRule,
    ExactAudience,
    PeerRule,
    Policy,
    TargetAudience,
    any_trusted,
    exactly,
    expect,
    member_of,
)
from wimse.authentication.server import Authenticator

__all__ = [
    "AnyOf",
    "AudienceRule",
    "AuthenticatedWorkload",
    "Authenticator",
    "BundleLookup",
    "ClaimNonce",
    "ClientAuthenticator",
    "ExactAudience",
    "NeedBundle",
    "PathTemplate",
    "PeerRule",
    "Policy",
    "ReplayStore",
    "TargetAudience",
    "any_trusted",
    "exactly",
    "expect",
    "member_of",
]
