from __future__ import annotations

import asyncio

import pytest

from wimse.httpsig import Flow, run, run_async


def asking(log: list[str]) -> Flow[str]:
    try:
        first = yield "first"
        try:
            second = yield "second"
        except LookupError:
            second = "instead"
        return f"{first} {second}"
    finally:
        log.append("closed")


def empty() -> Flow[int]:
    yield from ()
    return 7


def test_answers_go_in_and_the_result_comes_out() -> None:
    log: list[str] = []
    assert run(asking(log), str.upper) == "FIRST SECOND"
    assert log == ["closed"]


async def test_answers_may_be_awaited_or_not() -> None:
    async def slowly(request: str) -> str:
        await asyncio.sleep(0)
        return request.upper()

    assert await run_async(asking([]), slowly) == "FIRST SECOND"
    assert await run_async(asking([]), str.upper) == "FIRST SECOND"


async def test_a_flow_may_ask_nothing() -> None:
    assert run(empty(), str) == 7
    assert await run_async(empty(), str) == 7


async def test_what_an_answer_raises_is_raised_inside_the_flow() -> None:
    def answer(request: str) -> str:
        if request == "second":
            raise LookupError
        return request

    async def slowly(request: str) -> str:
        return answer(request)

    assert run(asking([]), answer) == "first instead"
    assert await run_async(asking([]), slowly) == "first instead"
    assert await run_async(asking([]), answer) == "first instead"


async def test_what_the_flow_does_not_handle_comes_out() -> None:
    def answer(_: str) -> str:
        raise PermissionError

    log: list[str] = []
    with pytest.raises(PermissionError):
        run(asking(log), answer)
    with pytest.raises(PermissionError):
        await run_async(asking(log), answer)
    assert log == ["closed", "closed"]


async def test_a_cancelled_run_closes_its_flow() -> None:
    log: list[str] = []

    async def never(_: str) -> str:
        await asyncio.Event().wait()
        return ""

    task = asyncio.ensure_future(run_async(asking(log), never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["closed"]
