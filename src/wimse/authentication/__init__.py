"""The one entrance: verify WIT, signature, digest, audience, freshness and policy, in this order and completely."""

from __future__ import annotations

from wimse.authentication.client import ClientAuthenticator
from wimse.authentication.coexistence import BearerPolicy, Presented, bearer_of
from wimse.authentication.matchers import AnyOf, PathTemplate
from wimse.authentication.needs import BundleLookup, ClaimNonce, NeedBundle, ReplayStore
from wimse.authentication.proofs import AnyRevision
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
    "BearerPolicy",
    "BundleLookup",
    "ClaimNonce",
    "ClientAuthenticator",
    "ExactAudience",
    "NeedBundle",
    "PathTemplate",
    "PeerRule",
    "Policy",
    "Presented",
    "ReplayStore",
    "ServerTable",
    "TargetAudience",
    "any_trusted",
    "bearer_of",
    "exactly",
    "expect",
    "member_of",
    "server_by_url",
]
