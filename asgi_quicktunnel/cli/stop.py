"""Ctrl-C once, and again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["StopSignals", "stop_signals"]


class StopSignals:
    """What SIGINT and SIGTERM have asked for so far.

    Attributes:
        asked: set at the first one.
        insisted: set at the second one.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.insisted = asyncio.Event()

    def hear(self) -> None:
        """Count one signal."""
        (self.insisted if self.asked.is_set() else self.asked).set()

    async def until_asked(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run `work` until it is done or a signal asks for the end; whether it was done.

        Raises:
            Exception: what `work` raises.
        """
        return await _unless(self.asked, work)

    async def until_insisted(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run `work` until it is done or a second signal comes; whether it was done."""
        return await _unless(self.insisted, work)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Hear SIGINT and SIGTERM inside the block; in the main thread, on the running loop."""
    loop = asyncio.get_running_loop()
    signals = StopSignals()

    def handle(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(signals.hear)

    # Not loop.add_signal_handler, which Windows has not.
    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    if working.cancelled():
        return False
    working.result()
    return True
