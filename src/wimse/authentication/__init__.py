"""The one entrance: verify WIT, signature, digest, audience, freshness and policy, in this order and completely."""

from __future__ import annotations

from wimse.authentication.client import ClientAuthenticator
from wimse.authentication.coexistence import (
    BearerCaller,
    BearerEntrance,
    BearerPolicy,
    BearerVerifier,
    Presented,
    bearer_of,
)
from wimse.authentication.events import Decision, Observer, Outcome, Role
from wimse.authentication.matchers import AnyOf, PathTemplate
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
    AudienceFunction,
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
from wimse.authentication.server_table import ServerTable, server_by_url

__all__ = [
    "AnyOf",
    "AnyRevision",
    "AudienceFunction",
    "AudienceRule",
    "AuthenticatedWorkload",
    "Authenticator",
    "BearerCaller",
    "BearerEntrance",
    "BearerPolicy",
    "BearerVerifier",
    "BundleLookup",
    "ClaimNonce",
    "ClientAuthenticator",
    "Decision",
    "ExactAudience",
    "LaxReplayStore",
    "NeedBundle",
    "Observer",
    "Outcome",
    "PathTemplate",
    "PeerRule",
    "Policy",
    "Presented",
    "ReplayKey",
    "ReplayStore",
    "Role",
    "ServerTable",
    "TargetAudience",
    "any_trusted",
    "bearer_of",
    "exactly",
    "expect",
    "member_of",
    "nonce_alone",
    "nonce_of_key",
    "server_by_url",
]
