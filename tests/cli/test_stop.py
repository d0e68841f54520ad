"""Ctrl-C once, and again."""

import asyncio
import os
import signal

import anyio
import pytest

from asgi_quicktunnel.cli.stop import stop_signals

pytestmark = pytest.mark.anyio


async def test_the_first_signal_asks_and_the_second_insists():
    """Work is left at the signal that is its business, cancelled and waited for."""
    cancelled = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with anyio.fail_after(10), stop_signals() as stop:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        assert not await stop.until_asked(work())
        assert cancelled.is_set()
        assert not stop.insisted.is_set()
        cancelled.clear()
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        assert not await stop.until_insisted(work())
        assert cancelled.is_set()


async def test_work_that_ends_by_itself_is_done():
    """Its failures are its own."""

    async def fail():
        raise ValueError("no")

    with stop_signals() as stop:
        assert await stop.until_asked(asyncio.sleep(0))
        with pytest.raises(ValueError, match="no"):
            await stop.until_insisted(fail())


async def test_handlers_are_put_back():
    """Afterwards a signal does what it did before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_signals():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
