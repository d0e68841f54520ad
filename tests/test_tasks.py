"""How tasks are started."""

import asyncio
import sys

import pytest

from asgi_quicktunnel.tasks import task_starter

pytestmark = pytest.mark.anyio
STARTS_AT_ONCE = sys.version_info >= (3, 12)


async def test_a_task_begins_at_once_where_python_can():
    """Up to its first wait it has run when it is known, from Python 3.12 on."""
    steps = []
    go_on = asyncio.Event()

    async def work():
        steps.append(asyncio.current_task())
        await go_on.wait()
        steps.append("end")

    task = task_starter(asyncio.get_running_loop())(work())
    assert steps == ([task] if STARTS_AT_ONCE else [])
    go_on.set()
    await task
    assert steps == [task, "end"]


async def test_a_task_without_a_wait_is_over_at_once_where_python_can():
    """From Python 3.12 on it has ended when it is known, with whatever came of it."""

    async def fail():
        raise ValueError("on purpose")

    task = task_starter(asyncio.get_running_loop())(fail())
    assert task.done() is STARTS_AT_ONCE
    with pytest.raises(ValueError, match="on purpose"):
        await task


async def test_a_task_factory_makes_the_task():
    """Who has set one sees every task."""
    made = []

    def note(loop, coro, **options):
        made.append(asyncio.Task(coro, loop=loop, **options))
        return made[-1]

    async def work():
        pass

    loop = asyncio.get_running_loop()
    start = task_starter(loop)
    loop.set_task_factory(note)
    try:
        task = start(work())
    finally:
        loop.set_task_factory(None)
    await task
    assert made == [task]
