"""The handshake of one engine, in a thread: it takes too long for the loop of an app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import NamedTuple

from asgi_quicktunnel.transport.clock import clock
from asgi_quicktunnel.transport.engine import EngineEvent

__all__ = ["HandshakeStep", "ThreadedHandshake"]


class HandshakeStep(NamedTuple):
    """What came of one step.

    Attributes:
        events: to dispatch on the loop.
        to_send: UDP payloads.
        due: when the next step is, on `clock`, or None.
    """

    events: Sequence[EngineEvent]
    to_send: Sequence[bytes]
    due: float | None


class ThreadedHandshake:
    """Steps that run in a thread, each with what arrived meanwhile.

    Args:
        work: takes UDP payloads, does all that is due; called in the thread, by nobody else.
        executor: where.

    Attributes:
        unread: what arrived and no step has taken.
    """

    def __init__(
        self, work: Callable[[Sequence[bytes]], HandshakeStep], executor: Executor
    ) -> None:
        self.unread: list[bytes] = []
        self._work = work
        self._executor = executor
        self._due: float | None = None
        self._arrived = asyncio.Event()
        self._arrived.set()  # the first packet is ours to send

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Keep them for the next step, and begin it."""
        self.unread += datagrams
        self.wake()

    def wake(self) -> None:
        """Begin the next step as soon as the one under way is done."""
        self._arrived.set()

    async def step(self) -> tuple[Sequence[EngineEvent], Sequence[bytes]]:
        """Wait until a step is due, and do it: events, and what to send."""
        delay = None if self._due is None else max(0.0, self._due - clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._arrived.wait()
        self._arrived.clear()
        datagrams, self.unread = self.unread, []
        loop = asyncio.get_running_loop()
        events, to_send, self._due = await loop.run_in_executor(
            self._executor, self._work, datagrams
        )
        return events, to_send
