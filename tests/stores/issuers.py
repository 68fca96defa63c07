"""What the tests of the issuer's store share."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from wimse.issuer import (
    EncryptedSealer,
    IssuerSettings,
    KeyEncryptionKey,
    Registration,
    RotationSettings,
    Selector,
)
from wimse.stores.issuer import KeyKeeper, SQLIssuerStore

NOW: Final = 1_800_000_000
NAME: Final = "example.org"
KEK: Final = KeyEncryptionKey(bytes(range(32)))
SEALER: Final = EncryptedSealer(NAME, KEK)
ISSUER: Final = IssuerSettings(
    wit_lifetime=timedelta(seconds=20), jwt_svid_lifetime=timedelta(seconds=20), x509_svid_lifetime=timedelta(minutes=1)
)
ROTATION: Final = RotationSettings(
    rotation_interval=timedelta(seconds=60),
    refresh_hint=timedelta(seconds=5),
    publication_intervals=2,
    max_staleness=timedelta(seconds=4),
    verifier_leeway=timedelta(seconds=3),
)


def sqlite(path: Path, *, now: int = NOW) -> SQLIssuerStore:
    """A store on a SQLite file."""
    return SQLIssuerStore.sqlite(path, NAME, now=now, issuer=ISSUER)


def postgres(url: str, *, now: int = NOW) -> SQLIssuerStore:
    """A store on PostgreSQL."""
    return SQLIssuerStore.postgresql(url, NAME, now=now, issuer=ISSUER)


def keeper(store: SQLIssuerStore, sealer: EncryptedSealer = SEALER) -> KeyKeeper:
    """Keeps the keys of a store."""
    return KeyKeeper(store, sealer, NAME, issuer=ISSUER, rotation=ROTATION)


def entry(entry_id: str = "e1", path: str = "/payments", *selectors: str, **others: object) -> Registration:
    """A new entry."""
    chosen = selectors or ("unix:uid:1000",)
    return Registration(
        entry_id=entry_id,
        path=path,
        selectors=tuple(Selector.parse(each) for each in chosen),
        **others,  # type: ignore[arg-type]
    )
