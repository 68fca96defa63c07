"""Bundles, keepers and endpoints for the tests of this folder."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.sources.publisher import Publisher, serving
from tests.tls.world import Authority
from wimse.credentials import TrustBundle, TrustDomain, X509Credential
from wimse.keys import PrivateKey
from wimse.sources import BundleEvent, BundleSettings
from wimse.tls.key_files import as_file

__all__ = ["QUICK", "Events", "bundle", "document", "endpoint", "until"]

PATIENCE = 20.0
# As quick as the rules allow, so that a test waits for a change and not for a clock.
QUICK = BundleSettings(
    timeout=timedelta(seconds=5),
    default_refresh=timedelta(seconds=0.05),
    min_refresh=timedelta(seconds=0.02),
    max_refresh=timedelta(seconds=0.2),
    first_retry=timedelta(seconds=0.05),
    file_interval=timedelta(seconds=0.02),
)


class Events(list[BundleEvent]):
    """Every event, in order."""

    __hash__ = None

    def __call__(self, event: BundleEvent) -> None:
        self.append(event)

    @property
    def changes(self) -> list[str]:
        return [event.change.value for event in self]


def bundle(domain: TrustDomain, *keys: PrivateKey, sequence: int | None = None, **more: Any) -> TrustBundle:
    return TrustBundle(trust_domain=domain, wit_keys=tuple(each.public_key for each in keys), sequence=sequence, **more)


def document(*keys: PrivateKey, sequence: int | None = None, hint: int | None = None) -> bytes:
    return bundle(TrustDomain("spiffe", "any"), *keys, sequence=sequence, refresh_hint=hint).to_json()


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


@contextmanager
def endpoint(credential: X509Credential) -> Iterator[Publisher]:
    """A bundle endpoint with the X.509-SVID `credential`; publisher.context may be changed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with as_file(credential.to_pem()) as path:
        context.load_cert_chain(path)
    with serving(context) as publisher:
        yield publisher


def authority_document(
    *authorities: Authority, keys: tuple[PrivateKey, ...] = (), sequence: int | None = None
) -> bytes:
    made = TrustBundle(
        trust_domain=TrustDomain("spiffe", "any"),
        x509_authorities=tuple(each.anchor for each in authorities),
        wit_keys=tuple(each.public_key for each in keys),
        sequence=sequence,
    )
    assert json.loads(made.to_json())
    return made.to_json()
