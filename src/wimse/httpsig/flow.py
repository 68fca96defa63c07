"""The seam between the core, which does no I/O, and whoever runs it.

What needs something from outside is written once, as a generator: it yields small frozen requests ("need the key of
this signature"), is sent the answers, and returns the result. `run` and `run_async` are its two drivers. The result
comes only after the last answer, so no caller can leave the last step out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from typing import Any, TypeVar

__all__ = ["Flow", "run", "run_async"]

Result = TypeVar("Result")

# The type of an answer depends on the request that it answers, which Generator cannot say; the generators check it.
Flow = Generator[Any, Any, Result]


def run(flow: Flow[Result], answer: Callable[[Any], Any]) -> Result:
    """Run `flow` to its end, with answers that come at once.

    Args:
        flow: the generator.
        answer: called with each request; what it raises is raised inside the flow.

    Returns:
        What the flow returns.
    """
    try:
        request = next(flow)
        while True:
            try:
                reply = answer(request)
            except Exception as error:  # noqa: BLE001 - not handled here: the flow gets it
                request = flow.throw(error)
            else:
                request = flow.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        flow.close()


async def run_async(flow: Flow[Result], answer: Callable[[Any], Awaitable[Any] | Any]) -> Result:
    """Run `flow` to its end, with answers that may have to be awaited; arguments as `run`."""
    try:
        request = next(flow)
        while True:
            try:
                reply = answer(request)
                if isawaitable(reply):
                    reply = await reply
            except Exception as error:  # noqa: BLE001 - not handled here: the flow gets it
                request = flow.throw(error)
            else:
                request = flow.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        flow.close()
