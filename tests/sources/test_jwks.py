from __future__ import annotations

import asyncio
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import refused
from tests.sources.publisher import Clock, Publisher, document, key, need, publishing
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.httpsig import NeedKey, Request, Requirements, sign, verify_message, verify_message_async
from wimse.keys import PublicKey
from wimse.sources import AsyncRemoteJWKS, JWKSSettings, RemoteJWKS

MINE, STRANGE = key("mine"), key("strange")
OF_MINE, OF_STRANGE = need(MINE), need(STRANGE)
PATIENCE = 20.0

Find = Callable[[NeedKey], PublicKey]
Make = Callable[..., Find]


@pytest.fixture(name="publisher")
def a_publisher(tmp_path: Path) -> Iterator[Publisher]:
    with publishing(tmp_path) as publisher:
        publisher.content = document(MINE)
        yield publisher


@pytest.fixture(name="make", params=["sync", "async"])
def of_either_kind(request: pytest.FixtureRequest, publisher: Publisher) -> Make:
    """A resolver as a plain function; the asynchronous one runs in another event loop each time."""

    def make(url: str = "", **options: Any) -> Find:
        options = {"ssl_context": publisher.trust, "clock": Clock(), **options}
        if request.param == "sync":
            return RemoteJWKS(url or publisher.url, **options)
        remote = AsyncRemoteJWKS(url or publisher.url, **options)
        return lambda need: asyncio.run(remote(need))

    return make


def why_unavailable(find: Find, need: NeedKey = OF_MINE) -> str:
    with pytest.raises(Unavailable) as caught:
        find(need)
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE
    return caught.value.detail


def test_a_key_is_fetched_once_and_kept(make: Make, publisher: Publisher) -> None:
    find = make()
    assert publisher.fetches == 0
    assert [find(OF_MINE) for _ in range(3)] == [MINE.public_key] * 3
    assert publisher.fetches == 1


async def test_a_message_is_verified_with_it(publisher: Publisher) -> None:
    message = sign(Request(method="GET", target="/"), MINE, ["@method"], {"keyid": "mine"})
    remote = AsyncRemoteJWKS(publisher.url, ssl_context=publisher.trust)
    assert (await verify_message_async(message, Requirements(), remote, now=0)).key == MINE.public_key
    blocking = RemoteJWKS(publisher.url, ssl_context=publisher.trust)
    assert verify_message(message, Requirements(), blocking, now=0).key == MINE.public_key


def test_a_set_is_fetched_again_when_it_is_stale(make: Make, publisher: Publisher) -> None:
    clock = Clock()
    find = make(clock=clock)
    publisher.headers = {"Cache-Control": "max-age=100"}
    find(OF_MINE)
    clock.now += 99
    find(OF_MINE)
    assert publisher.fetches == 1
    clock.now += 1
    publisher.content = document(STRANGE)
    with refused(Reason.KEY_UNKNOWN):
        find(OF_MINE)
    assert find(OF_STRANGE) == STRANGE.public_key
    assert publisher.fetches == 2


def test_a_flood_of_unknown_keyids_costs_one_fetch(make: Make, publisher: Publisher) -> None:
    """D11, CVE-2026-48524: and the key that is known stays."""
    clock = Clock()
    find = make(clock=clock)
    for _ in range(20):
        with refused(Reason.KEY_UNKNOWN):
            find(OF_STRANGE)
    assert publisher.fetches == 1
    clock.now += 30
    publisher.status = 500
    for _ in range(20):
        with refused(Reason.KEY_UNKNOWN):
            find(OF_STRANGE)
    assert publisher.fetches == 2
    assert find(OF_MINE) == MINE.public_key


def test_a_new_key_is_found_after_the_cool_down(make: Make, publisher: Publisher) -> None:
    clock = Clock()
    find = make(clock=clock)
    find(OF_MINE)
    publisher.content = document(MINE, STRANGE)
    clock.now += 30
    assert find(OF_STRANGE) == STRANGE.public_key


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(make: Make, publisher: Publisher, status: int) -> None:
    publisher.status = status
    publisher.headers = {"Location": "/elsewhere"}
    assert "redirects" in why_unavailable(make())
    assert publisher.paths == ["/jwks.json"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"status": 404}, "200"),
        ({"status": 203}, "200"),
        ({"status": 500}, "200"),
        ({"headers": {"Content-Encoding": "gzip"}}, "compresses"),
        ({"content": b"x"}, "JSON"),
        ({"content": b'{"keys": [%s]}' % json.dumps(MINE.to_jwk()).encode()}, "private key"),
        ({"content": b" " * 1_048_577}, "larger than 1048576 bytes"),
        ({"headers": {"Content-Length": "1000"}}, "connection"),
    ],
)
def test_any_other_answer_is_an_outage_and_what_is_known_stays(
    make: Make, publisher: Publisher, change: dict[str, Any], detail: str
) -> None:
    clock = Clock()
    find = make(clock=clock)
    find(OF_MINE)
    vars(publisher).update(change)
    clock.now += 1000
    assert find(OF_MINE) == MINE.public_key
    assert publisher.fetches == 2
    assert detail in why_unavailable(make())


def test_an_endless_answer_is_read_to_the_limit_only(make: Make, publisher: Publisher) -> None:
    sent = 0

    def endless(_: bytes) -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    publisher.chunks = endless
    assert "larger" in why_unavailable(make())
    assert sent < 64 * 1_048_576


def test_a_publisher_that_nobody_vouches_for_is_an_outage(make: Make, publisher: Publisher) -> None:
    assert "connection" in why_unavailable(make(ssl_context=ssl.create_default_context()))
    assert publisher.fetches == 0


def test_a_publisher_that_does_not_listen_is_an_outage(make: Make) -> None:
    assert "connection" in why_unavailable(make("https://127.0.0.1:1/"))


@pytest.mark.parametrize("drips", [False, True])
def test_the_timeout_is_one_of_the_whole_fetch(make: Make, publisher: Publisher, drips: bool) -> None:
    """D6: also of one that sends a byte now and then."""
    over = threading.Event()

    def slowly(content: bytes) -> Iterator[bytes]:
        while not over.wait(0.05 if drips else PATIENCE):
            yield content[:1]

    publisher.chunks = slowly
    find = make(settings=JWKSSettings(timeout=timedelta(seconds=0.3)))
    try:
        assert "in time" in why_unavailable(find)
    finally:
        over.set()


def test_threads_share_one_fetch(publisher: Publisher) -> None:
    waiting, go = threading.Barrier(21), threading.Event()
    publisher.before = lambda: go.wait(PATIENCE)
    remote = RemoteJWKS(publisher.url, ssl_context=publisher.trust)

    def find(_: int) -> PublicKey:
        waiting.wait(PATIENCE)
        return remote(OF_MINE)

    with ThreadPoolExecutor(20) as pool:
        found = pool.map(find, range(20))
        waiting.wait(PATIENCE)
        go.set()
        assert list(found) == [MINE.public_key] * 20
    assert publisher.fetches == 1


async def test_tasks_share_one_fetch_and_one_that_gives_up_does_not_end_it(publisher: Publisher) -> None:
    go, arrived = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        go.wait(PATIENCE)

    publisher.before = hold
    remote = AsyncRemoteJWKS(publisher.url, ssl_context=publisher.trust)
    first, *others = [asyncio.create_task(remote(OF_MINE)) for _ in range(20)]
    await asyncio.to_thread(arrived.wait, PATIENCE)
    first.cancel()
    go.set()
    assert await asyncio.gather(*others) == [MINE.public_key] * 19
    assert first.cancelled()
    assert publisher.fetches == 1


def test_a_fetch_that_cannot_be_interrupted_keeps_nobody_waiting(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the look-up of a name: it goes on in its thread, and nobody starts another one."""
    over, started = threading.Event(), []

    async def stuck(_: object) -> object:
        started.append(1)
        over.wait(PATIENCE)
        raise OSError

    monkeypatch.setattr("wimse.sources.jwks._GRACE_SECONDS", 0.0)
    monkeypatch.setattr(RemoteJWKS, "_download", stuck)
    clock = Clock()
    remote = RemoteJWKS(publisher.url, settings=JWKSSettings(timeout=timedelta(seconds=0.05)), clock=clock)
    try:
        for _ in range(3):
            assert "in time" in why_unavailable(remote)
            clock.now += 10
        assert len(started) == 1
    finally:
        over.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://issuer.example/",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "issuer.example",
        "https://",
        "https:///jwks",
        "https://user@issuer.example/",
        "https://issuer.example/#a",
        "https://issuer.example/a b",
        "https://issuer.example/\n",
        "https://issuer.example:99999/",
        "https://[::1/",
        "",
    ],
)
def test_another_url_is_a_mistake(url: str) -> None:
    for kind in (RemoteJWKS, AsyncRemoteJWKS):
        with pytest.raises(ConfigurationError, match="URL"):
            kind(url)


def test_http_is_for_this_machine_and_only_when_it_is_allowed(tmp_path: Path) -> None:
    settings = JWKSSettings(allow_loopback_http=True)
    with publishing(tmp_path, tls=False) as publisher:
        publisher.content = document(MINE)
        assert RemoteJWKS(publisher.url, settings=settings)(OF_MINE) == MINE.public_key
    for url in ("http://[::1]/", "http://localhost:8080/a"):
        RemoteJWKS(url, settings=settings)
    for url in ("http://issuer.example/", "http://10.0.0.1/", "http://localhost.example/", "http://169.254.169.254/"):
        with pytest.raises(ConfigurationError, match="https"):
            RemoteJWKS(url, settings=settings)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match=r"wimse\[httpx2\]"):
        RemoteJWKS("https://issuer.example/")
