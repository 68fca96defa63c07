"""The bundle endpoint, served by granian in both profiles and fetched over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.ports import free_port
from wimse.cli.demo.certificate import write_certificate
from wimse.credentials import TrustBundle, TrustDomain, X509Credential, X509Snapshot
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer import Authority
from wimse.keys import PrivateKey
from wimse.servers.bundle_endpoint import BundleEndpoint
from wimse.servers.bundle_serving import BundleServerSettings, serve_bundle_with_files, serve_bundle_with_svid
from wimse.sources import SPIFFEBundleEndpoint, WebBundleEndpoint

DOMAIN = TrustDomain("spiffe", "example.com")


@pytest.fixture(name="issuer")
def a_new_issuer() -> Authority:
    return Authority.create("example.com", now=int(time.time()))


@pytest.fixture(name="bundle")
def the_bundle_of_it(issuer: Authority) -> TrustBundle:
    return replace(issuer.bundles()[DOMAIN], sequence=7, refresh_hint=60)


def certificate_files(folder: Path) -> tuple[Path, Path, ssl.SSLContext]:
    certificate, key = write_certificate(folder)
    return certificate, key, ssl.create_default_context(cafile=certificate)


class Renewed:
    """A source of certificates that a test renews."""

    def __init__(self, issuer: Authority) -> None:
        self.issuer = issuer
        self.renew()

    def renew(self) -> None:
        key = PrivateKey.generate()
        made = self.issuer.issue_x509_svid(DOMAIN.workload("/bundles"), key.public_key, now=int(time.time()))
        self.newest = X509Snapshot(X509Credential.from_chain([made.der], key), self.issuer.bundles())

    def x509_snapshot(self) -> X509Snapshot:
        return self.newest


async def ask(app: BundleEndpoint, method: str = "GET", path: str = "/", **fields: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://b") as client:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return await client.request(method, path, headers=named)


async def test_bundle_of_https_web_is_what_was_published(tmp_path: Path, bundle: TrustBundle) -> None:
    certificate, key, trusting = certificate_files(tmp_path)
    settings = BundleServerSettings(port=free_port())
    async with serve_bundle_with_files(BundleEndpoint(lambda: bundle), certificate, key, settings):
        url = f"https://127.0.0.1:{settings.port}/"
        async with httpx2.AsyncClient(verify=trusting, trust_env=False) as client:
            answer = await client.get(url)
        fetched = await WebBundleEndpoint(DOMAIN, url, ssl_context=trusting).fetch(lambda _: None)
    assert answer.headers["content-type"] == "application/json"
    parsed = TrustBundle.parse(DOMAIN, answer.content)
    assert (parsed.sequence, parsed.refresh_hint) == (7, 60)
    assert parsed.x509_authorities == bundle.x509_authorities
    assert [each.kid for each in parsed.wit_keys] == [each.kid for each in bundle.wit_keys]
    assert [each.kid for each in parsed.jwt_keys] == [each.kid for each in bundle.jwt_keys]
    assert fetched is not None
    assert fetched[DOMAIN].sequence == 7


# https://ssl-config.mozilla.org, "intermediate", by OpenSSL's names.
INTERMEDIATE = {
    *(
        f"ECDHE-{key}-AES{bits}-GCM-SHA{hashed}"
        for key in ("ECDSA", "RSA")
        for bits, hashed in ((128, 256), (256, 384))
    ),
    *(f"ECDHE-{key}-CHACHA20-POLY1305" for key in ("ECDSA", "RSA")),
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
}


async def test_tls_is_mozillas_intermediate(tmp_path: Path, bundle: TrustBundle) -> None:
    """Federation §5: versions 1.2 and 1.3, with forward secrecy and authenticated ciphers, and nothing else."""
    certificate, key, trusting = certificate_files(tmp_path)
    settings = BundleServerSettings(port=free_port())
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    trusting.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    found: list[str | None] = []
    async with serve_bundle_with_files(BundleEndpoint(lambda: bundle), certificate, key, settings):
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                trusting.minimum_version = min(version, trusting.minimum_version)
                trusting.maximum_version, trusting.minimum_version = version, version
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", settings.port, ssl=trusting)
            except (ssl.SSLError, ConnectionError):
                found.append(None)
                continue
            name, spoken, _ = writer.get_extra_info("cipher")
            found.append(writer.get_extra_info("ssl_object").version())
            assert name in INTERMEDIATE, (name, spoken)
            writer.close()
        trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        trusting.set_ciphers("AES128-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", settings.port, ssl=trusting)
    assert found == [None, "TLSv1.2", "TLSv1.3"]


async def test_bundle_of_https_spiffe_is_served_with_the_newest_svid(issuer: Authority, bundle: TrustBundle) -> None:
    source = Renewed(issuer)
    settings = BundleServerSettings(port=free_port(), certificate_interval=timedelta(seconds=0.05))
    url = f"https://127.0.0.1:{settings.port}/"
    seen: set[bytes] = set()

    async def look() -> None:
        context = ssl.create_default_context(cadata=bundle.x509_authorities[0])
        context.check_hostname = False  # an X.509-SVID is known by its URI
        _, writer = await asyncio.open_connection("127.0.0.1", settings.port, ssl=context)
        seen.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.close()

    async with serve_bundle_with_svid(BundleEndpoint(lambda: bundle), source, settings):
        endpoint = SPIFFEBundleEndpoint(DOMAIN, url, endpoint=DOMAIN.workload("/bundles"), bootstrap=bundle)
        fetched = await endpoint.fetch(lambda _: None)
        assert fetched is not None
        assert fetched[DOMAIN].sequence == 7
        await look()
        source.renew()
        assert source.newest.credential is not None
        newest = source.newest.credential.certificates[0]
        deadline = time.monotonic() + 10
        while newest not in seen and time.monotonic() < deadline:
            try:
                await look()
            except OSError:
                await asyncio.sleep(0.05)
        assert newest in seen
        with pytest.raises(Unavailable):
            await SPIFFEBundleEndpoint(DOMAIN, url, endpoint=DOMAIN.workload("/other"), bootstrap=bundle).fetch(
                lambda _: None
            )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused(bundle: TrustBundle, method: str) -> None:
    answer = await ask(BundleEndpoint(lambda: bundle), method)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "GET, HEAD", b"")


@pytest.mark.parametrize("path", ["/keys", "//", "/bundle.json", "/../"])
async def test_other_paths_are_not_there(bundle: TrustBundle, path: str) -> None:
    assert (await ask(BundleEndpoint(lambda: bundle, path="/bundle"), path=path)).status_code == 404


async def test_head_has_the_fields_and_no_content(bundle: TrustBundle) -> None:
    app = BundleEndpoint(lambda: bundle)
    got, head = await ask(app), await ask(app, "HEAD")
    assert head.content == b""
    assert head.headers == got.headers
    assert int(got.headers["content-length"]) == len(got.content)


async def test_unchanged_bundle_is_not_sent_again(bundle: TrustBundle) -> None:
    newest = [bundle]
    app = BundleEndpoint(lambda: newest[0])
    first = await ask(app)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=60, must-revalidate"
    for named in (tag, f'"x", W/{tag}', "*"):
        again = await ask(app, if_none_match=named)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await ask(app, if_none_match='"other"')).status_code == 200
    newest[0] = replace(bundle, sequence=8)
    assert (await ask(app, if_none_match=tag)).json()["spiffe_sequence"] == 8


async def test_bundle_without_hint_gets_one(bundle: TrustBundle) -> None:
    without = replace(bundle, refresh_hint=None)
    assert (await ask(BundleEndpoint(lambda: without, refresh_hint=30))).json()["spiffe_refresh_hint"] == 30


async def test_keys_of_jwt_svids_have_a_url_only_where_it_is_asked_for(bundle: TrustBundle) -> None:
    assert (await ask(BundleEndpoint(lambda: bundle), path="/jwks")).status_code == 404
    document: dict[str, Any] = (await ask(BundleEndpoint(lambda: bundle, jwks_path="/jwks"), path="/jwks")).json()
    assert list(document) == ["keys"]
    assert [each["kid"] for each in document["keys"]] == [each.kid for each in bundle.jwt_keys]
    assert {each["use"] for each in document["keys"]} == {"jwt-svid"}
    assert '"d"' not in json.dumps(document)


async def test_bundle_that_cannot_be_had_is_503_and_nothing_else() -> None:
    def unavailable() -> TrustBundle:
        raise Unavailable(Reason.TRUST_UNAVAILABLE, "secret-detail")

    answer = await ask(BundleEndpoint(unavailable))
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (503, b"", "no-store")


@pytest.mark.parametrize(
    "wrong", [{"path": "bundle"}, {"path": "/ü"}, {"jwks_path": "/"}, {"jwks_path": "x"}, {"refresh_hint": 0}]
)
def test_wrong_configuration_of_the_application_is_refused(bundle: TrustBundle, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BundleEndpoint(lambda: bundle, **wrong)


@pytest.mark.parametrize("wrong", [{"port": 0}, {"backpressure": 0}, {"certificate_interval": timedelta(0)}])
def test_wrong_settings_of_the_server_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BundleServerSettings(**wrong)


async def test_files_that_are_no_certificate_are_refused(tmp_path: Path, bundle: TrustBundle) -> None:
    app, settings = BundleEndpoint(lambda: bundle), BundleServerSettings(port=free_port())
    with pytest.raises(ConfigurationError, match="cannot read"):
        async with serve_bundle_with_files(app, tmp_path / "no", tmp_path / "no", settings):
            pass


async def test_server_without_an_svid_does_not_start(issuer: Authority, bundle: TrustBundle) -> None:
    with pytest.raises(Unavailable):
        async with serve_bundle_with_svid(
            BundleEndpoint(lambda: bundle), X509Snapshot(None, issuer.bundles()), BundleServerSettings(port=free_port())
        ):
            pass
