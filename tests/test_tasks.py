"""How tasks are started: those of Python 3.12 and ours for 3.11 do the same."""

import asyncio
import contextvars
import gc

import anyio
import pytest

from asgi_quicktunnel.tasks import start_task

pytestmark = pytest.mark.anyio
VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def begin(coroutine):
    """Start a task in the turn of the loop that this is."""
    return start_task(coroutine, asyncio.get_running_loop(), is_alone=True)


def start(coroutine):
    """Start a task as requests are: from a callback of the loop, outside of any task."""
    loop = asyncio.get_running_loop()
    started = loop.create_future()
    loop.call_soon(lambda: started.set_result(begin(coroutine)))
    return started


async def test_a_task_begins_at_once():
    """Up to its first wait it has run when it is known, as the current task."""
    steps = []
    go_on = asyncio.Event()

    async def work():
        steps.append(asyncio.current_task())
        await go_on.wait()
        steps.append(asyncio.current_task())

    outer = asyncio.current_task()
    task = begin(work())
    assert steps == [task]
    assert asyncio.current_task() is outer
    go_on.set()
    await task
    assert steps == [task, task]


async def test_a_task_begins_at_once_outside_of_tasks():
    """Where no other task runs none is left behind as the current one."""
    seen = []

    async def work():
        seen.append(asyncio.current_task())

    task = await start(work())
    current = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: current.set_result(asyncio.current_task()))
    assert await current is None
    await task
    assert seen == [task]


@pytest.mark.parametrize("error", [ValueError("on purpose"), asyncio.CancelledError("on purpose")])
async def test_what_a_task_without_a_wait_came_to_is_its_outcome(error):
    """An exception before the first wait is the task's."""

    async def fail():
        raise error

    task = await start(fail())
    with pytest.raises(type(error), match="on purpose"):
        await task


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_task_is_cancelled_where_it_waits(turns):
    """However soon after its start; the reason arrives, and what it waited for is cancelled."""
    waits_for = asyncio.get_running_loop().create_future()
    caught = []

    async def work():
        try:
            await waits_for
        except asyncio.CancelledError as exc:
            caught.append(exc.args)
            raise

    started = start(work())
    started.add_done_callback(lambda started: turns or started.result().cancel("enough"))
    task = await started
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns:
        task.cancel("enough")
    await asyncio.wait({task})
    assert task.cancelled()
    assert waits_for.cancelled()
    assert caught == [("enough",)]


@pytest.mark.parametrize("has_come", [False, True], ids=["waits", "has-come"])
async def test_a_task_that_cancels_itself_is_cancelled_at_its_first_wait(has_come):
    """Whether what it waits for has come or not."""
    caught = []

    async def work():
        asyncio.current_task().cancel("myself")
        waits_for = asyncio.get_running_loop().create_future()
        try:
            if has_come:
                await asyncio.sleep(0)
            else:
                await waits_for
        except asyncio.CancelledError as exc:
            caught.append(exc.args)
            raise

    task = await start(work())
    await asyncio.wait({task})
    assert task.cancelled()
    assert caught == [("myself",)]


async def test_a_cancellation_waits_for_the_task_that_is_waited_for():
    """Who waits for another task hears of it once that one has ended."""
    steps = []

    async def inner():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("inner")

    async def outer(child):
        try:
            await child
        finally:
            steps.append("outer")

    child = asyncio.create_task(inner())
    await asyncio.sleep(0)
    task = begin(outer(child))
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert steps == ["inner", "outer"]


async def test_a_task_may_go_on_after_a_cancellation():
    """Who catches it and returns has not been cancelled."""

    async def work():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    task = begin(work())
    task.cancel()
    await asyncio.wait({task})
    assert not task.cancelled()
    assert task.exception() is None


async def test_what_a_task_waits_for_may_fail():
    """It is raised where the task waits."""
    waits_for = asyncio.get_running_loop().create_future()

    async def work():
        with pytest.raises(ValueError, match="on purpose"):
            await waits_for

    task = begin(work())
    waits_for.set_exception(ValueError("on purpose"))
    await task


async def test_timeouts_and_groups_work_in_the_first_step():
    """Those of asyncio and of anyio, which look at the current task."""
    steps = []

    async def work():
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        steps.append(scope.cancelled_caught)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        steps.append("end")

    await (await start(work()))
    assert steps == [True, "end"]


async def test_a_scope_of_anyio_ends_a_task_that_has_just_begun():
    """Its cancellation is caught by its scope and by nothing else."""
    scopes = []

    async def work():
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await anyio.sleep_forever()
        scopes.append("after")
        await anyio.sleep(0)

    task = begin(work())
    scopes[0].cancel()
    await task
    assert scopes[0].cancelled_caught
    assert scopes[1:] == ["after"]


async def test_all_steps_of_a_task_share_a_context_of_its_own():
    """What the first step sets the others see, and nobody outside."""

    seen = []

    async def work():
        VARIABLE.set("inside")
        await asyncio.sleep(0)
        seen.append(VARIABLE.get())

    VARIABLE.set("outside")
    task = begin(work())
    assert VARIABLE.get() == "outside"
    await task
    assert seen == ["inside"]


async def test_tasks_that_begin_together_do_all_the_same():
    """Whether they begin at once or in the next turn."""
    steps = []

    async def work(name):
        steps.append(name)
        await asyncio.sleep(0)
        steps.append(name)

    loop = asyncio.get_running_loop()
    await asyncio.gather(*(start_task(work(name), loop, is_alone=False) for name in "abc"))
    assert steps == list("abcabc")


async def test_tasks_leave_no_garbage():
    """What a task needed is freed without the collector, whether it waited or not."""

    async def at_once():
        pass

    async def later():
        await asyncio.sleep(0)

    async def failing():
        raise ValueError

    await asyncio.gather(begin(at_once()), begin(later()))
    gc.collect()
    gc.disable()
    try:
        for work in (at_once, later, failing):
            for _ in range(20):
                task = begin(work())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.exception()
        del task
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_a_task_factory_makes_the_task():
    """Who has set one sees every task."""
    made = []

    def note(loop, coro, **options):
        made.append(asyncio.Task(coro, loop=loop, **options))
        return made[-1]

    async def work():
        pass

    loop = asyncio.get_running_loop()
    loop.set_task_factory(note)
    try:
        task = begin(work())
    finally:
        loop.set_task_factory(None)
    await task
    assert made == [task]
