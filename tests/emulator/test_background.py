"""Tasks started from callbacks."""

import asyncio
import logging

import pytest

from asgi_quicktunnel.emulator.background import Background

pytestmark = pytest.mark.anyio


async def test_tasks_run_and_are_cancelled():
    """Each runs at once; `aclose` waits until all are over."""
    background = Background()
    log = []

    async def work(name):
        try:
            log.append(f"{name} began")
            await asyncio.Event().wait()
        finally:
            log.append(f"{name} ended")

    asyncio.get_running_loop().call_soon(lambda: background.spawn(work("a")))
    await asyncio.sleep(0)
    background.spawn(work("b"))
    await asyncio.sleep(0)
    await background.aclose()
    assert log[:2] == ["a began", "b began"]
    assert sorted(log[2:]) == ["a ended", "b ended"]


async def test_a_failure_is_logged(caplog):
    """It ends no other task."""
    background = Background()
    done = asyncio.Event()

    async def fail():
        raise RuntimeError("broken")

    async def finish():
        done.set()

    with caplog.at_level(logging.ERROR):
        background.spawn(fail())
        background.spawn(finish())
        await done.wait()
        await background.aclose()
    assert "broken" in caplog.text
