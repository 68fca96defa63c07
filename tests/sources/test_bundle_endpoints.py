"""Bundle endpoints of both profiles: real HTTPS servers, and what they may not do."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.sources.bundles import (
    QUICK,
    Events,
    authority_document,
    document,
    endpoint,
    until,
)
from tests.sources.publisher import Clock, Publisher, key, publishing, serving
from tests.tls.world import Authority
from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.sources import (
    BundleFile,
    BundleSettings,
    SPIFFEBundleEndpoint,
    TrustBundleKeeper,
    WebBundleEndpoint,
)

A, B = TrustDomain("spiffe", "a.example"), TrustDomain("spiffe", "b.example")
OLD, NEW = key("old"), key("new")
PATH = "/jwks.json"


@pytest.fixture(name="publisher")
def a_publisher(tmp_path: Path) -> Iterator[Publisher]:
    with publishing(tmp_path) as publisher:
        publisher.content = document(OLD)
        yield publisher


def web(publisher: Publisher, url: str = "", **options: Any) -> WebBundleEndpoint:
    return WebBundleEndpoint(A, url or publisher.url, **{"ssl_context": publisher.trust, **options})


def keeper_of(*sources: Any, **options: Any) -> TrustBundleKeeper:
    """One that asks when it is told to, and not by itself."""
    settings = BundleSettings(
        default_refresh=timedelta(hours=1), min_refresh=timedelta(hours=1), first_retry=timedelta(hours=1)
    )
    return TrustBundleKeeper(*sources, **{"settings": settings, **options})


def kids(keeper: TrustBundleKeeper, domain: TrustDomain = A) -> list[str | None]:
    found = keeper(domain)
    assert found is not None
    return [each.kid for each in found.wit_keys]


def why(keeper: TrustBundleKeeper, domain: TrustDomain = A) -> str:
    with pytest.raises(Unavailable) as caught:
        keeper(domain)
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE
    return caught.value.detail


def test_a_bundle_is_fetched_and_kept_new(publisher: Publisher) -> None:
    publisher.content = document(OLD, sequence=1)
    with TrustBundleKeeper(web(publisher), settings=QUICK) as keeper:
        assert kids(keeper) == ["old"]
        first = keeper(A)
        until(lambda: publisher.fetches > 2)
        assert keeper(A) is first
        publisher.content = document(OLD, NEW, sequence=2)
        until(lambda: kids(keeper) == ["old", "new"])
        publisher.content = document(sequence=3)
        until(lambda: kids(keeper) == [])


async def test_the_same_within_an_event_loop(publisher: Publisher) -> None:
    async with keeper_of(web(publisher)) as keeper:
        assert kids(keeper) == ["old"]
    assert kids(keeper) == ["old"]


def test_looking_up_never_fetches(publisher: Publisher) -> None:
    """WT-26, D11, CVE-2026-48524: however many keys and domains a stranger names."""
    with keeper_of(web(publisher)) as keeper:
        found = keeper(A)
        assert found is not None
        for number in range(2_000):
            assert keeper(A) is found
            assert keeper(TrustDomain("spiffe", f"d{number}.example")) is None
        assert publisher.fetches == 1


@pytest.mark.parametrize(
    ("hint", "seconds"), [(None, 300), (0, 30), (1, 30), (29, 30), (31, 31), (3600, 3600), (2_419_200, 3600)]
)
def test_the_hint_is_heard_within_bounds(publisher: Publisher, hint: int | None, seconds: float) -> None:
    """Trust Domain and Bundle §4.1.2, §6.1."""
    publisher.content = document(OLD, hint=hint)
    source = web(publisher)
    with keeper_of(source):
        assert source.interval(BundleSettings()) == seconds


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"status": 404}, "200"),
    ({"status": 500}, "200"),
    ({"status": 203}, "200"),
    ({"headers": {"Content-Encoding": "gzip"}}, "compresses"),
    ({"content": b"x"}, "JSON"),
    ({"content": b"{}"}, "keys"),
    ({"content": document(OLD)[:-1]}, "JSON"),
    ({"content": b'{"keys": [], "keys": []}'}, "twice"),
    ({"content": b" " * 1_048_577}, "larger than 1048576 bytes"),
    ({"headers": {"Content-Length": "1000"}}, "connection"),
    ({"content": b'{"keys": [], "spiffe_sequence": "1"}'}, "sequence"),
]


@pytest.mark.parametrize(("change", "detail"), CHANGES, ids=[detail for _, detail in CHANGES])
def test_any_other_answer_is_an_outage_and_what_is_held_stays(
    publisher: Publisher, change: dict[str, Any], detail: str
) -> None:
    """IS-35, D11; MW-11 for a keeper that begins with it: refused, and never open."""
    events, clock = Events(), Clock()
    with keeper_of(web(publisher), on_event=events, clock=clock) as keeper:
        before = keeper(A)
        vars(publisher).update(change)
        keeper.refresh()
        assert keeper(A) is before
        assert events.changes == ["updated", "failed"]
        assert detail in events[-1].detail
        clock.now += 86_401
        assert "too old" in why(keeper)
    with keeper_of(web(publisher)) as keeper:
        assert not keeper.ready
        assert "there is no trust bundle" in why(keeper)
        assert keeper(B) is None


def test_an_endless_answer_is_read_to_the_limit_only(publisher: Publisher) -> None:
    """IS-35: one of 1 GB."""
    sent = 0

    def endless(_: bytes) -> Iterator[bytes]:
        nonlocal sent
        while sent < 1_073_741_824:
            sent += 65_536
            yield b" " * 65_536

    publisher.chunks = endless
    with keeper_of(web(publisher)) as keeper:
        assert "there is no trust bundle: it is larger" in why(keeper)
    assert sent < 64 * 1_048_576


def test_a_slow_answer_is_waited_for_once(publisher: Publisher) -> None:
    over = threading.Event()

    def slowly(content: bytes) -> Iterator[bytes]:
        while not over.wait(0.05):
            yield content[:1]

    publisher.chunks = slowly
    settings = BundleSettings(timeout=timedelta(seconds=0.3))
    with keeper_of(web(publisher, settings=settings)) as keeper:
        assert "in time" in why(keeper)
        over.set()


def test_a_lower_sequence_is_ignored(publisher: Publisher) -> None:
    """IS-35: a rollback by a cache or an attacker on the publisher's host."""
    events = Events()
    publisher.content = document(NEW, sequence=7)
    with keeper_of(web(publisher), on_event=events) as keeper:
        for content in (document(OLD, sequence=6), document(OLD), document(sequence=1)):
            publisher.content = content
            keeper.refresh()
            assert kids(keeper) == ["new"]
    assert events.changes == ["updated", "ignored", "ignored", "ignored"]
    assert events[-1].sequence == 7


# ------------------------------------------------------------------------------------------------ https_web


def test_an_endpoint_that_nobody_vouches_for_is_an_outage(publisher: Publisher) -> None:
    with keeper_of(web(publisher, ssl_context=ssl.create_default_context())) as keeper:
        assert "connection" in why(keeper)
    with keeper_of(web(publisher, url=publisher.url.replace("127.0.0.1", "localhost"))) as keeper:
        assert "connection" in why(keeper)  # RFC 6125: the certificate is for another name
    assert publisher.fetches == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_host_is_followed_and_never_remembered(publisher: Publisher, status: int) -> None:
    """Federation §5.2.1.4: SHOULD follow, SHOULD NOT store."""
    publisher.redirect_status = status
    publisher.redirects = {PATH: "/moved?a=b"}
    with keeper_of(web(publisher)) as keeper:
        assert kids(keeper) == ["old"]
        publisher.redirects = {}
        keeper.refresh()
    assert publisher.paths == [PATH, "/moved?a=b", PATH]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "//localhost:1/",
        "https://localhost:1/",
        "https://169.254.169.254/",
        "https://user@127.0.0.1/",
        "https://127.0.0.1.example/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "https://[::1",
        "#a",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(publisher: Publisher, location: str) -> None:
    """IS-35: neither to http nor to a host that is not configured."""
    publisher.redirects = {PATH: location}
    with keeper_of(web(publisher)) as keeper:
        assert "redirects" in why(keeper)
    assert publisher.paths == [PATH]


def test_a_redirect_without_a_target_or_in_a_circle_ends(publisher: Publisher) -> None:
    publisher.redirects = {PATH: "/a", "/a": "/b", "/b": "/a"}
    with keeper_of(web(publisher)) as keeper:
        assert "more than 3 times" in why(keeper)
    assert publisher.fetches == 4
    publisher.redirects = {PATH: ""}  # the same URL again
    with keeper_of(web(publisher)) as keeper:
        assert "more than 3 times" in why(keeper)


def test_redirects_can_be_left_out(publisher: Publisher) -> None:
    publisher.redirects = {PATH: "/a"}
    with keeper_of(web(publisher, settings=BundleSettings(max_redirects=0))) as keeper:
        assert "not followed" in why(keeper)


def test_another_host_can_be_configured_and_is_verified_as_well(publisher: Publisher, tmp_path: Path) -> None:
    """Federation §5.2.1.4: the same TLS considerations."""
    (tmp_path / "other").mkdir()
    with publishing(tmp_path / "other", host="localhost") as other:
        other.content = document(NEW)
        publisher.trust.load_verify_locations(cafile=str(tmp_path / "other" / "certificate.pem"))
        for url, detail in ((other.url.replace("127.0.0.1", "localhost"), "another host"), (other.url, "connection")):
            publisher.redirects = {PATH: url}
            with keeper_of(web(publisher)) as keeper:
                assert detail in why(keeper)
            assert other.fetches == 0
        publisher.redirects = {PATH: other.url.replace("127.0.0.1", "localhost")}
        with keeper_of(web(publisher, redirect_hosts=["LOCALHOST"])) as keeper:
            assert kids(keeper) == ["new"]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://issuer.example/",
            "http://127.0.0.1/",
            "ftp://issuer.example/",
            "file:///etc/passwd",
            "issuer.example",
        ),
        *("https://", "https://user@issuer.example/", "https://issuer.example/#a", "https://issuer.example/a b", ""),
    ],
)
def test_another_url_is_a_mistake(url: str) -> None:
    """Federation §5.2.1.1, §5.2.2.1: https, and no user information."""
    endpoint_id = B.workload("/bundle")
    with pytest.raises(ConfigurationError, match="URL"):
        WebBundleEndpoint(A, url)
    with pytest.raises(ConfigurationError, match="URL"):
        SPIFFEBundleEndpoint(A, url, endpoint=endpoint_id)


def test_a_context_that_verifies_nothing_is_a_mistake() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    for mode in (ssl.CERT_REQUIRED, ssl.CERT_NONE):
        lax.verify_mode = mode
        with pytest.raises(ConfigurationError, match="verify"):
            WebBundleEndpoint(A, "https://a.example/", ssl_context=lax)
    with pytest.raises(ConfigurationError, match="collection"):
        WebBundleEndpoint(A, "https://a.example/", redirect_hosts="b.example")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match=r"wimse\[httpx2\]"):
        WebBundleEndpoint(A, "https://a.example/")


# ------------------------------------------------------------------------------------------------ https_spiffe

OURS, THEIRS = Authority("spiffe://a.example"), Authority("spiffe://b.example")
ENDPOINT = A.workload("/bundle-server")


def spiffe(publisher: Publisher, **options: Any) -> SPIFFEBundleEndpoint:
    return SPIFFEBundleEndpoint(A, publisher.url, **{"endpoint": ENDPOINT, "bootstrap": OURS.bundle, **options})


def test_an_endpoint_serves_its_own_domain_and_rotates_its_authority() -> None:
    """Federation §5.2.2.4: the bootstrap bundle first, the latest afterwards."""
    new = Authority("spiffe://a.example")
    with endpoint(OURS.credential(ENDPOINT.path, dns_names=())) as publisher:
        publisher.content = authority_document(OURS, keys=(OLD,), sequence=1)
        with keeper_of(spiffe(publisher)) as keeper:
            assert kids(keeper) == ["old"]
            publisher.content = authority_document(new, OURS, keys=(OLD,), sequence=2)
            keeper.refresh()
            with endpoint(new.credential(ENDPOINT.path, dns_names=())) as renewed:
                renewed.content = authority_document(new, keys=(NEW,), sequence=3)
                publisher.redirects = {PATH: renewed.url}
                keeper.refresh()
                assert kids(keeper) == ["new"]
            # The authority that it began with is gone, and what it certifies is nobody now.
            publisher.redirects = {}
            publisher.content = authority_document(OURS, keys=(OLD,), sequence=9)
            fetched = publisher.fetches
            keeper.refresh()
            assert publisher.fetches == fetched
            assert kids(keeper) == ["new"]


def test_an_empty_bundle_ends_a_relationship_for_good() -> None:
    """Federation §5.2.2.4: nothing vouches for the endpoint any more, and the bootstrap bundle does not come back."""
    with endpoint(OURS.credential(ENDPOINT.path)) as publisher:
        publisher.content = authority_document(sequence=1)
        with keeper_of(spiffe(publisher)) as keeper:
            assert kids(keeper) == []
            publisher.content = authority_document(OURS, keys=(OLD,), sequence=2)
            keeper.refresh()
            assert kids(keeper) == []
            assert publisher.fetches == 1


@pytest.mark.parametrize(
    "credential",
    [
        OURS.credential("/bundle-servers"),
        OURS.credential("/bundle-server/x"),
        THEIRS.credential(ENDPOINT.path),
        THEIRS.credential(ENDPOINT.path, domain=A),
        OURS.credential(ENDPOINT.path, since=-900, until=-600),
        OURS.credential(ENDPOINT.path, domain=TrustDomain("wimse", "a.example")),
    ],
    ids=["neighbour", "child", "another-domain", "another-authority", "expired", "another-scheme"],
)
def test_an_endpoint_that_is_somebody_else_is_not_asked(credential: Any) -> None:
    """IS-35, Federation §5.2.2.4: MUST be a valid X509-SVID for the SPIFFE ID that was configured."""
    with endpoint(credential) as publisher:
        publisher.content = authority_document(OURS, keys=(NEW,))
        with keeper_of(spiffe(publisher)) as keeper:
            assert "connection" in why(keeper)
        assert publisher.fetches == 0


def test_a_certificate_of_the_web_is_no_svid(publisher: Publisher) -> None:
    """Federation §7.2: no profile falls back to the other."""
    with keeper_of(spiffe(publisher)) as keeper:
        assert "connection" in why(keeper)
    with endpoint(OURS.credential(ENDPOINT.path)) as other, keeper_of(web(other)) as keeper:
        assert "connection" in why(keeper)


def test_a_redirect_must_lead_to_the_same_identity() -> None:
    """IS-35, Federation §5.2.2.4: to another host, and to nobody else."""
    with (
        endpoint(OURS.credential(ENDPOINT.path)) as publisher,
        endpoint(OURS.credential(ENDPOINT.path)) as twin,
        endpoint(OURS.credential("/other")) as stranger,
        serving(None) as plain,
    ):
        twin.content = authority_document(OURS, keys=(OLD,))
        stranger.content = plain.content = authority_document(OURS, keys=(NEW,))
        with keeper_of(spiffe(publisher)) as keeper:
            for target in (stranger.url, plain.url):
                publisher.redirects = {PATH: target}
                keeper.refresh()
                why(keeper)
            publisher.redirects = {PATH: twin.url.replace("127.0.0.1", "localhost")}
            keeper.refresh()
            assert kids(keeper) == ["old"]
        assert stranger.fetches == plain.fetches == 0


def test_an_endpoint_of_another_domain_is_known_by_that_domains_bundle(tmp_path: Path) -> None:
    """Federation §5.2.2.2, figure 4; and with it a chain of two."""
    third = Authority("spiffe://c.example")
    path = tmp_path / "c.json"
    server_b, server_c = THEIRS.domain.workload("/server"), third.domain.workload("/server")
    with endpoint(THEIRS.credential("/server")) as at_b, endpoint(third.credential("/server")) as at_c:
        at_b.content = authority_document(OURS, keys=(OLD,))
        at_c.content = authority_document(THEIRS)
        of_a = SPIFFEBundleEndpoint(A, at_b.url, endpoint=server_b)
        of_b = SPIFFEBundleEndpoint(B, at_c.url, endpoint=server_c)
        with keeper_of(of_a, of_b, third.bundle) as keeper:
            assert kids(keeper) == ["old"]
            assert at_b.fetches == at_c.fetches == 1
        # Without what vouches for it, it is not even asked; afterwards it is.
        with keeper_of(of_a, of_b, BundleFile(third.domain, path)) as keeper:
            assert "endpoint" in why(keeper)
            assert at_b.fetches == 1
            path.write_bytes(authority_document(third))
            keeper.refresh()
            assert kids(keeper) == ["old"]


def test_an_endpoint_needs_what_vouches_for_it(publisher: Publisher) -> None:
    with pytest.raises(ConfigurationError, match="bootstrap"):
        spiffe(publisher, bootstrap=None)
    with pytest.raises(ConfigurationError, match="bootstrap"):
        spiffe(publisher, bootstrap=THEIRS.bundle)
    with pytest.raises(ConfigurationError, match="bootstrap"):
        spiffe(publisher, endpoint=B.workload("/a"), bootstrap=OURS.bundle)
    circle = (
        SPIFFEBundleEndpoint(A, publisher.url, endpoint=B.workload("/a")),
        SPIFFEBundleEndpoint(B, publisher.url, endpoint=A.workload("/a")),
    )
    with keeper_of(*circle) as keeper:
        for domain in (A, B):
            assert "no bundle of the trust domain of its endpoint" in why(keeper, domain)
    assert publisher.fetches == 0


@pytest.mark.parametrize(
    "change",
    [
        {"timeout": timedelta(0)},
        {"max_redirects": -1},
        {"first_retry": timedelta(0)},
        {"min_refresh": timedelta(minutes=6)},
        {"max_refresh": timedelta(minutes=4)},
        {"max_age": timedelta(minutes=59)},
        {"file_interval": timedelta(hours=25)},
    ],
)
def test_settings_that_bound_nothing_are_refused(change: dict[str, Any]) -> None:
    make: Callable[..., BundleSettings] = BundleSettings
    with pytest.raises(ConfigurationError):
        make(**change)
    assert make(max_redirects=0).max_redirects == 0
