"""Tasks that begin at once, for Python 3.11; later ones have them (`eager_start`)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["start_eagerly"]


def start_eagerly(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None]:
    """Make a task, and take its first step in this turn of the loop rather than in the next one.

    Whoever has set a task factory decides for itself.

    Source: https://docs.python.org/3.11/library/asyncio-extending.html#task-lifetime-support
    """
    if loop.get_task_factory() is not None:
        return loop.create_task(coroutine)
    begun = _Begun(coroutine)
    context = contextvars.copy_context()
    task = asyncio.Task(begun, loop=loop, context=context)
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio._leave_task(loop, outer)
    asyncio._enter_task(loop, task)
    try:
        begun.waits_for = context.run(coroutine.send, None)
    except StopIteration as exc:
        begun.end = StopIteration(exc.value)
    except BaseException as exc:  # noqa: BLE001  # for the task
        # Its traceback holds this frame, which holds the task, which will hold it.
        begun.end = exc.with_traceback(exc.__traceback__ and exc.__traceback__.tb_next)
    finally:
        asyncio._leave_task(loop, task)
        if outer is not None:
            asyncio._enter_task(loop, outer)
    return task


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine whose first step was taken before its task takes the others.

    The task is told of that step in its own first one. To whoever looks at it (`repr`, anyio) it is
    the coroutine that it holds.

    Attributes:
        waits_for: what the first step came to: a future, or None for the next turn of the loop.
        end: what it came to if it was the last: StopIteration, or an error.
    """

    __slots__ = ("_coroutine", "_is_told", "end", "waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.waits_for: asyncio.Future[Any] | None = None
        self.end: BaseException | None = None
        self._coroutine = coroutine
        self._is_told = False

    def send(self, value: None) -> Any:
        """Take a step of the task."""
        if self._is_told:
            return self._coroutine.send(value)
        self._is_told = True
        if self.end is not None:
            try:
                raise self.end
            finally:
                self.end = None  # its traceback holds this frame
        waits_for, self.waits_for = self.waits_for, None
        return waits_for

    def throw(self, *exc_info: Any) -> Any:
        """Take a step of a task that was cancelled."""
        if self._is_told:
            return self._coroutine.throw(*exc_info)
        if self.end is not None:
            return self.send(None)
        self._is_told = True
        waits_for, self.waits_for = self.waits_for, None
        if waits_for is not None:
            # What `Task.cancel` does, had the task known what it waits for.
            if waits_for.cancel(*exc_info[0].args):
                return waits_for
            waits_for._asyncio_future_blocking = False
        return self._coroutine.throw(*exc_info)

    def close(self) -> None:
        """Give up."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)
