"""Times, sizes and further tokens of the profile, each with a default that is safe and a bound."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wimse.credentials import WIT_FIELD
from wimse.credentials.claims import MAX_LEEWAY
from wimse.errors import ConfigurationError

__all__ = ["TXN_TOKEN_FIELD", "ProofTokenSettings"]

TXN_TOKEN_FIELD: Final = "txn-token"  # draft-ietf-oauth-transaction-tokens

_LONGEST: Final = timedelta(seconds=300)
_SHORTEST_TOKEN_ID: Final = 8
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)  # RFC 9110 §5.6.2, in lower case
# These have a claim of their own, or are what the proof itself stands in.
_NOT_OTHERS: Final = frozenset({WIT_FIELD, TXN_TOKEN_FIELD, "authorization", "workload-proof-token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTokenSettings:
    """How proofs are made and judged.

    Attributes:
        lifetime: from now to `exp` of ours. Default 60 s, at most 300 s (§2: minutes or seconds).
        max_lifetime: from now to `exp` of others. Default and most 300 s.
        leeway: how far the clocks of both sides may be apart. Default 30 s, at most 120 s.
        min_token_id_characters: of others' `jti`. Default 16, at least 8.
        max_token_id_characters: of others' `jti`. Default 256.
        context_fields: names, in lower case, of the fields that hold further tokens about the end user or what is
            authorised. Each that a request has is bound by `oth`, by us and by others; an entry of `oth` for any other
            field is not understood, and refused. Default none.

    Raises on construction:
        ConfigurationError: for a value outside its bounds, or a context field that is no field name in lower case,
            occurs twice, or is bound in another way.
    """

    lifetime: timedelta = timedelta(seconds=60)
    max_lifetime: timedelta = _LONGEST
    leeway: timedelta = timedelta(seconds=30)
    min_token_id_characters: int = 16
    max_token_id_characters: int = 256
    context_fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("lifetime", "max_lifetime"):
            if not timedelta(seconds=1) <= getattr(self, name) <= _LONGEST:
                raise ConfigurationError(f"{name} must be between 1 and {_LONGEST.seconds} seconds")
        if not timedelta(0) <= self.leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be between 0 and {MAX_LEEWAY.seconds} seconds")
        if not _SHORTEST_TOKEN_ID <= self.min_token_id_characters <= self.max_token_id_characters:
            raise ConfigurationError(f"a jti must have {_SHORTEST_TOKEN_ID} characters at least")
        given: object = self.context_fields  # a single string is a sequence too: of its characters
        if not isinstance(given, tuple) or not all(map(_FIELD_NAME.fullmatch, self.context_fields)):
            raise ConfigurationError("context_fields is a tuple of names of fields, in lower case")
        if len(set(self.context_fields)) != len(self.context_fields):
            raise ConfigurationError("a context field is named twice")
        if not _NOT_OTHERS.isdisjoint(self.context_fields):
            raise ConfigurationError(f"context_fields are others than {', '.join(sorted(_NOT_OTHERS))}")
