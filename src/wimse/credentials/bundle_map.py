"""The bundle map: the bundles of several trust domains in one document (SPIFFE Trust Domain and Bundle §5).

A map is taken as a whole or not at all. A name that occurs twice makes it unacceptable (§5.1.1, §6.3): which bundle
would be meant is what the two would differ in. What its bundles say of refreshing is not heard (§5.1.1).
"""

from __future__ import annotations

import json
from typing import Final

from wimse.credentials.bundle import TrustBundle, TrustBundles
from wimse.credentials.identifier import TrustDomain
from wimse.errors import Reason, Refused
from wimse.keys import parse_json_object

__all__ = ["MAX_BUNDLE_MAP_BYTES", "MAX_BUNDLE_MAP_DOMAINS", "bundle_map_json", "parse_bundle_map"]

MAX_BUNDLE_MAP_BYTES: Final = 4_194_304
MAX_BUNDLE_MAP_DOMAINS: Final = 256


def parse_bundle_map(data: bytes, *, scheme: str = "spiffe") -> TrustBundles:
    """Read a bundle map.

    Args:
        data: the JSON document.
        scheme: of the trust domains, which are named there without it.

    Raises:
        Refused: `json_duplicate_member` for a trust domain that occurs twice; `identifier_malformed` for a name that is
            none; `bundle_malformed` without ``trust_domains`` or with more than 256 of them; else as
            `TrustBundle.parse`, whichever bundle of it is concerned.
    """
    document = parse_json_object(data, "the bundle map", max_bytes=MAX_BUNDLE_MAP_BYTES)
    domains = document.get("trust_domains")
    if not isinstance(domains, dict) or len(domains) > MAX_BUNDLE_MAP_DOMAINS:
        raise Refused(
            Reason.BUNDLE_MALFORMED, f"the bundle map's trust_domains are not {MAX_BUNDLE_MAP_DOMAINS} bundles at most"
        )
    bundles: list[TrustBundle] = []
    for name, entry in domains.items():
        if not isinstance(entry, dict):
            raise Refused(Reason.BUNDLE_MALFORMED, "a bundle of the bundle map is not an object")
        bundles.append(TrustBundle.from_jwks(TrustDomain(scheme, name), entry))
    return TrustBundles(*bundles)


def bundle_map_json(bundles: TrustBundles) -> bytes:
    """Write bundles, of one scheme, as a bundle map; without their refresh hints (§5.1.1).

    Raises:
        ValueError: for trust domains of two schemes, whose names would not tell them apart.
    """
    if len({domain.scheme for domain in bundles}) > 1:
        raise ValueError("the trust domains of a bundle map are of one scheme")
    domains = {
        domain.name: {name: value for name, value in bundle.to_jwks().items() if name != "spiffe_refresh_hint"}
        for domain, bundle in bundles.items()
    }
    return json.dumps({"trust_domains": domains}, separators=(",", ":")).encode("utf-8")
