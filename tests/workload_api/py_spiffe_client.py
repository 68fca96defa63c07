"""py-spiffe against a running server, in a process of its own: `python … SOCKET`, JSON on stdout."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from spiffe import JwtSource, JwtSvid, TrustDomain, WorkloadApiClient, X509Source


def main(address: str) -> dict[str, Any]:
    own = TrustDomain("example.com")
    with WorkloadApiClient(socket_path=address) as client:
        x509 = client.fetch_x509_context(timeout=5)
        svid, bundles = client.fetch_x509_svids(timeout=5)[0], client.fetch_x509_bundles(timeout=5)
        bundle = bundles.get_bundle_for_trust_domain(own)
        assert bundle is not None
        svid.leaf.verify_directly_issued_by(next(iter(bundle.x509_authorities)))
        jwt = client.fetch_jwt_svid(audience={"payments"}, timeout=5)
        jwt_bundle = client.fetch_jwt_bundles(timeout=5).get_bundle_for_trust_domain(own)
        assert jwt_bundle is not None
        validated = JwtSvid.parse_and_validate(jwt.token, jwt_bundle, {"payments"})
        by_server = client.validate_jwt_svid(jwt.token, audience="payments", timeout=5)
        refusals = []
        for audience in ("orders", ""):
            try:
                client.validate_jwt_svid(jwt.token, audience=audience, timeout=5)
            except Exception as error:  # noqa: BLE001 - which one it is stands in the answer
                refusals.append(type(error).__name__)
        try:
            JwtSvid.parse_and_validate(jwt.token, jwt_bundle, {"orders"})
        except Exception as error:  # noqa: BLE001 - as above
            refusals.append(type(error).__name__)
    renewed = threading.Event()
    with X509Source(socket_path=address, timeout_in_seconds=5) as source:
        first = source.svid.leaf.serial_number
        source.subscribe_for_updates(renewed.set)
        pushed = renewed.wait(10) and source.svid.leaf.serial_number != first
    with JwtSource(socket_path=address, timeout_in_seconds=5) as jwt_source:
        from_source = str(jwt_source.fetch_svid(audience={"payments"}).spiffe_id)
    return {
        "x509": str(svid.spiffe_id),
        "context": str(x509.default_svid.spiffe_id),
        "authorities": len(bundle.x509_authorities),
        "jwt": sorted({str(each.spiffe_id) for each in (jwt, validated, by_server)} | {from_source}),
        "refusals": refusals,
        "pushed": pushed,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201
