"""The issuer: signing keys of a trust domain, what they sign, and who is entitled to which identity.

This room does no I/O: the time, token identifiers and the caller come in as arguments. The shell that serves it is
`wimse.workload_api`.
"""

from __future__ import annotations

from wimse.issuer.authority import Authority, IssuedCertificate, IssuedToken
from wimse.issuer.entries import Entry, Grant, IssueTerms, Registrations
from wimse.issuer.keyset import KeyRecord, KeySet, KeyState, KeyUse
from wimse.issuer.minting import UpstreamAuthority
from wimse.issuer.registration import Registration, registered_path
from wimse.issuer.rotation import RotationSettings
from wimse.issuer.sealing import EncryptedSealer, KeyEncryptionKey, KeySealer, PlaintextSealer
from wimse.issuer.selectors import SELECTOR_KINDS, Caller, Selector
from wimse.issuer.settings import IssuerSettings
from wimse.issuer.signing import SigningKey, SigningKeys
from wimse.issuer.store import IssuerState, IssuerStore

__all__ = [
    "SELECTOR_KINDS",
    "Authority",
    "Caller",
    "EncryptedSealer",
    "Entry",
    "Grant",
    "IssueTerms",
    "IssuedCertificate",
    "IssuedToken",
    "IssuerSettings",
    "IssuerState",
    "IssuerStore",
    "KeyEncryptionKey",
    "KeyRecord",
    "KeySealer",
    "KeySet",
    "KeyState",
    "KeyUse",
    "PlaintextSealer",
    "Registration",
    "Registrations",
    "RotationSettings",
    "Selector",
    "SigningKey",
    "SigningKeys",
    "UpstreamAuthority",
    "registered_path",
]
