"""Every refusal and failure of this package, in one tree, each with a stable reason.

    WimseError
    ├── Refused               what a peer sent is not accepted: its fault
    ├── Unavailable           what is needed to decide or to sign cannot be had now
    └── ConfigurationError    how this package was set up or called: your fault

Each carries a `Reason`. A reason has a stable value (``signature_expired``) for logs, metrics, vectors and
scripts, and belongs to a `ReasonClass` (``time``), which is all that a peer is ever told. Each is mapped to
HTTP and to gRPC once, here.

The explanation (`detail`) names the field and the limit. It never contains the input itself, a token, a
signature or key material, so that it can be logged as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

__all__ = [
    "ConfigurationError",
    "Reason",
    "ReasonClass",
    "Refused",
    "Unavailable",
    "Violation",
    "WimseError",
]


class ReasonClass(StrEnum):
    """What kind of check failed. This much may be told to the peer."""

    PARSE = "parse"
    BASE = "base"
    POLICY = "policy"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    TIME = "time"
    REPLAY = "replay"
    AUDIENCE = "audience"
    DIGEST = "digest"
    WIT = "wit"
    WPT = "wpt"
    CERTIFICATE = "certificate"
    TRUST = "trust"
    BINDING = "binding"
    LIMIT = "limit"
    AUTHORIZATION = "authorization"
    UNAVAILABLE = "unavailable"
    CONFIGURATION = "configuration"

    @property
    def http_status(self) -> int:
        """The status of the answer: 400, as the drafts advise (http-signature §3.5), unless the class says more."""
        return _HTTP_STATUS.get(self, 400)

    @property
    def grpc_status(self) -> str:
        """The canonical name of the gRPC status code, such as ``PERMISSION_DENIED``."""
        return _GRPC_STATUS.get(self, "INVALID_ARGUMENT")


_HTTP_STATUS = {
    ReasonClass.AUTHORIZATION: 403,
    ReasonClass.UNAVAILABLE: 503,
    ReasonClass.CONFIGURATION: 500,
}
_GRPC_STATUS = {
    ReasonClass.AUTHORIZATION: "PERMISSION_DENIED",
    ReasonClass.UNAVAILABLE: "UNAVAILABLE",
    ReasonClass.LIMIT: "RESOURCE_EXHAUSTED",
    ReasonClass.CONFIGURATION: "INTERNAL",
}


class Reason(Enum):
    """Why something was refused or failed: one stable value for each cause."""

    # parse: the bytes do not have the form that they should have
    MESSAGE_MALFORMED = ("message_malformed", ReasonClass.PARSE)
    FIELD_MALFORMED = ("field_malformed", ReasonClass.PARSE)
    FIELD_DUPLICATED = ("field_duplicated", ReasonClass.PARSE)
    SIGNATURE_FIELD_MALFORMED = ("signature_field_malformed", ReasonClass.PARSE)
    SIGNATURE_LABEL_DUPLICATED = ("signature_label_duplicated", ReasonClass.PARSE)
    SIGNATURE_LABEL_UNPAIRED = ("signature_label_unpaired", ReasonClass.PARSE)
    PARAMETER_DUPLICATED = ("parameter_duplicated", ReasonClass.PARSE)
    PARAMETER_TYPE = ("parameter_type", ReasonClass.PARSE)
    JSON_MALFORMED = ("json_malformed", ReasonClass.PARSE)
    JSON_DUPLICATE_MEMBER = ("json_duplicate_member", ReasonClass.PARSE)
    BASE64_MALFORMED = ("base64_malformed", ReasonClass.PARSE)
    TOKEN_MALFORMED = ("token_malformed", ReasonClass.PARSE)
    IDENTIFIER_MALFORMED = ("identifier_malformed", ReasonClass.PARSE)
    # base: the signature base cannot be built from this message
    COMPONENT_DUPLICATED = ("component_duplicated", ReasonClass.BASE)
    COMPONENT_UNKNOWN = ("component_unknown", ReasonClass.BASE)
    COMPONENT_PARAMETER_UNKNOWN = ("component_parameter_unknown", ReasonClass.BASE)
    COMPONENT_ABSENT = ("component_absent", ReasonClass.BASE)
    COMPONENT_NOT_APPLICABLE = ("component_not_applicable", ReasonClass.BASE)
    COMPONENT_VALUE_INVALID = ("component_value_invalid", ReasonClass.BASE)
    # policy: a requirement of the profile or of the application is not met
    SIGNATURE_MISSING = ("signature_missing", ReasonClass.POLICY)
    SIGNATURE_AMBIGUOUS = ("signature_ambiguous", ReasonClass.POLICY)
    COMPONENT_NOT_COVERED = ("component_not_covered", ReasonClass.POLICY)
    COMPONENT_FORBIDDEN = ("component_forbidden", ReasonClass.POLICY)
    PARAMETER_MISSING = ("parameter_missing", ReasonClass.POLICY)
    PARAMETER_FORBIDDEN = ("parameter_forbidden", ReasonClass.POLICY)
    PARAMETER_VALUE = ("parameter_value", ReasonClass.POLICY)
    ENTRY_UNKNOWN = ("entry_unknown", ReasonClass.POLICY)
    ENTRY_CONFLICT = ("entry_conflict", ReasonClass.POLICY)
    DIGEST_IN_TRAILER = ("digest_in_trailer", ReasonClass.POLICY)
    # algorithm: this key is not for this algorithm, or neither is allowed
    KEY_MALFORMED = ("key_malformed", ReasonClass.ALGORITHM)
    KEY_UNSUPPORTED = ("key_unsupported", ReasonClass.ALGORITHM)
    KEY_WEAK = ("key_weak", ReasonClass.ALGORITHM)
    KEY_PRIVATE = ("key_private", ReasonClass.ALGORITHM)
    ALGORITHM_MISMATCH = ("algorithm_mismatch", ReasonClass.ALGORITHM)
    ALGORITHM_NOT_ALLOWED = ("algorithm_not_allowed", ReasonClass.ALGORITHM)
    ALGORITHM_MISSING = ("algorithm_missing", ReasonClass.ALGORITHM)
    # signature: the cryptographic check itself
    SIGNATURE_INVALID = ("signature_invalid", ReasonClass.SIGNATURE)
    # time
    SIGNATURE_EXPIRED = ("signature_expired", ReasonClass.TIME)
    SIGNATURE_NOT_YET_VALID = ("signature_not_yet_valid", ReasonClass.TIME)
    SIGNATURE_LIFETIME = ("signature_lifetime", ReasonClass.TIME)
    SIGNATURE_TOO_OLD = ("signature_too_old", ReasonClass.TIME)
    # replay, audience
    REPLAYED = ("replayed", ReasonClass.REPLAY)
    AUDIENCE_MISMATCH = ("audience_mismatch", ReasonClass.AUDIENCE)
    AUDIENCE_MISSING = ("audience_missing", ReasonClass.AUDIENCE)
    # digest: the content and its Content-Digest
    DIGEST_MISSING = ("digest_missing", ReasonClass.DIGEST)
    DIGEST_MISMATCH = ("digest_mismatch", ReasonClass.DIGEST)
    DIGEST_UNUSABLE = ("digest_unusable", ReasonClass.DIGEST)
    # wit: the token that carries the identity
    WIT_MISSING = ("wit_missing", ReasonClass.WIT)
    WIT_DUPLICATED = ("wit_duplicated", ReasonClass.WIT)
    TOKEN_TYPE = ("token_type", ReasonClass.WIT)
    TOKEN_ALGORITHM = ("token_algorithm", ReasonClass.WIT)
    TOKEN_CRITICAL = ("token_critical", ReasonClass.WIT)
    TOKEN_CLAIM = ("token_claim", ReasonClass.WIT)
    TOKEN_SUBJECT = ("token_subject", ReasonClass.WIT)
    TOKEN_CONFIRMATION = ("token_confirmation", ReasonClass.WIT)
    TOKEN_EXPIRED = ("token_expired", ReasonClass.WIT)
    TOKEN_NOT_YET_VALID = ("token_not_yet_valid", ReasonClass.WIT)
    TOKEN_LIFETIME = ("token_lifetime", ReasonClass.WIT)
    TOKEN_SIGNATURE_INVALID = ("token_signature_invalid", ReasonClass.WIT)
    TOKEN_AUDIENCE = ("token_audience", ReasonClass.AUDIENCE)
    # wpt: the proof token that shows who holds a WIT's key; what is wrong with its form, times and hashes is under
    # parse, time and binding, as for signatures
    PROOF_MISSING = ("proof_missing", ReasonClass.PARSE)
    PROOF_TYPE = ("proof_type", ReasonClass.WPT)
    PROOF_CRITICAL = ("proof_critical", ReasonClass.WPT)
    PROOF_CLAIM = ("proof_claim", ReasonClass.WPT)
    PROOF_TIME = ("proof_time", ReasonClass.TIME)
    PROOF_EXPIRED = ("proof_expired", ReasonClass.TIME)
    PROOF_NOT_YET_VALID = ("proof_not_yet_valid", ReasonClass.TIME)
    PROOF_LIFETIME = ("proof_lifetime", ReasonClass.TIME)
    # certificate: the X.509-SVID or Workload Identity Certificate that carries the identity
    CERTIFICATE_MISSING = ("certificate_missing", ReasonClass.CERTIFICATE)
    CERTIFICATE_MALFORMED = ("certificate_malformed", ReasonClass.CERTIFICATE)
    CERTIFICATE_IDENTITY = ("certificate_identity", ReasonClass.CERTIFICATE)
    CERTIFICATE_USAGE = ("certificate_usage", ReasonClass.CERTIFICATE)
    CERTIFICATE_EXPIRED = ("certificate_expired", ReasonClass.CERTIFICATE)
    CERTIFICATE_NOT_YET_VALID = ("certificate_not_yet_valid", ReasonClass.CERTIFICATE)
    CERTIFICATE_LIFETIME = ("certificate_lifetime", ReasonClass.CERTIFICATE)
    CERTIFICATE_UNTRUSTED = ("certificate_untrusted", ReasonClass.TRUST)
    CERTIFICATE_CHAIN_TOO_LARGE = ("certificate_chain_too_large", ReasonClass.LIMIT)
    # trust: whose keys
    TRUST_DOMAIN_UNKNOWN = ("trust_domain_unknown", ReasonClass.TRUST)
    ISSUER_NOT_ALLOWED = ("issuer_not_allowed", ReasonClass.TRUST)
    KEY_UNKNOWN = ("key_unknown", ReasonClass.TRUST)
    KEY_ID_MISSING = ("key_id_missing", ReasonClass.TRUST)
    BUNDLE_MALFORMED = ("bundle_malformed", ReasonClass.TRUST)
    # binding: two things that do not belong together
    RESPONSE_UNSIGNED = ("response_unsigned", ReasonClass.BINDING)
    REQUEST_NONCE_MISMATCH = ("request_nonce_mismatch", ReasonClass.BINDING)
    KEY_MISMATCH = ("key_mismatch", ReasonClass.BINDING)
    TOKEN_HASH_MISSING = ("token_hash_missing", ReasonClass.BINDING)
    TOKEN_HASH_MISMATCH = ("token_hash_mismatch", ReasonClass.BINDING)
    TOKEN_HASH_UNKNOWN = ("token_hash_unknown", ReasonClass.BINDING)
    # limit
    FIELD_TOO_LARGE = ("field_too_large", ReasonClass.LIMIT)
    TOO_MANY_FIELDS = ("too_many_fields", ReasonClass.LIMIT)
    TOO_MANY_SIGNATURES = ("too_many_signatures", ReasonClass.LIMIT)
    TOO_MANY_COMPONENTS = ("too_many_components", ReasonClass.LIMIT)
    TOO_MANY_PARAMETERS = ("too_many_parameters", ReasonClass.LIMIT)
    TOO_MANY_DIGESTS = ("too_many_digests", ReasonClass.LIMIT)
    TOKEN_TOO_LARGE = ("token_too_large", ReasonClass.LIMIT)
    JSON_TOO_DEEP = ("json_too_deep", ReasonClass.LIMIT)
    DOCUMENT_TOO_LARGE = ("document_too_large", ReasonClass.LIMIT)
    BODY_TOO_LARGE = ("body_too_large", ReasonClass.LIMIT)
    # authorization: known, but not allowed
    IDENTITY_NOT_ALLOWED = ("identity_not_allowed", ReasonClass.AUTHORIZATION)
    IDENTITY_UNEXPECTED = ("identity_unexpected", ReasonClass.AUTHORIZATION)
    NO_IDENTITY = ("no_identity", ReasonClass.AUTHORIZATION)
    # unavailable
    REPLAY_STORE_UNAVAILABLE = ("replay_store_unavailable", ReasonClass.UNAVAILABLE)
    TRUST_UNAVAILABLE = ("trust_unavailable", ReasonClass.UNAVAILABLE)
    CREDENTIAL_UNAVAILABLE = ("credential_unavailable", ReasonClass.UNAVAILABLE)
    CREDENTIAL_EXPIRED = ("credential_expired", ReasonClass.UNAVAILABLE)
    ISSUER_UNAVAILABLE = ("issuer_unavailable", ReasonClass.UNAVAILABLE)
    STORE_UNAVAILABLE = ("store_unavailable", ReasonClass.UNAVAILABLE)
    STORE_CONFLICT = ("store_conflict", ReasonClass.UNAVAILABLE)
    RESPONSE_NOT_SIGNABLE = ("response_not_signable", ReasonClass.UNAVAILABLE)
    SPOOL_UNAVAILABLE = ("spool_unavailable", ReasonClass.UNAVAILABLE)
    # configuration
    CONFIGURATION = ("configuration", ReasonClass.CONFIGURATION)

    def __init__(self, code: str, reason_class: ReasonClass) -> None:
        self.code = code
        self.reason_class = reason_class

    @property
    def http_status(self) -> int:
        """The HTTP status of an answer that refuses for this reason."""
        return _STATUS_OF_REASON.get(self, self.reason_class.http_status)

    def __str__(self) -> str:
        return self.code


# RFC 9110 §15.5.14 and RFC 6585 §5 name the limits that HTTP itself knows; http-signature §3.5 gives 501 to a
# server that was asked for a signed response and cannot sign this one.
_STATUS_OF_REASON = {
    Reason.BODY_TOO_LARGE: 413,
    Reason.FIELD_TOO_LARGE: 431,
    Reason.TOO_MANY_FIELDS: 431,
    Reason.TOKEN_TOO_LARGE: 431,
    Reason.RESPONSE_NOT_SIGNABLE: 501,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One requirement that is not met.

    Attributes:
        reason: what kind of requirement.
        detail: one line that names the requirement, never the input.
    """

    reason: Reason
    detail: str


class WimseError(Exception):
    """The root of every error that this package raises on purpose.

    Attributes:
        reason: the stable cause.
        detail: one line for a person; safe to log.
        challenge: what WWW-Authenticate says in an answer that refuses credentials with 401; None where nobody is
            challenged, which is so for everything but requests with proof tokens (wpt-02 §2.1).
    """

    challenge: str | None = None

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code}: {detail}")
        self.reason = reason
        self.detail = detail

    @property
    def reason_class(self) -> ReasonClass:
        """The class of the reason: what a peer may be told."""
        return self.reason.reason_class

    @property
    def http_status(self) -> int:
        """The HTTP status that answers a request which failed so."""
        return self.reason.http_status if self.challenge is None else 401


class Refused(WimseError):
    """What was received is not accepted.

    Attributes:
        violations: all requirements that were not met, when several were checked together; else empty.
    """

    def __init__(self, reason: Reason, detail: str, *, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(reason, detail)
        self.violations = violations

    @classmethod
    def for_violations(cls, violations: list[Violation]) -> Refused:
        """Make one refusal of several violations; the first one gives the reason.

        Args:
            violations: at least one.
        """
        return cls(violations[0].reason, "; ".join(each.detail for each in violations), violations=tuple(violations))


class Unavailable(WimseError):
    """Something that is needed cannot be had now: the answer is neither yes nor no, and nothing is let through."""


class ConfigurationError(WimseError, ValueError):
    """A setting or an argument is wrong. Raised while things are built, not while messages are judged."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.CONFIGURATION, detail)
