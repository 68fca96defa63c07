"""What all sources do, and the sources of X.509-SVIDs, JWT-SVIDs and of minispire."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.workload_api.scripted import MiniSPIRE, Script, listening
from tests.workload_api.support import MutableRegistrations, authority, eventually, serving
from wimse.credentials import (
    TrustDomain,
    UnverifiedWIT,
    UnverifiedX509SVID,
    WorkloadSnapshot,
    verify_jwt_svid,
    verify_wit,
    verify_x509_svid,
)
from wimse.credentials.x509_verification import CertificatePurpose
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, WimseError
from wimse.issuer import Authority, Registrations
from wimse.keys import PrivateKey
from wimse.workload_api import (
    BlockingWorkloadAPIJWTSource,
    BlockingWorkloadAPISource,
    BlockingWorkloadAPIX509Source,
    MiniSPIRESource,
    SourceSettings,
    WorkloadAPIClient,
    WorkloadAPIJWTSource,
    WorkloadAPISource,
    WorkloadAPIX509Source,
)
from wimse.workload_api.connections import _open
from wimse.workload_api.proto import workload_pb2 as pb

QUICK = SourceSettings(
    first_snapshot_timeout=timedelta(seconds=3),
    initial_backoff=timedelta(seconds=0.02),
    max_backoff=timedelta(seconds=0.1),
)
HASTY = SourceSettings(first_snapshot_timeout=timedelta(seconds=0.3), initial_backoff=timedelta(seconds=0.02))
SPIFFE = TrustDomain("spiffe", "example.com")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


def reason_of(read: Callable[[], object]) -> Reason | None:
    try:
        read()
    except WimseError as error:
        return error.reason
    return None


# ------------------------------------------------------------------------------------------------ what all of them do


async def test_sources_of_one_process_share_a_connection(path: Path) -> None:
    async with serving(path) as address:
        async with (
            WorkloadAPISource(address, settings=QUICK) as first,
            WorkloadAPIX509Source(address, settings=QUICK) as second,
        ):
            assert first._client._connection is second._client._connection
            assert len([each for each in _open if str(each[1]) == address]) == 1
        assert not [each for each in _open if str(each[1]) == address]


async def test_one_source_less_leaves_the_connection_to_the_others(path: Path) -> None:
    async with serving(path) as address, WorkloadAPISource(address, settings=QUICK) as first:
        async with WorkloadAPIX509Source(address, settings=QUICK):
            pass
        async with WorkloadAPIClient(address) as client:
            await anext(client.watch_wit_bundles())
        assert first._failures == {}
        first.snapshot()


def test_blocking_sources_share_thread_and_connection(path: Path) -> None:
    async def serve(ready: Any, stop: asyncio.Event) -> None:
        async with serving(path):
            ready()
            await stop.wait()

    async def use() -> None:
        stop, started = asyncio.Event(), asyncio.Event()
        server = asyncio.create_task(serve(started.set, stop))
        await started.wait()

        def block() -> None:
            address = f"unix://{path}"
            with (
                BlockingWorkloadAPISource(address, settings=QUICK) as wit,
                BlockingWorkloadAPIX509Source(address, settings=QUICK) as certificate,
                BlockingWorkloadAPIJWTSource(address, settings=QUICK) as jwt,
            ):
                assert wit._thread is certificate._thread is jwt._thread
                assert wit._source._client._connection is jwt._source._client._connection
                assert certificate.x509_snapshot().credential is not None
                token = jwt.token("https://orders.example")
                bundle = jwt.bundles()[SPIFFE]
                verify_jwt_svid(token.token, bundle, audience="https://orders.example", now=int(time.time()))
                wit.snapshot()
            assert reason_of(lambda: jwt.token("a")) is Reason.CREDENTIAL_UNAVAILABLE
            assert reason_of(certificate.x509_snapshot) is Reason.CREDENTIAL_UNAVAILABLE

        await asyncio.to_thread(block)
        stop.set()
        await server

    asyncio.run(use())


async def test_renewals_are_told_once_each_and_what_the_listener_raises_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[WorkloadSnapshot] = []

    def listen(snapshot: WorkloadSnapshot) -> None:
        told.append(snapshot)
        raise RuntimeError("secret-of-the-listener")

    async with (
        serving(path, authority(wit_lifetime=timedelta(seconds=2))) as address,
        WorkloadAPISource(address, settings=QUICK, on_renewal=listen) as source,
    ):
        await eventually(lambda: len(told) >= 3)
        assert told[-1] is source.snapshot()
    assert len({id(each) for each in told}) == len(told)
    assert len({each.credential.wit for each in told}) == len(told)
    assert "on_renewal failed: RuntimeError" in caplog.text
    assert "secret-of-the-listener" not in caplog.text


async def test_same_message_again_is_no_renewal(path: Path) -> None:
    issuer, script = authority(), Script()
    told: list[WorkloadSnapshot] = []
    key = PrivateKey.generate()
    token = issuer.issue_wit(SPIFFE.workload("/a"), key.public_key, now=int(time.time()), token_id="1")
    svid = pb.WITSVID(spiffe_id="spiffe://example.com/a", wit_svid=token.text, wit_svid_key=json.dumps(key.to_jwk()))
    bundles = pb.WITBundlesResponse(bundles={str(SPIFFE): issuer.bundles()[SPIFFE].to_json("wit-svid").decode()})
    script.say("FetchWITSVID", *[pb.WITSVIDResponse(svids=[svid])] * 3)
    script.say("FetchWITBundles", *[bundles] * 3)
    async with (
        listening(script, path) as address,
        WorkloadAPISource(address, settings=QUICK, on_renewal=told.append),
    ):
        await eventually(lambda: script.steps["FetchWITSVID"].empty() and script.steps["FetchWITBundles"].empty())
        await asyncio.sleep(0.05)
    assert len(told) == 1


async def test_lives_of_seconds_are_not_renewed_in_bursts(path: Path) -> None:
    """A server that says nothing more is asked again, but not all the time."""
    issuer, script = authority(wit_lifetime=timedelta(seconds=2)), Script()

    def svid() -> pb.WITSVIDResponse:
        key = PrivateKey.generate()
        token = issuer.issue_wit(SPIFFE.workload("/a"), key.public_key, now=int(time.time()), token_id="1")
        jwk = json.dumps(key.to_jwk())
        return pb.WITSVIDResponse(svids=[pb.WITSVID(spiffe_id=f"{SPIFFE}/a", wit_svid=token.text, wit_svid_key=jwk)])

    script.say(
        "FetchWITBundles", pb.WITBundlesResponse(bundles={str(SPIFFE): issuer.bundles()[SPIFFE].to_json().decode()})
    )
    script.say("FetchWITSVID", svid())
    async with listening(script, path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if script.calls.count("FetchWITSVID") > 1 and script.steps["FetchWITSVID"].empty():
                script.say("FetchWITSVID", svid())
            await asyncio.sleep(0.05)
        source.snapshot()
    assert 2 <= script.calls.count("FetchWITSVID") <= 7


async def test_hung_server_is_noticed_before_what_it_gave_expires(path: Path, tmp_path: Path) -> None:
    """CL-05: connected, and silent. The source says so, and is back once the server is."""
    config = tmp_path / "c.toml"
    config.write_text(f'socket = "unix://{path}"\nwit_lifetime_seconds = 4\n')
    command = [sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 20)).startswith(b"ready")
        async with WorkloadAPISource(f"unix://{path}", settings=QUICK) as source:
            process.send_signal(signal.SIGSTOP)
            before = source.snapshot()
            await eventually(lambda: "FetchWITSVID" in source._failures)
            assert time.time() < before.credential.expires_at
            assert source.snapshot() is before
            await eventually(lambda: reason_of(source.snapshot) is Reason.CREDENTIAL_EXPIRED)
            process.send_signal(signal.SIGCONT)
            await eventually(lambda: reason_of(source.snapshot) is None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


def _in_child(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0


async def test_forked_child_has_neither_key_nor_connection(path: Path) -> None:
    """CL-13: it refuses to sign, says nothing on its parent's connection, and can open a source of its own."""
    async with (
        serving(path) as address,
        WorkloadAPISource(address, settings=QUICK) as source,
        WorkloadAPIX509Source(address, settings=QUICK) as certificate,
    ):
        connection = source._client._connection
        assert connection is not None
        protocol = connection.channel.protocol
        assert protocol is not None
        assert protocol.transport is not None
        number = protocol.transport.get_extra_info("socket").fileno()

        def child() -> bool:
            reads: tuple[Callable[[], object], ...] = (source.snapshot, certificate.x509_snapshot)
            refused = all(reason_of(read) is Reason.CREDENTIAL_UNAVAILABLE for read in reads)
            return refused and not _open and Path(f"/proc/self/fd/{number}").readlink() == Path(os.devnull)

        assert _in_child(child)
        before = source.snapshot()
        await asyncio.sleep(0.1)
        assert source.snapshot() is before
        async with WorkloadAPIClient(address) as client:  # the connection works as before
            await anext(client.watch_wit_bundles())
        assert client._connection is None
        assert source._failures == {}


def test_forked_child_opens_a_blocking_source_of_its_own(path: Path) -> None:
    """CL-13: with another key than its parent's."""
    socket = f"unix://{path}"
    program = f"""
import os, warnings
warnings.simplefilter("ignore")
from wimse.errors import Unavailable
from wimse.workload_api import BlockingWorkloadAPISource
with BlockingWorkloadAPISource({socket!r}) as source:
    parent = source.snapshot().credential
    child = os.fork()
    if not child:
        try:
            source.snapshot()
            os._exit(2)
        except Unavailable:
            pass
        source.close()
        with BlockingWorkloadAPISource({socket!r}) as own:
            other = own.snapshot().credential
            os._exit(0 if other.wit != parent.wit and not other.key.public_key.same_key(parent.key.public_key) else 3)
    status = os.waitpid(child, 0)[1]
    assert source.snapshot().credential is parent
    raise SystemExit(os.waitstatus_to_exitcode(status))
"""

    async def run() -> int:
        async with serving(path):
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
            return await asyncio.wait_for(process.wait(), 30)

    assert asyncio.run(run()) == 0


async def test_connection_that_is_lost_as_a_call_begins_cannot_be_reached(path: Path) -> None:
    """CL-06: whatever the library raises then; the next call connects anew."""
    async with serving(path), WorkloadAPIClient(f"unix://{path}") as client:
        assert (await client.fetch_jwt_svids(["a"])).svids
        protocol: Any = client._open_channel()._protocol
        protocol.processor.connection.close()
        with pytest.raises(Unavailable, match="FetchWITSVID: the identity server cannot be reached"):
            await anext(aiter(client.watch_wit_svids()))
        await asyncio.sleep(0)  # in which the channel hears of it
        assert (await client.fetch_jwt_svids(["a"])).svids


async def test_fault_in_a_stream_does_not_end_the_source(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-06: whatever it was, the next attempt comes."""
    source = WorkloadAPISource(f"unix://{path}")
    watch, faults = source._client.watch_wit_svids, [RuntimeError("secret")]

    def faulty(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return watch(*arguments)

    monkeypatch.setattr(source._client, "watch_wit_svids", faulty)  # as the library might, one day
    async with serving(path), source:
        assert source.snapshot().credential.wit
    assert "FetchWITSVID: a fault (RuntimeError)" in caplog.text
    assert "secret" not in caplog.text


async def test_agent_without_wits_is_told_in_one_sentence(path: Path) -> None:
    """CL-02: SPIRE's agent answers Unimplemented for the WIT-SVID profile, and serves the other two."""
    script = Script()
    script.say("FetchWITSVID", Status.UNIMPLEMENTED)
    async with listening(script, path) as address:
        with pytest.raises(ConfigurationError, match=r"has no WITs \(FetchWIT(SVID|Bundles) is not implemented\)"):
            async with WorkloadAPISource(address, settings=QUICK):
                pass
        assert script.calls.count("FetchWITSVID") == 1


async def test_opened_source_is_not_opened_again(path: Path) -> None:
    async with serving(path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        with pytest.raises(RuntimeError):
            await source.__aenter__()


# ------------------------------------------------------------------------------------------------------------- X.509


def x509_message(path: str = "/a", **spoiled: Any) -> pb.X509SVIDResponse:
    issuer, key = authority(), PrivateKey.generate()
    made = issuer.issue_x509_svid(SPIFFE.workload(path), key.public_key, now=int(time.time()))
    fields = {
        "spiffe_id": str(SPIFFE.workload(path)),
        "x509_svid": made.der,
        "x509_svid_key": key.to_pkcs8_der(),
        "bundle": issuer.bundles()[SPIFFE].x509_authorities[0],
    }
    return pb.X509SVIDResponse(svids=[pb.X509SVID(**{**fields, **spoiled})])


async def test_certificate_key_and_bundles_are_one_snapshot_that_verifies(path: Path) -> None:
    """CL-06: every snapshot fits together, through renewals."""
    async with (
        serving(path, authority(x509_svid_lifetime=timedelta(seconds=2))) as address,
        WorkloadAPIX509Source(address, settings=QUICK) as source,
    ):
        seen: set[tuple[bytes, ...]] = set()
        end = time.monotonic() + 5
        snapshot = source.x509_snapshot()
        while len(seen) < 3 and time.monotonic() < end:
            snapshot = source.x509_snapshot()
            assert snapshot.credential is not None
            leaf = x509.load_der_x509_certificate(snapshot.credential.certificates[0])
            assert leaf.public_key() == snapshot.credential.key.public_key.native
            seen.add(snapshot.credential.certificates)
            await asyncio.sleep(0.01)
        assert len(seen) == 3
        assert snapshot.credential is not None
        verify_x509_svid(
            UnverifiedX509SVID.parse(snapshot.credential.certificates),
            snapshot.bundles[SPIFFE],
            purpose=CertificatePurpose.SERVER,
            now=int(time.time()),
        )
    assert reason_of(source.x509_snapshot) is Reason.CREDENTIAL_UNAVAILABLE


def _two_hints() -> pb.X509SVIDResponse:
    message = x509_message()
    message.federated_bundles["no trust domain"] = message.svids[0].bundle
    return message


@pytest.mark.parametrize(
    "bad",
    [
        pb.X509SVIDResponse,
        lambda: x509_message(spiffe_id=""),
        lambda: x509_message(x509_svid=b""),
        lambda: x509_message(x509_svid_key=b""),
        lambda: x509_message(bundle=b""),
        lambda: x509_message(x509_svid_key=PrivateKey.generate().to_pkcs8_der()),
        lambda: x509_message(x509_svid_key=b"garbage"),
        lambda: x509_message(spiffe_id="spiffe://example.com/other"),
        lambda: x509_message(x509_svid=b"\x30\x82\xff\xff\x00"),
        lambda: x509_message(x509_svid=b"\x30"),
        lambda: x509_message(x509_svid=b"\x30\x80\x00\x00"),
        lambda: x509_message(x509_svid=b"\x31\x01\x00"),
        lambda: x509_message(bundle=b"\x30\x01\x00"),
        _two_hints,
    ],
)
async def test_unusable_certificate_is_discarded_and_the_old_one_stays(
    path: Path, bad: Callable[[], pb.X509SVIDResponse], caplog: pytest.LogCaptureFixture
) -> None:
    """CL-01, SV-29."""
    script = Script()
    script.say("FetchX509SVID", x509_message())
    async with listening(script, path) as address, WorkloadAPIX509Source(address, settings=QUICK) as source:
        before = source.x509_snapshot()
        script.say("FetchX509SVID", bad())
        await eventually(lambda: "is discarded" in caplog.text)
        assert source.x509_snapshot() is before
        script.say("FetchX509SVID", x509_message())
        await eventually(lambda: source.x509_snapshot() is not before)
    assert script.calls == ["FetchX509SVID"]


async def test_certificate_that_is_left_out_is_unloaded_and_federated_bundles_with_it(path: Path) -> None:
    """CL-04, SV-28."""
    script = Script()
    both = x509_message("/a")
    both.svids.append(x509_message("/b").svids[0])
    both.federated_bundles["spiffe://other.org"] = both.svids[0].bundle
    script.say("FetchX509SVID", both)
    async with (
        listening(script, path) as address,
        WorkloadAPIX509Source(address, "spiffe://example.com/b", settings=QUICK) as source,
    ):
        credential = source.x509_snapshot().credential
        assert credential is not None
        assert credential.identity.path == "/b"
        assert len(source.x509_snapshot().bundles) == 2
        script.say("FetchX509SVID", x509_message("/b"))
        await eventually(lambda: len(source.x509_snapshot().bundles) == 1)
        script.say("FetchX509SVID", Status.PERMISSION_DENIED)
        await eventually(lambda: reason_of(source.x509_snapshot) is Reason.CREDENTIAL_UNAVAILABLE)


async def test_rsa_key_of_an_agent_is_taken(path: Path) -> None:
    native = rsa.generate_private_key(65_537, 2_048)
    from wimse.credentials import issue_x509_authority, issue_x509_svid
    from wimse.keys import RS256

    key, ca, now = PrivateKey(native, algorithm=RS256), PrivateKey.generate(), int(time.time())
    anchor = issue_x509_authority(SPIFFE, ca, not_before=now - 5, not_after=now + 600)
    leaf = issue_x509_svid(
        subject=SPIFFE.workload("/a"),
        workload_key=key.public_key,
        authority=anchor,
        authority_key=ca,
        not_before=now - 5,
        not_after=now + 60,
    )
    script = Script()
    script.say("FetchX509SVID", x509_message(x509_svid=leaf, x509_svid_key=key.to_pkcs8_der(), bundle=anchor))
    async with listening(script, path) as address, WorkloadAPIX509Source(address, settings=QUICK) as source:
        credential = source.x509_snapshot().credential
        assert credential is not None
        assert credential.key.public_key.same_key(key.public_key)


# --------------------------------------------------------------------------------------------------------------- JWT


@contextlib.asynccontextmanager
async def jwt_script(path: Path, lifetime: int = 300) -> AsyncIterator[tuple[Script, str]]:
    script, issuer = Script(), authority(jwt_svid_lifetime=timedelta(seconds=lifetime))

    async def answer(request: pb.JWTSVIDRequest) -> pb.JWTSVIDResponse:
        token = issuer.issue_jwt_svid(SPIFFE.workload("/a"), list(request.audience), now=int(time.time()))
        return pb.JWTSVIDResponse(svids=[pb.JWTSVID(spiffe_id=f"{SPIFFE}/a", svid=token.text)])

    script.jwt = answer
    bundle = issuer.bundles()[SPIFFE].to_json("jwt-svid")
    script.say("FetchJWTBundles", pb.JWTBundlesResponse(bundles={str(SPIFFE): bundle}))
    async with listening(script, path) as address:
        yield script, address


async def test_tokens_are_kept_by_audience_until_half_of_their_life(path: Path) -> None:
    async with jwt_script(path, 4) as (script, address), WorkloadAPIJWTSource(address, settings=QUICK) as source:
        first = await source.token("a")
        assert await source.token("a") is first
        other = await source.token("b")
        verify_jwt_svid(other.token, source.bundles()[SPIFFE], audience="b", now=int(time.time()))
        assert script.calls.count("FetchJWTSVID") == 2
        await eventually(lambda: time.time() >= first.renew_at)
        assert await source.token("a") is not first


async def test_one_fetch_is_made_for_all_who_wait(path: Path) -> None:
    async with jwt_script(path) as (script, address), WorkloadAPIJWTSource(address, settings=QUICK) as source:
        impatient = asyncio.create_task(source.token("a"))
        await asyncio.sleep(0)
        impatient.cancel()  # CL-13: one who goes away takes nothing from the others
        tokens = await asyncio.gather(*(source.token("a") for _ in range(16)))
        assert len({each.token for each in tokens}) == 1
        assert script.calls.count("FetchJWTSVID") == 1


async def test_cache_of_tokens_is_bounded(path: Path) -> None:
    settings = SourceSettings(max_cached_audiences=2)
    async with jwt_script(path) as (_, address), WorkloadAPIJWTSource(address, settings=settings) as source:
        for audience in ("a", "b", "c"):
            await source.token(audience)
        assert list(source._tokens) == [("b",), ("c",)]


async def test_old_token_serves_while_the_server_is_away_and_not_after_a_denial(path: Path) -> None:
    """CL-03: Unavailable keeps, PermissionDenied drops."""
    async with jwt_script(path, 3) as (script, address), WorkloadAPIJWTSource(address, settings=QUICK) as source:
        first = await source.token("a")
        await eventually(lambda: time.time() >= first.renew_at)
        good, script.jwt = script.jwt, _answering(Status.UNAVAILABLE)
        assert await source.token("a") is first
        script.jwt = _answering(Status.PERMISSION_DENIED)
        with pytest.raises(Refused):
            await source.token("a")
        script.jwt = _answering(Status.UNAVAILABLE)
        with pytest.raises(Unavailable):
            await source.token("a")
        script.jwt = good
        await source.token("a")


def _answering(answer: Any) -> Any:
    async def give(_: object) -> Any:
        return answer

    return give


@pytest.mark.parametrize("spoil", ["none", "empty", "sub", "aud", "garbage", "expired"])
async def test_unusable_jwt_is_discarded(path: Path, spoil: str) -> None:
    """CL-01, SV-29."""
    async with jwt_script(path) as (script, address), WorkloadAPIJWTSource(address, settings=QUICK) as source:
        good = script.jwt

        async def bad(request: pb.JWTSVIDRequest) -> pb.JWTSVIDResponse:
            if spoil == "aud":
                request = pb.JWTSVIDRequest(audience=["elsewhere"])
            response: pb.JWTSVIDResponse = await good(request)
            if spoil == "expired":
                keys = authority().keys
                early = {use: dataclasses.replace(each, not_before=0) for use, each in keys.active.items()}
                old = Authority(SPIFFE, dataclasses.replace(keys, active=early))
                token = old.issue_jwt_svid(SPIFFE.workload("/a"), ["a"], now=int(time.time()) - 600)
                response.svids[0].svid = token.text
            changes = {"empty": ("svid", ""), "sub": ("spiffe_id", f"{SPIFFE}/b"), "garbage": ("svid", "x")}
            if spoil in changes:
                setattr(response.svids[0], *changes[spoil])
            return pb.JWTSVIDResponse() if spoil == "none" else response

        script.jwt = bad
        with pytest.raises(Unavailable, match="discarded"):
            await source.token("a")
        script.jwt = good
        await source.token("a")


async def test_jwt_bundles_are_replaced_and_withdrawn(path: Path) -> None:
    """CL-04."""
    async with jwt_script(path) as (script, address), WorkloadAPIJWTSource(address, settings=QUICK) as source:
        await source.token("a")
        script.say("FetchJWTBundles", pb.JWTBundlesResponse())
        script.say("FetchJWTBundles", pb.JWTBundlesResponse(bundles={"spiffe://other.org": b'{"keys":[]}'}))
        await eventually(lambda: set(source.bundles()) == {TrustDomain("spiffe", "other.org")})
        script.say("FetchJWTBundles", Status.PERMISSION_DENIED)
        await eventually(lambda: reason_of(source.bundles) is Reason.CREDENTIAL_UNAVAILABLE)
        assert source._tokens == {}
        with pytest.raises(ConfigurationError):
            await source.token("")
        with pytest.raises(Unavailable):
            await source.token("a")


# --------------------------------------------------------------------------------------------------------- minispire


async def test_source_works_on_top_of_minispire(path: Path) -> None:
    mini = MiniSPIRE(lifetime=3)
    async with listening(mini, path) as address, MiniSPIRESource(address, settings=QUICK) as source:
        first = source.snapshot()
        assert str(first.credential.identity) == "wimse://example.com/bin/shop/gid/1/pid/2/uid/3"
        bundle = first.bundles[TrustDomain("wimse", "example.com")]
        verified = verify_wit(UnverifiedWIT.parse(first.credential.wit), bundle, now=int(time.time()))
        assert verified.key.same_key(first.credential.key.public_key)
        await eventually(lambda: source.snapshot().credential.wit != first.credential.wit)
        await asyncio.sleep(1)
    waits = [after - before for before, after in zip(mini.minted, mini.minted[1:], strict=False)]
    assert min(waits) > 0.4  # at half of the life, and in no bursts
    assert reason_of(source.snapshot) is Reason.CREDENTIAL_UNAVAILABLE


@pytest.mark.parametrize(
    "changes",
    [
        {"wit_svid_key": "!"},
        {"wit_svid_key": "AAAA"},
        {"wit_svid": ""},
        {"spiffe_id": "spiffe://example.com/other"},
        {"spiffe_id": "spiffe://other.org/bin/shop/gid/1/pid/2/uid/3"},
    ],
)
async def test_what_minispire_gets_wrong_is_discarded(path: Path, changes: dict[str, str]) -> None:
    """CL-01."""
    mini = MiniSPIRE()
    mini.spoil = lambda svid: svid.MergeFrom(pb.WITSVID(**changes)) if all(changes.values()) else svid.Clear()
    async with listening(mini, path) as address:
        with pytest.raises(Unavailable, match="is discarded"):
            async with MiniSPIRESource(address, settings=HASTY):
                pass


def _unimplemented(_: object) -> None:
    raise GRPCError(Status.UNIMPLEMENTED)


async def test_server_that_is_not_minispire_is_named(path: Path) -> None:
    """CL-02."""
    mini = MiniSPIRE()
    mini.spoil = _unimplemented
    async with listening(mini, path) as address:
        with pytest.raises(ConfigurationError, match="is not minispire"):
            async with MiniSPIRESource(address, settings=QUICK):
                pass


async def test_withdrawn_bundles_of_the_wit_source_end_its_snapshot(path: Path) -> None:
    """CL-03: PermissionDenied drops the identity, and it comes back by itself."""
    registrations = MutableRegistrations()
    async with (
        serving(path, registrations=registrations) as address,
        WorkloadAPIX509Source(address, settings=QUICK) as source,
    ):
        registrations.current = Registrations(default_identities=False)
        await eventually(lambda: reason_of(source.x509_snapshot) is Reason.CREDENTIAL_UNAVAILABLE)
        registrations.current = Registrations()
        await eventually(lambda: reason_of(source.x509_snapshot) is None)
    gc.collect()
