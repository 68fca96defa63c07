"""Where an issuer keeps its keys and entries: SQLite by default, PostgreSQL for several servers.

store = SQLIssuerStore.sqlite(Path("/var/lib/wimse/issuer.db"), "example.org", now=now)
keeper = KeyKeeper(store, sealer, "example.org")
authority = Authority(TrustDomain("spiffe", "example.org"), keeper.start(now=now))
…                                            # every few seconds
authority.install(keeper.refresh(now=now))
"""

from __future__ import annotations

from wimse.stores.issuer.backup import adopt_backup, back_up_sqlite, restore_sqlite
from wimse.stores.issuer.changing import change_keys
from wimse.stores.issuer.database import check_private_file
from wimse.stores.issuer.encryption_keys import key_from_command, key_from_credential, key_from_file
from wimse.stores.issuer.in_use import alone_with, using
from wimse.stores.issuer.keeper import KeyKeeper
from wimse.stores.issuer.store import SQLIssuerStore, StoreSettings

__all__ = [
    "KeyKeeper",
    "SQLIssuerStore",
    "StoreSettings",
    "adopt_backup",
    "alone_with",
    "back_up_sqlite",
    "change_keys",
    "check_private_file",
    "key_from_command",
    "key_from_credential",
    "key_from_file",
    "restore_sqlite",
    "using",
]
