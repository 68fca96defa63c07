"""The one entrance: verify WIT, signature, digest, audience, freshness and policy, in this order and completely."""

from __future__ import annotations

from wimse.authentication.client import ClientAuthenticator
from wimse.authentication.needs import BundleLookup, NeedBundle
from wimse.authentication.replay import (
    ClaimNonce,
    LaxReplayStore,
    ReplayKey,
    ReplayStore,
    nonce_alone,
    nonce_of_key,
)
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
    "AudienceRule",
    "AuthenticatedWorkload",
    "Authenticator",
    "BundleLookup",
    "ClaimNonce",
    "ClientAuthenticator",
    "ExactAudience",
    "LaxReplayStore",
    "NeedBundle",
    "PeerRule",
    "Policy",
    "ReplayKey",
    "ReplayStore",
    "TargetAudience",
    "any_trusted",
    "exactly",
    "expect",
    "member_of",
    "nonce_alone",
    "nonce_of_key",
]
