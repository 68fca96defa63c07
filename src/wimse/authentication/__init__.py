"""The one entrance: verify WIT, signature, digest, audience, freshness and policy, in this order and completely."""

from __future__ import annotations

from wimse.authentication.client import ClientAuthenticator
from wimse.authentication.events import Decision, Observer, Outcome, Role
from wimse.authentication.needs import BundleLookup, NeedBundle
from wimse.authentication.proofs import AnyRevision
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
    "AnyRevision",
    "AudienceRule",
    "AuthenticatedWorkload",
    "Authenticator",
    "BundleLookup",
    "ClaimNonce",
    "ClientAuthenticator",
    "Decision",
    "ExactAudience",
    "LaxReplayStore",
    "NeedBundle",
    "Observer",
    "Outcome",
    "PeerRule",
    "Policy",
    "ReplayKey",
    "ReplayStore",
    "Role",
    "TargetAudience",
    "any_trusted",
    "exactly",
    "expect",
    "member_of",
    "nonce_alone",
    "nonce_of_key",
]
