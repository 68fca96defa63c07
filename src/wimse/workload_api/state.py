"""What an identity server serves now, and how open streams learn that it has changed.

Rules:

1. Everything that is served is read from here at the moment of the answer; nobody keeps a copy.
2. Whoever changes something calls a method here, which wakes every open stream. A stream then looks again and sends a
   message only where the message has changed for its caller.
3. Streams look again by themselves, too, within the recheck interval: a change that nobody announced is only late.

All of it belongs to one event loop: call it from there (`loop.call_soon_threadsafe` from elsewhere).
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence

from wimse.credentials import TrustBundle, TrustBundles, TrustDomain
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer import Authority, Grant, Registrations
from wimse.workload_api.events import Event, Observer, Recorder

__all__ = ["Broadcast", "ServedState"]


class Broadcast:
    """A number that goes up, and waiting for it to do so: no message is lost, and none is queued."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.version = 0
        # A set: ten thousand streams wait, and some stop waiting all the time.
        self._waiting: set[_Waiting] = set()

    def notify(self) -> None:
        """Wake all who wait."""
        self.version += 1
        waiting = tuple(self._waiting)
        self._waiting.clear()
        for each in waiting:
            each.end(True)  # noqa: FBT003 - as the loop calls it

    def call(self, seen: int, seconds: float, done: Callable[[bool], None]) -> Callable[[], None]:
        """Call `done` when the number is another than `seen`, or after `seconds`, with whether it is another.

        Returns:
            What stops it.
        """
        waiting = _Waiting(self._waiting, done)
        waiting.begin(0 if self.version != seen else seconds, changed=self.version != seen)
        return waiting.stop

    async def wait(self, seen: int, timeout: float) -> bool:  # noqa: ASYNC109 - it is one of two ends of waiting
        """Wait until the number is another than `seen`, or for `timeout` seconds.

        Returns:
            Whether it is another.
        """
        if self.version == seen:
            released = asyncio.get_running_loop().create_future()
            stop = self.call(seen, timeout, functools.partial(_release, released))
            try:
                await released
            finally:
                stop()
        return self.version != seen


def _release(waiting: asyncio.Future[None], _: bool) -> None:  # noqa: FBT001 - as `call` tells it
    if not waiting.done():
        waiting.set_result(None)


class _Waiting:
    """One who waits."""

    __slots__ = ("_among", "_done", "_timer")

    def __init__(self, among: set[_Waiting], done: Callable[[bool], None]) -> None:
        self._among = among
        self._done: Callable[[bool], None] | None = done
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float, *, changed: bool) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end, changed)
        self._among.add(self)

    def end(self, changed: bool) -> None:  # noqa: FBT001 - called by the loop
        done = self._done
        self.stop()
        if done is not None:
            done(changed)

    def stop(self) -> None:
        self._done = None
        self._among.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ServedState:
    """Authority, registrations and federated bundles of a running server."""

    def __init__(
        self,
        authority: Authority,
        registrations: Registrations,
        *,
        federated: TrustBundles | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Begin with these; arguments as `IdentityServer`.

        Raises:
            ConfigurationError: when a federated bundle is for the server's own trust domain.
        """
        self.authority = authority
        self.registrations = registrations
        self.federated = TrustBundles()
        self.changes = Broadcast()
        self.renewals = 0
        self.stopping = False
        self.open_streams = 0
        self.no_streams = asyncio.Event()
        self.no_streams.set()
        self.issuer_fails = False
        self.recorded = any(isinstance(each, Recorder) for each in observers)
        self._observers = tuple(observers)
        self.replace_federated(federated or TrustBundles())

    def replace_registrations(self, registrations: Registrations) -> None:
        """Serve other entries from now on; streams whose identities have changed get a message or end."""
        self.registrations = registrations
        self.changes.notify()

    def replace_federated(self, federated: TrustBundles) -> None:
        """Give other bundles of other trust domains from now on.

        Raises:
            ConfigurationError: when one is for the server's own trust domain, under any scheme; nothing is changed.
        """
        if any(domain.name == self.authority.name for domain in federated):
            raise ConfigurationError("a federated bundle is for the server's own trust domain")
        self.federated = federated
        self.changes.notify()

    def keys_changed(self, *, renew: bool = False) -> None:
        """Say that the authority publishes other keys: every stream of bundles gets them now.

        Args:
            renew: whether everything that was issued is to be replaced at once, as when a key is not to be trusted
                any more. Without it, what a key signed is replaced when that key has left the bundle.
        """
        self.renewals += renew
        self.changes.notify()

    def count_stream(self, difference: int) -> None:
        """Say that a call has begun (1) or ended (-1)."""
        self.open_streams += difference
        (self.no_streams.clear if self.open_streams else self.no_streams.set)()

    def stop(self) -> None:
        """End every stream with `UNAVAILABLE`, so that its client connects again, to whoever is there then."""
        self.stopping = True
        self.changes.notify()

    def check_running(self) -> None:
        """Refuse new work while the server stops.

        Raises:
            Unavailable: `issuer_unavailable`.
        """
        if self.stopping:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the server is stopping")

    @property
    def healthy(self) -> bool:
        """Whether the server accepts calls, could issue now, and did not fail to when it last tried."""
        if self.stopping or self.issuer_fails:
            return False
        try:
            self.authority.check(now=int(time.time()))
        except Unavailable:
            return False
        return True

    def tell(self, event: Event) -> None:
        """Hand an event to every observer.

        Raises:
            Unavailable: from an observer without whose record nothing may be issued.
        """
        for observer in self._observers:
            observer(event)

    def own_bundle(self, domain: TrustDomain) -> TrustBundle:
        """The bundle of our own trust domain."""
        return self.authority.bundles()[domain]

    def federated_for(self, grants: Sequence[Grant]) -> dict[TrustDomain, TrustBundle]:
        """The bundles of other trust domains that go with these identities."""
        if any(grant.federates_with is None for grant in grants):
            return dict(self.federated)
        names = {name for grant in grants for name in grant.federates_with or ()}
        return {domain: bundle for domain, bundle in self.federated.items() if domain.name in names}
