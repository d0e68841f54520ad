"""How tasks are started."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from asgi_quicktunnel.eager import start_eagerly

__all__ = ["task_starter"]

_Coroutine = Coroutine[Any, Any, None]


def task_starter(loop: asyncio.AbstractEventLoop) -> Callable[[_Coroutine], asyncio.Task[None]]:
    """What starts tasks on a loop at once, up to their first wait, rather than in its next turn.

    A task that is started at once may have ended when its starter returns. Whoever has set a task
    factory decides for itself.
    """
    if sys.version_info < (3, 12):
        return functools.partial(start_eagerly, loop=loop)

    def start(coroutine: _Coroutine) -> asyncio.Task[None]:
        if loop.get_task_factory() is not None:
            return loop.create_task(coroutine)
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

    return start
