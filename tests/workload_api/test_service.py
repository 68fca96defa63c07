# ruff: noqa: PT012 - a call of a stream is several statements
from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import socket as sockets
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.json_format import MessageToDict
from grpclib.client import Channel, UnaryStreamMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.workload_api.support import HEADER, MutableRegistrations, authority, entries, grpcio, serving
from wimse.credentials import TrustBundle, TrustDomain, UnverifiedWIT, verify_wit
from wimse.errors import Reason, Refused, Unavailable
from wimse.issuer import Registrations
from wimse.keys import PrivateKey
from wimse.workload_api import ServerSettings, WorkloadAPIClient
from wimse.workload_api.proto import workload_pb2 as pb

API = "/SpiffeWorkloadAPI/"
MINT = "/MiniSPIREWorkloadAPI/MintWITSVID"
CALLS: dict[str, tuple[Any, Any]] = {
    "FetchX509SVID": (pb.X509SVIDRequest(), pb.X509SVIDResponse),
    "FetchX509Bundles": (pb.X509BundlesRequest(), pb.X509BundlesResponse),
    "FetchJWTSVID": (pb.JWTSVIDRequest(audience=["a"]), pb.JWTSVIDResponse),
    "FetchJWTBundles": (pb.JWTBundlesRequest(), pb.JWTBundlesResponse),
    "ValidateJWTSVID": (pb.ValidateJWTSVIDRequest(audience="a", svid="b"), pb.ValidateJWTSVIDResponse),
    "FetchWITSVID": (pb.WITSVIDRequest(), pb.WITSVIDResponse),
    "FetchWITBundles": (pb.WITBundlesRequest(), pb.WITBundlesResponse),
}
ME = f"/bin/{Path('/proc/self/exe').readlink().name}/gid/{os.getgid()}/pid/{os.getpid()}/uid/{os.getuid()}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


async def status_of(call: Any) -> tuple[Any, str | None]:
    with pytest.raises(grpc.RpcError) as error:
        await call
    return error.value.code(), error.value.details()


async def raw_status(address: str, name: str, metadata: Any) -> Status:
    request, kind = CALLS[name]
    async with Channel(path=address.removeprefix("unix://")) as channel:
        with pytest.raises(GRPCError) as error:
            async with UnaryStreamMethod(channel, API + name, type(request), kind).open(metadata=metadata) as stream:
                await stream.send_message(request, end=True)
                await stream.recv_message()
        return error.value.status


# ------------------------------------------------------------------------------------------------ the happy paths


@pytest.mark.parametrize("scheme", ["spiffe", "wimse"])
async def test_grpcio_fetches_a_wit_that_the_fetched_bundle_verifies(path: Path, scheme: str) -> None:
    """SV-22, SV-31: gRPC as any client speaks it; the bundle of our own trust domain, with a kid, under its URI."""
    async with serving(path, authority(scheme)) as address:
        response = await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])
        bundles = await grpcio(address, API + "FetchWITBundles", *CALLS["FetchWITBundles"])
    svid = response.svids[0]
    assert len(response.svids) == 1
    assert svid.spiffe_id == f"{scheme}://example.com{ME}"
    assert list(bundles.bundles) == [f"{scheme}://example.com"]
    domain = TrustDomain(scheme, "example.com")
    bundle = TrustBundle.parse(domain, bundles.bundles[str(domain)].encode())
    verified = verify_wit(UnverifiedWIT.parse(svid.wit_svid), bundle, now=int(time.time()))
    key = PrivateKey.from_jwk(json.loads(svid.wit_svid_key))
    assert json.loads(svid.wit_svid_key)["alg"] == "ES256"
    assert verified.key.same_key(key.public_key)
    assert verified.issuer == str(domain)
    assert verified.expires_at - (verified.issued_at or 0) == 300
    assert [entry["use"] for entry in json.loads(bundles.bundles[str(domain)])["keys"]] == ["wit-svid"]


async def test_joserfc_verifies_what_is_fetched(path: Path) -> None:
    """IS-21: each bundle holds the keys of its own use only."""
    async with serving(path) as address:
        wit = (await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])).svids[0].wit_svid
        svid = (await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])).svids[0].svid
        wit_bundle = (await grpcio(address, API + "FetchWITBundles", *CALLS["FetchWITBundles"])).bundles
        jwt_bundle = (await grpcio(address, API + "FetchJWTBundles", *CALLS["FetchJWTBundles"])).bundles
    for token, bundle, use in ((wit, wit_bundle, "wit-svid"), (svid, jwt_bundle, "jwt-svid")):
        keys = json.loads(bundle["spiffe://example.com"])["keys"]
        assert [key["use"] for key in keys] == [use]
        decoded = jwt.decode(token, KeySet.import_key_set({"keys": [{**key, "use": "sig"} for key in keys]}))
        assert decoded.claims["sub"] == f"spiffe://example.com{ME}"


@pytest.mark.parametrize("scheme", ["spiffe", "wimse"])
async def test_grpcio_fetches_an_x509_svid(path: Path, scheme: str) -> None:
    async with serving(path, authority(scheme)) as address:
        svid = (await grpcio(address, API + "FetchX509SVID", *CALLS["FetchX509SVID"])).svids[0]
        bundles = await grpcio(address, API + "FetchX509Bundles", *CALLS["FetchX509Bundles"])
    leaf, ca = x509.load_der_x509_certificate(svid.x509_svid), x509.load_der_x509_certificate(svid.bundle)
    leaf.verify_directly_issued_by(ca)
    assert svid.spiffe_id == f"spiffe://example.com{ME}"
    assert PrivateKey.from_pkcs8_der(svid.x509_svid_key).native.public_key() == leaf.public_key()
    assert dict(bundles.bundles) == {"spiffe://example.com": svid.bundle}


async def test_grpcio_fetches_and_validates_a_jwt_svid(path: Path) -> None:
    async with serving(path) as address:
        svid = (await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])).svids[0]
        request = pb.ValidateJWTSVIDRequest(audience="a", svid=svid.svid)
        response = await grpcio(address, API + "ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse)
    assert response.spiffe_id == svid.spiffe_id == f"spiffe://example.com{ME}"
    claims = MessageToDict(response.claims)
    assert (claims["sub"], claims["aud"]) == (svid.spiffe_id, ["a"])


@pytest.mark.parametrize("scheme", ["spiffe", "wimse"])
async def test_mint_gives_what_minispire_gives_without_the_header(path: Path, scheme: str) -> None:
    async with serving(path, authority(scheme)) as address:
        response = await grpcio(address, MINT, pb.WITSVIDRequest(), pb.WITSVIDResponse, metadata=())
    svid = response.svids[0]
    key = PrivateKey.from_pkcs8_der(base64.b64decode(svid.wit_svid_key, validate=True))
    jws = UnverifiedWIT.parse(svid.wit_svid).jws
    assert svid.spiffe_id == f"spiffe://example.com{ME}"
    assert jws.claims["sub"] == f"wimse://example.com{ME}"
    assert jws.claims["iss"] == "wimse://example.com"
    assert jws.claims["aud"] == ""
    assert len(str(jws.claims["jti"])) == 64
    assert jws.claims["cnf"] == {"jwk": {**key.public_key.to_jwk(), "use": "sig"}}


async def test_minted_wit_is_verified_by_the_published_wimse_bundle(path: Path) -> None:
    async with serving(path, authority("wimse")) as address:
        wit = (await grpcio(address, MINT, pb.WITSVIDRequest(), pb.WITSVIDResponse, ())).svids[0].wit_svid
        bundles = await grpcio(address, API + "FetchWITBundles", *CALLS["FetchWITBundles"])
    domain = TrustDomain("wimse", "example.com")
    bundle = TrustBundle.parse(domain, bundles.bundles[str(domain)].encode())
    assert str(verify_wit(UnverifiedWIT.parse(wit), bundle, now=int(time.time())).identity.path) == ME


async def test_our_own_client_makes_every_call(path: Path) -> None:
    async with serving(path) as address, WorkloadAPIClient(address) as client:
        svids = await client.fetch_jwt_svids(["a"])
        assert (await client.validate_jwt_svid(svids.svids[0].svid, "a")).spiffe_id == svids.svids[0].spiffe_id
        assert len((await client.mint_wit_svids()).svids) == 1
        for watch in (
            client.watch_wit_svids,
            client.watch_wit_bundles,
            client.watch_x509_svids,
            client.watch_x509_bundles,
            client.watch_jwt_bundles,
        ):
            message: Any = await anext(aiter(watch()))
            assert len(message.bundles if "Bundles" in type(message).__name__ else message.svids) == 1


async def test_all_identities_are_given_with_their_hints_and_each_with_its_own_key(path: Path) -> None:
    """SV-30, IS-27, WC-48, WC-46: everything without spiffe_id, the first entry first, a new key for each WIT."""
    granted = entries("/b", "/a", selector=f"unix:uid:{os.getuid()}", hints=["external"])
    async with serving(path, registrations=granted) as address:
        first = await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])
        second = await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])
        one = await grpcio(
            address, API + "FetchWITSVID", pb.WITSVIDRequest(spiffe_id=first.svids[1].spiffe_id), pb.WITSVIDResponse
        )
        jwts = await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])
        x509s = await grpcio(address, API + "FetchX509SVID", *CALLS["FetchX509SVID"])
    for response in (first, jwts, x509s):
        assert [(svid.spiffe_id[len("spiffe://example.com") :], svid.hint) for svid in response.svids] == [
            ("/b", "external"),
            ("/a", ""),
        ]
    assert [svid.spiffe_id for svid in one.svids] == ["spiffe://example.com/a"]
    keys = [json.loads(svid.wit_svid_key)["d"] for response in (first, second, one) for svid in response.svids]
    assert len(set(keys)) == 5


async def test_two_processes_have_two_identities(path: Path) -> None:
    """SV-24: no TLS, no credentials of the caller's: the kernel says who it is."""
    program = (
        "import asyncio, sys\n"
        "from wimse.workload_api import WorkloadAPIClient\n"
        "async def main():\n"
        "    async with WorkloadAPIClient(sys.argv[1]) as client:\n"
        "        print((await client.fetch_jwt_svids(['a'])).svids[0].spiffe_id)\n"
        "asyncio.run(main())\n"
    )
    async with serving(path) as address:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, address, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await child.communicate()
        mine = await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])
    assert output.decode().strip().endswith(f"/pid/{child.pid}/uid/{os.getuid()}")
    assert mine.svids[0].spiffe_id == f"spiffe://example.com{ME}"


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("workload.spiffe.io", "TRUE"),),
        (("workload.spiffe.io", "True"),),
        (("workload.spiffe.io", " true"),),
        (("workload.spiffe.io", "true "),),
        (("workload.spiffe.io", "1"),),
        (("workload.spiffe.io", "false"),),
        (("workload.spiffe.io", "true"), ("workload.spiffe.io", "true")),
        (("workload.spiffe.io", "true,true"),),
        (("workload-spiffe-io", "true"),),
    ],
)
async def test_call_without_the_exact_security_header_is_refused(path: Path, name: str, metadata: Any) -> None:
    """IS-01, SV-23: InvalidArgument for each of the seven calls; nobody looks at the caller before."""

    class NoIdentityWork(Registrations):
        def grants(self, caller: Any) -> Any:
            pytest.fail(f"identity work for {caller}")

    async with serving(path, registrations=NoIdentityWork()) as address:
        assert await raw_status(address, name, metadata) is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("name", CALLS)
async def test_grpcio_without_the_header_is_refused(path: Path, name: str) -> None:
    async with serving(path) as address:
        code, details = await status_of(grpcio(address, API + name, *CALLS[name], metadata=()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "security header missing from request"


@pytest.mark.parametrize("name", [name for name in CALLS if name != "ValidateJWTSVID"])
async def test_caller_without_identity_is_denied(path: Path, name: str) -> None:
    """IS-13: PermissionDenied, never an empty answer."""
    async with serving(path, registrations=Registrations(default_identities=False)) as address:
        code, details = await status_of(grpcio(address, API + name, *CALLS[name]))
    assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "no_identity")


async def test_mint_without_identity_is_denied(path: Path) -> None:
    async with serving(path, registrations=Registrations(default_identities=False)) as address:
        code, details = await status_of(grpcio(address, MINT, pb.WITSVIDRequest(), pb.WITSVIDResponse))
    assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "no_identity")


@pytest.mark.parametrize(
    ("spiffe_id", "code", "reason"),
    [
        ("nonsense", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("spiffe://example.com", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("spiffe://EXAMPLE.com/a", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("spiffe://example.com/a/", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("spiffe://example.com/a/../a", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("https://example.com/a", grpc.StatusCode.INVALID_ARGUMENT, "identifier_malformed"),
        ("spiffe://example.com/b", grpc.StatusCode.PERMISSION_DENIED, "identity_not_allowed"),
        ("spiffe://other.com/a", grpc.StatusCode.PERMISSION_DENIED, "identity_not_allowed"),
        ("wimse://example.com/a", grpc.StatusCode.PERMISSION_DENIED, "identity_not_allowed"),
    ],
)
async def test_identity_that_is_malformed_or_not_the_callers_is_refused(
    path: Path, spiffe_id: str, code: grpc.StatusCode, reason: str
) -> None:
    """IS-12."""
    async with serving(path, registrations=entries("/a", selector=f"unix:uid:{os.getuid()}")) as address:
        wit, jwt_svid = pb.WITSVIDRequest(spiffe_id=spiffe_id), pb.JWTSVIDRequest(audience=["a"], spiffe_id=spiffe_id)
        assert await status_of(grpcio(address, API + "FetchWITSVID", wit, pb.WITSVIDResponse)) == (code, reason)
        assert await status_of(grpcio(address, API + "FetchJWTSVID", jwt_svid, pb.JWTSVIDResponse)) == (code, reason)
        assert await status_of(grpcio(address, MINT, wit, pb.WITSVIDResponse)) == (code, reason)


@pytest.mark.parametrize("audience", [[], [""], ["a", ""]])
async def test_jwt_svid_without_audience_is_refused(path: Path, audience: list[str]) -> None:
    async with serving(path) as address:
        request = pb.JWTSVIDRequest(audience=audience)
        got = await status_of(grpcio(address, API + "FetchJWTSVID", request, pb.JWTSVIDResponse))
    assert got == (grpc.StatusCode.INVALID_ARGUMENT, "audience_missing")


async def test_validation_says_the_reason_and_nothing_else(path: Path) -> None:
    issuer = authority()
    subject = issuer.spiffe_trust_domain.workload("/a")
    now = int(time.time())
    good = issuer.issue_jwt_svid(subject, ["a"], now=now).text
    foreign = authority().issue_jwt_svid(subject, ["a"], now=now).text
    wit = issuer.issue_wit(subject, PrivateKey.generate().public_key, now=now, token_id="1").text
    cases = [
        (good, "b", "token_audience"),
        (good, "", "audience_missing"),
        ("", "a", "token_malformed"),
        ("", "", "token_malformed"),
        ("garbage", "a", "token_malformed"),
        (good[:-4] + "AAAA", "a", "token_signature_invalid"),
        (foreign, "a", "key_unknown"),
        (wit, "a", "token_type"),
        ("a" * 9000, "a", "token_malformed"),
        (good.rpartition(".")[0] + ".", "a", "token_malformed"),
    ]
    async with serving(path, issuer) as address:
        for token, audience, reason in cases:
            request = pb.ValidateJWTSVIDRequest(audience=audience, svid=token)
            got = await status_of(grpcio(address, API + "ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse))
            assert got == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_unknown_call_is_unimplemented(path: Path) -> None:
    """IS-19, SV-32."""
    async with serving(path) as address:
        for name in ("/SpiffeWorkloadAPI/FetchSSHSVID", "/Other/Call", "/MiniSPIREWorkloadAPI/FetchWITSVID"):
            code, _ = await status_of(grpcio(address, name, pb.WITSVIDRequest(), pb.WITSVIDResponse))
            assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_large_request_is_refused_before_it_is_read(path: Path) -> None:
    """IS-18: other callers are served meanwhile."""
    async with serving(path) as address:
        request = pb.WITSVIDRequest(spiffe_id="a" * 3_000_000)
        code, _ = await status_of(grpcio(address, API + "FetchWITSVID", request, pb.WITSVIDResponse))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])


async def test_idle_streams_of_one_process_are_limited(path: Path) -> None:
    """IS-18."""
    settings = ServerSettings(max_streams_per_process=3)
    async with serving(path, settings=settings) as address, WorkloadAPIClient(address) as client:
        streams = [aiter(client.watch_wit_bundles()) for _ in range(3)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(Unavailable, match="RESOURCE_EXHAUSTED"):
            await client.fetch_jwt_svids(["a"])
        await streams[0].aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        await client.fetch_jwt_svids(["a"])


async def test_connections_are_limited(path: Path) -> None:
    """IS-18."""
    async with serving(path, settings=ServerSettings(max_connections=2)) as address:
        async with WorkloadAPIClient(address) as one, WorkloadAPIClient(address) as two:
            await one.fetch_jwt_svids(["a"])
            await two.fetch_jwt_svids(["a"])
            async with WorkloadAPIClient(address) as three:
                with pytest.raises(Unavailable):
                    await three.fetch_jwt_svids(["a"])
            await one.fetch_jwt_svids(["a"])
        await asyncio.sleep(0.05)
        async with WorkloadAPIClient(address) as four:
            await four.fetch_jwt_svids(["a"])


async def test_caller_that_never_sends_its_request_is_cut_off(path: Path) -> None:
    settings = ServerSettings(request_timeout=timedelta(seconds=0.1))
    async with serving(path, settings=settings), Channel(path=str(path)) as channel:
        method = UnaryStreamMethod(channel, API + "FetchWITSVID", pb.WITSVIDRequest, pb.WITSVIDResponse)
        with pytest.raises(GRPCError) as error:
            async with method.open(metadata=HEADER) as stream:
                await stream.send_request()
                await stream.recv_initial_metadata()
    assert error.value.status is Status.DEADLINE_EXCEEDED


async def test_message_that_is_no_protobuf_is_refused(path: Path) -> None:
    class Garbage:
        def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
            return b"\x0a\xff\xff"

    async with serving(path), Channel(path=str(path)) as channel:
        method: Any = UnaryStreamMethod(channel, API + "FetchWITSVID", Garbage, pb.WITSVIDResponse)
        with pytest.raises(GRPCError) as error:
            async with method.open(metadata=HEADER) as stream:
                await stream.send_message(Garbage(), end=True)
                await stream.recv_message()
    assert (error.value.status, error.value.message) == (Status.INVALID_ARGUMENT, "message_malformed")


async def test_http_1_request_gets_nothing(path: Path) -> None:
    """IS-02: a request that someone makes a workload send."""
    async with serving(path) as address:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /SpiffeWorkloadAPI/FetchWITSVID HTTP/1.1\r\nHost: x\r\nworkload.spiffe.io: true\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert b"eyJ" not in answer
        await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])


async def test_unexpected_failure_says_nothing_to_the_caller(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Registrations):
        def grants(self, caller: Any) -> Any:
            raise LookupError(f"top secret {caller}")

    async with serving(path, registrations=Broken()) as address:
        got = await status_of(grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"]))
    assert got == (grpc.StatusCode.INTERNAL, "internal error")
    assert "LookupError" in caplog.text
    assert "top secret" not in caplog.text


async def test_issuer_whose_clock_has_gone_back_is_unavailable(path: Path) -> None:
    """IS-34."""
    issuer = authority()
    issuer.issue_jwt_svid(issuer.spiffe_trust_domain.workload("/a"), ["a"], now=int(time.time()) + 86_400)
    async with serving(path, issuer) as address:
        for name in ("FetchWITSVID", "FetchJWTSVID", "FetchX509SVID"):
            got = await status_of(grpcio(address, API + name, *CALLS[name]))
            assert got == (grpc.StatusCode.UNAVAILABLE, "issuer_unavailable")


async def test_secrets_are_not_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """IS-28, WC-45: at any level, neither keys nor tokens."""
    caplog.set_level(logging.DEBUG, logger="wimse")
    async with serving(path) as address:
        wit = (await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])).svids[0]
        minted = (await grpcio(address, MINT, pb.WITSVIDRequest(), pb.WITSVIDResponse)).svids[0]
        svid = (await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])).svids[0]
        request = pb.ValidateJWTSVIDRequest(audience="b", svid=svid.svid)
        await status_of(grpcio(address, API + "ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse))
    assert "is issued to" in caplog.text
    for secret in (wit.wit_svid, json.loads(wit.wit_svid_key)["d"], minted.wit_svid, minted.wit_svid_key, svid.svid):
        assert secret not in caplog.text


# --------------------------------------------------------------------------------------------------------- streams


async def test_first_message_comes_at_once_and_the_next_before_half_of_the_life(path: Path) -> None:
    """SV-27, IS-16, IS-17: and every message is the full set."""
    granted = entries("/a", "/b", selector=f"unix:uid:{os.getuid()}")
    issuer = authority(wit_lifetime=timedelta(seconds=4), x509_svid_lifetime=timedelta(seconds=4))
    async with serving(path, issuer, granted) as address, WorkloadAPIClient(address) as client:
        for stream in (aiter(client.watch_wit_svids()), aiter(client.watch_x509_svids())):
            started = time.time()
            first: Any = await anext(stream)
            assert time.time() - started < 1.0
            second: Any = await asyncio.wait_for(anext(stream), 4)
            assert time.time() < int(started) + 1 + 2.0  # issued not later than a second after `started`
            assert [svid.spiffe_id for svid in first.svids] == [svid.spiffe_id for svid in second.svids]
            assert len(second.svids) == 2
            assert first.svids[0] != second.svids[0]


async def test_stream_ends_when_the_identity_is_taken_away(path: Path) -> None:
    """IS-14: within the recheck interval, on every stream."""
    registrations = MutableRegistrations()
    async with serving(path, registrations=registrations) as address, WorkloadAPIClient(address) as client:
        streams: list[Any] = [aiter(client.watch_wit_svids()), aiter(client.watch_jwt_bundles())]
        for stream in streams:
            await anext(stream)
        registrations.current = Registrations(default_identities=False)
        for stream in streams:
            with pytest.raises(Refused) as refusal:
                await asyncio.wait_for(anext(stream), 2)
            assert refusal.value.reason is Reason.NO_IDENTITY


async def test_changed_identities_bring_a_new_message(path: Path) -> None:
    """IS-14, SV-28: what is gone is not in it."""
    registrations = MutableRegistrations()
    me = f"unix:uid:{os.getuid()}"
    registrations.current = entries("/a", "/b", selector=me)
    async with serving(path, registrations=registrations) as address, WorkloadAPIClient(address) as client:
        stream: Any = aiter(client.watch_wit_svids())
        assert len((await anext(stream)).svids) == 2
        registrations.current = entries("/b", selector=me)
        assert [s.spiffe_id for s in (await asyncio.wait_for(anext(stream), 2)).svids] == ["spiffe://example.com/b"]


async def test_stream_of_a_process_that_has_ended_ends(path: Path) -> None:
    """IS-07: the socket lives on in another process, the one that connected does not."""
    program = (
        "import os, socket, sys, array\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[2])\n"
        "c.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])\n"
        "c.recv(1)\n"
    )
    handover = path.with_name("h.sock")
    listener = sockets.socket(sockets.AF_UNIX)
    listener.bind(str(handover))
    listener.listen()
    async with serving(path):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path), str(handover))
        connection, _ = await asyncio.to_thread(listener.accept)
        _, descriptors, _, _ = await asyncio.to_thread(sockets.recv_fds, connection, 1, 1)
        passed = sockets.socket(fileno=descriptors[0])
        channel = Channel(path=str(path))

        async def connect_passed() -> Any:
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(channel._protocol_factory, sock=passed))[1]

        channel._create_connection = connect_passed  # type: ignore[method-assign]
        method = UnaryStreamMethod(channel, API + "FetchWITSVID", pb.WITSVIDRequest, pb.WITSVIDResponse)
        with pytest.raises(GRPCError) as error:
            async with method.open(metadata=HEADER) as stream:
                await stream.send_message(pb.WITSVIDRequest(), end=True)
                message = await stream.recv_message()
                assert message is not None
                assert f"/pid/{child.pid}/" in message.svids[0].spiffe_id
                connection.send(b"x")
                await child.wait()
                await asyncio.wait_for(stream.recv_message(), 2)
        assert (error.value.status, error.value.message) == (Status.PERMISSION_DENIED, "no_identity")
        channel.close()
    connection.close()
    listener.close()


# ---------------------------------------------------------------------------------------------------- client errors


async def test_client_translates_what_the_server_says(path: Path) -> None:
    """SV-26: what is not to be tried again can be told from what is."""
    async with serving(path) as address, WorkloadAPIClient(address) as client:
        with pytest.raises(Refused) as refusal:
            await client.fetch_jwt_svids([])
        assert refusal.value.reason is Reason.AUDIENCE_MISSING
        with pytest.raises(Refused) as refusal:
            await client.mint_wit_svids("spiffe://example.com/not/mine")
        assert refusal.value.reason is Reason.IDENTITY_NOT_ALLOWED
    with pytest.raises(Unavailable) as unavailable:
        async with WorkloadAPIClient(address) as client:
            await client.fetch_jwt_svids(["a"])
    assert unavailable.value.reason is Reason.ISSUER_UNAVAILABLE
