"""Keeps the signing keys of a store moving: does what is due, hears of what other servers did, opens what signs.

Rules:

1. Each step is one transaction: whenever the process dies, what is stored is a state of the plan, and the next start
   goes on from there. A key is stored before anybody hears of it.
2. Of several servers one takes a step; the others see that the keys are not what they read, and look again.
3. What cannot be confirmed for `max_staleness` does not sign any more.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer import (
    IssuerSettings,
    IssuerStore,
    KeyRecord,
    KeySealer,
    KeySet,
    KeyUse,
    PlaintextSealer,
    Registration,
    RotationSettings,
    SigningKeys,
    UpstreamAuthority,
)
from wimse.issuer.keyset import MAX_KEYS
from wimse.issuer.minting import check_certificate, mint
from wimse.issuer.rotation import StepKind, apply, found, plan, revoke, rotate, taint
from wimse.issuer.sealing import NONCE_BYTES, sealed_again
from wimse.keys import PrivateKey

__all__ = ["KeyKeeper"]

log = logging.getLogger("wimse.stores.issuer")

_MAX_ATTEMPTS: Final = 20  # to change what several servers change at once
_MAX_STEPS: Final = 32  # of one call: a plan is empty after a few


class KeyKeeper:
    """The signing keys of a trust domain, on this server. Its methods block; call them from one thread at a time."""

    def __init__(
        self,
        store: IssuerStore,
        sealer: KeySealer,
        trust_domain: str,
        *,
        issuer: IssuerSettings | None = None,
        rotation: RotationSettings | None = None,
        upstream: UpstreamAuthority | None = None,
    ) -> None:
        """Keep keys in `store`.

        Args:
            store: where they are.
            sealer: encrypts their private halves.
            trust_domain: its name.
            issuer: lifetimes of what they sign.
            rotation: their own lifetimes.
            upstream: the CA above ours, or None.
        """
        self._store = store
        self._sealer = sealer
        self._trust_domain = trust_domain
        self._issuer = issuer or IssuerSettings()
        self._rotation = rotation or RotationSettings()
        self._upstream = upstream
        self._opened: dict[str, tuple[KeyRecord, PrivateKey]] = {}
        self._keys = KeySet()
        self._entries: tuple[Registration, ...] = ()
        self._revision = -1
        self._clock_at = 0
        self._setback = int(self._issuer.clock_setback.total_seconds())

    @property
    def key_set(self) -> KeySet:
        """The keys as they were last read."""
        return self._keys

    @property
    def entries(self) -> tuple[Registration, ...]:
        """The registration entries as they were last read; the same object while nothing was changed."""
        return self._entries

    @property
    def revision(self) -> int:
        """The revision of the store that was last read: entries may have changed when it has."""
        return self._revision

    def start(self, *, now: int) -> SigningKeys:
        """Read all keys and check them, encrypt anew what is encrypted with an earlier key, do what is due.

        Args:
            now: seconds since 1970.

        Raises:
            ConfigurationError: when the clock is behind the newest time in the store, or a key does not open, is not
                the one that its name says, or does not fit its certificate.
            Unavailable: `store_unavailable`.
        """
        if isinstance(self._sealer, PlaintextSealer):
            log.warning("SIGNING KEYS ARE STORED WITHOUT ENCRYPTION: for development only")
        state = self._store.load()
        if now < state.clock_at - self._setback:
            raise ConfigurationError(
                f"the clock is {state.clock_at - now} seconds behind the newest time in the issuer's database: set it "
                "right; if it was wrong then, wait until it has passed that time, or restore a backup"
            )
        self._load()
        self._seal_again(now)
        return self.refresh(now=now)

    def refresh(self, *, now: int) -> SigningKeys:
        """Hear of what other servers did, and do what is due. Cheap when nothing is: call it every few seconds.

        Args:
            now: seconds since 1970.

        Raises:
            Unavailable: `store_unavailable`; `issuer_unavailable` when the clock has gone back.
            ConfigurationError: when a stored key does not open.
        """
        if self._store.revision() != self._revision:
            self._load()
        self._do_what_is_due(now)
        self._store.witness(now)
        self._clock_at = max(self._clock_at, now)
        return self._signing_keys(now)

    def rotate(self, use: KeyUse, *, now: int) -> SigningKeys:
        """Replace the active key of `use` as soon as its successor is published for long enough.

        Raises:
            Refused, Unavailable: see `wimse.issuer.rotation.rotate` and `refresh`.
        """
        return self._changed(lambda keys: rotate(keys, use, now=now), now)

    def taint(self, kid: str, *, now: int) -> SigningKeys:
        """Let the key `kid` sign no more; see `wimse.issuer.rotation.taint`, and `refresh` for the errors."""
        return self._changed(lambda keys: taint(keys, kid, now=now), now)

    def revoke(self, kid: str, *, now: int) -> SigningKeys:
        """Take the key `kid` out of the bundle at once; see `wimse.issuer.rotation.revoke`."""
        return self._changed(lambda keys: revoke(keys, kid, now=now), now)

    def _load(self) -> None:
        state = self._store.load()
        # The whole state is opened before any of it counts.
        self._opened = {each.kid: (each, self._open(each)) for each in state.keys.keys if each.published}
        self._keys, self._entries, self._revision = state.keys, state.entries, state.revision
        self._clock_at = max(self._clock_at, state.clock_at)

    def _open(self, record: KeyRecord) -> PrivateKey:
        known = self._opened.get(record.kid)
        if known is not None and known[0].sealed == record.sealed:
            return known[1]
        key = self._sealer.open(record)
        check_certificate(record)
        return key

    def _store_keys(self, after: KeySet, now: int) -> bool:
        """Whether it was this server that changed them."""
        try:
            self._store.replace_keys(self._keys, after, now=now)
        except Unavailable as unavailable:
            if unavailable.reason is not Reason.STORE_CONFLICT:
                raise
            self._load()
            return False
        self._load()
        return True

    def _do_what_is_due(self, now: int) -> None:
        impossible: set[KeyUse] = set()
        for _ in range(_MAX_STEPS):
            if self._keys.sequence == 0:
                first = [self._mint(use, now) for use in KeyUse]
                if self._store_keys(found(first, self._rotation, now=now), now):
                    log.warning("the trust domain %s has its first signing keys", self._trust_domain)
                continue
            steps = plan(self._keys, self._rotation, now=now, clock_setback=self._setback)
            due = [each for each in steps if each.kind is not StepKind.PREPARE or each.use not in impossible]
            if not due:
                return
            step, made = due[0], None
            if step.kind is StepKind.PREPARE:
                try:
                    made = self._mint(step.use, now)
                except ConfigurationError as error:  # the keys that are there still sign
                    log.error("no %s key can be prepared: %s", step.use, error.detail)  # noqa: TRY400 - it says all
                    impossible.add(step.use)
                    continue
            if self._store_keys(apply(self._keys, step, self._rotation, now=now, made=made), now):
                log.info("signing keys: %s %s %s", step.kind, step.use, step.kid or (made.kid if made else ""))
        log.error("the plan for the signing keys has no end")

    def _changed(self, change: Callable[[KeySet], KeySet], now: int) -> SigningKeys:
        for _ in range(_MAX_ATTEMPTS):
            self._load()
            if self._store_keys(change(self._keys), now):
                return self.refresh(now=now)
        raise Unavailable(Reason.STORE_CONFLICT, "other servers change the signing keys all the time")

    def _seal_again(self, now: int) -> None:
        for _ in range(_MAX_ATTEMPTS):
            nonces = tuple(secrets.token_bytes(NONCE_BYTES) for _ in range(MAX_KEYS))
            again = sealed_again(self._keys, self._sealer, nonces)
            if not again:
                return
            if self._store_keys(self._keys.replaced(again, now=now), now):
                log.warning("%d signing keys are encrypted with the new key-encryption key", len(again))

    def _mint(self, use: KeyUse, now: int) -> KeyRecord:
        return mint(
            use,
            self._trust_domain,
            now=now,
            issuer=self._issuer,
            rotation=self._rotation,
            sealer=self._sealer,
            nonce=secrets.token_bytes(NONCE_BYTES),
            upstream=self._upstream,
        )

    def _signing_keys(self, now: int) -> SigningKeys:
        return SigningKeys.of(
            self._keys,
            {kid: key for kid, (_, key) in self._opened.items()},
            refresh_hint=int(self._rotation.refresh_hint.total_seconds()),
            newest_at=self._clock_at,
            fresh_until=now + int(self._rotation.max_staleness.total_seconds()),
        )
