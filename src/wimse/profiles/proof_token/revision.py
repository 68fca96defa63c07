"""Revisions of draft-ietf-wimse-wpt, each a value: where the proof stands, what it binds, how a failure is answered.

A new revision is a new value and its vectors; no code asks which revision it is dealing with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["PROOF_TYPE", "REVISIONS", "REVISION_01", "REVISION_02", "ProofRevision"]

PROOF_TYPE: Final = "wpt+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRevision:
    """One revision of the profile.

    Attributes:
        name: as configured, such as ``02``.
        document: the text that it implements.
        field: the name, in lower case, of the one field that holds the proof.
        scheme: before the proof in that field, compared without case; None when the proof is the whole value.
        binds_access_token: whether ``ath`` binds an access token that stands in Authorization.
        challenge: what WWW-Authenticate says when credentials are refused, which is then done with 401; None answers
            400 and challenges nobody.
    """

    name: str
    document: str
    field: str
    scheme: str | None
    binds_access_token: bool
    challenge: str | None


REVISION_02: Final = ProofRevision(
    name="02",
    document="draft-ietf-wimse-wpt-02",
    field="authorization",
    scheme="WPT",
    binds_access_token=False,  # there is no room for one
    challenge="WPT",
)

REVISION_01: Final = ProofRevision(
    name="01",
    document="draft-ietf-wimse-wpt-01",
    field="workload-proof-token",
    scheme=None,
    binds_access_token=True,
    challenge=None,  # §2.1: 401 is not recommended
)

REVISIONS: Final[Mapping[str, ProofRevision]] = MappingProxyType(
    {each.name: each for each in (REVISION_02, REVISION_01)}
)
