"""Tasks that begin at once, for Python 3.11; later ones have them (`eager_start`)."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["start_eagerly"]


def start_eagerly(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None]:
    """Make a task, and take its first step in this turn of the loop rather than in the next one.

    Raises nothing of the coroutine's: what its first step came to is the task's.

    Source: https://docs.python.org/3.11/library/asyncio-extending.html#task-lifetime-support
    """
    begun = _begun(coroutine)
    context = contextvars.copy_context()
    task = asyncio.Task(begun, loop=loop, context=context)
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio._leave_task(loop, outer)
    asyncio._enter_task(loop, task)
    try:
        context.run(begun.send, None)
    finally:
        asyncio._leave_task(loop, task)
        if outer is not None:
            asyncio._enter_task(loop, outer)
    return task


async def _begun(coroutine: Coroutine[Any, Any, None]) -> None:
    """What the task runs: a coroutine, for anyio looks into those of tasks, and no generator."""
    await _told_later(coroutine)


@types.coroutine
def _told_later(coroutine: Coroutine[Any, Any, None]) -> Generator[Any, None, None]:
    """Take the first step of a coroutine, then wait to be asked for it by the task."""
    steps = coroutine.__await__()
    try:
        waits_for: Any = next(steps, _END)  # a future, or None for the next turn of the loop
    except BaseException:
        yield
        raise
    if waits_for is _END:
        yield
        return
    try:
        yield
    except asyncio.CancelledError as exc:
        # What `Task.cancel` does, had the task known what it waits for.
        if waits_for is None or not waits_for.cancel(*exc.args):
            if waits_for is not None:
                waits_for._asyncio_future_blocking = False
            waits_for = _throw(steps, exc)
    while waits_for is not _END:
        try:
            yield waits_for
        except BaseException as exc:  # noqa: BLE001  # a failure of what is waited for, too
            waits_for = _throw(steps, exc)
        else:
            yield from steps
            return


def _throw(steps: Generator[Any, None, None], exc: BaseException) -> Any:
    """What the coroutine waits for after this; `_END` if it has ended."""
    try:
        return steps.throw(exc)
    except StopIteration:
        return _END


_END = object()
