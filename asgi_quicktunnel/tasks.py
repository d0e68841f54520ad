"""How tasks are started."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

from asgi_quicktunnel.eager import start_eagerly

__all__ = ["start_task"]


def start_task(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, *, is_alone: bool
) -> asyncio.Task[None]:
    """Start a task at once, up to its first wait, rather than in the next turn of the loop.

    It may have ended when this returns. Whoever has set a task factory decides for itself.

    Args:
        coroutine: what the task does.
        loop: the one that runs.
        is_alone: whether nothing else begins in this turn. Python 3.11 has no eager tasks; where
            many begin, what stands in for them (`eager`) costs more than it saves, so that they
            begin in the next turn there.
    """
    if loop.get_task_factory() is not None:
        return loop.create_task(coroutine)
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return start_eagerly(coroutine, loop) if is_alone else loop.create_task(coroutine)
