"""The issuer: signing keys of a trust domain, what they sign, and who is entitled to which identity.

This room does no I/O: the time, token identifiers and the caller come in as arguments. The shell that serves it is
`wimse.workload_api`.
"""

from __future__ import annotations

from wimse.issuer.authority import Authority, IssuedCertificate, IssuedToken
from wimse.issuer.entries import Entry, Grant, Registrations
from wimse.issuer.selectors import SELECTOR_KINDS, Caller, Selector
from wimse.issuer.settings import IssuerSettings

__all__ = [
    "SELECTOR_KINDS",
    "Authority",
    "Caller",
    "Entry",
    "Grant",
    "IssuedCertificate",
    "IssuedToken",
    "IssuerSettings",
    "Registrations",
    "Selector",
]
