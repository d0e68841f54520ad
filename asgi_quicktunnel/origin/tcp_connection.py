"""One connection to an origin behind a socket."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from asgi_quicktunnel.errors import OriginError, RemoteProtocolError
from asgi_quicktunnel.origin.tcp_answer import AnswerHead, AnswerReader

__all__ = ["OriginConnection"]


class OriginConnection(asyncio.Protocol):
    """Carries one exchange after the other; bytes both ways, with backpressure both ways.

    A slow reader pauses the socket, a slow origin makes `write` wait. Once the connection is lost,
    `write` does nothing: what the origin said until then decides.

    Attributes:
        idle_until: when a pool gives it up, on the loop's clock.
    """

    __slots__ = (
        "_cause",
        "_drained",
        "_go_ahead",
        "_is_ended",
        "_is_lost",
        "_is_paused",
        "_is_reading_paused",
        "_label",
        "_loop",
        "_on_end",
        "_reader",
        "_transport",
        "_waiter",
        "idle_until",
    )

    def __init__(self, label: str, on_end: Callable[[OriginConnection], None]) -> None:
        """Prepare a connection that asyncio opens.

        Args:
            label: the origin's name, for errors.
            on_end: called once, when the connection can't be used any more.
        """
        self.idle_until = 0.0
        self._label = label
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._cause: Exception | None = None  # why nothing more can be read
        self._is_ended = False  # `on_end` was called
        self._is_lost = False
        self._is_paused = False  # the transport wants no more
        self._is_reading_paused = False
        self._waiter: asyncio.Future[None] | None = None  # of `wait_head` or `read`
        self._go_ahead: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent, as far as is known."""
        return not (self._is_ended or self._is_lost)

    def is_silent(self) -> bool:
        """Whether nothing waits to be read, not even an end that the event loop has yet to see."""
        if self._transport is None or not self.is_usable:
            return False
        file = self._transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):  # Windows
            return not select.select([file], [], [], 0)[0]
        poll = select.poll()
        poll.register(file, select.POLLIN)
        return not poll.poll(0)

    @property
    def has_answered(self) -> bool:
        """Whether a byte came back to the latest request."""
        return self._reader is not None and self._reader.has_begun

    @property
    def is_reusable(self) -> bool:
        """Whether the exchange is complete and another may follow."""
        reader = self._reader
        return (
            self.is_usable
            and self._cause is None
            and reader is not None
            and reader.is_complete
            and reader.is_reusable
            and not reader.body
        )

    @property
    def idle_timeout(self) -> float | None:
        """Seconds that the origin said it keeps the connection, or None."""
        return self._reader.idle_timeout if self._reader is not None else None

    def ask(self, head: bytes, *, is_head: bool = False, may_switch: bool = False) -> None:
        """Send the head of a request; arguments as in `AnswerReader`."""
        self._reader = AnswerReader(is_head=is_head, may_switch=may_switch)
        if self._is_writable:
            assert self._transport is not None
            self._transport.write(head)
        elif self._cause is None:
            self._cause = OriginError(f"{self._label} closed the connection before it was asked")

    async def write(self, data: bytes) -> None:
        """Send bytes of the body; waits while the origin is slow."""
        if not self._is_writable:
            return
        assert self._transport is not None
        self._transport.write(data)
        while self._is_paused and not self._is_lost:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def wait_go_ahead(self, timeout: float) -> bool:
        """Wait for 100 Continue for so many seconds; False when an answer came instead."""
        assert self._reader is not None
        if not self._is_decided:
            self._go_ahead = self._loop.create_future()
            await asyncio.wait({self._go_ahead}, timeout=timeout)
        return self._reader.head is None and self._cause is None

    async def wait_head(self) -> AnswerHead:
        """The head of the answer.

        Raises:
            OriginError: there is none.
            Exception: what `abort` was given.
        """
        assert self._reader is not None
        while self._reader.head is None:
            await self._wait()
        return self._reader.head

    async def read(self) -> bytes:
        """The next bytes of the body, or of what follows a 101; b"" at its end.

        Raises:
            OriginError: it is cut short.
            Exception: what `abort` was given.
        """
        reader = self._reader
        assert reader is not None
        while not reader.body:
            if reader.is_complete:
                return b""
            await self._wait()
        data = reader.body[0] if len(reader.body) == 1 else b"".join(reader.body)
        reader.body.clear()
        reader.buffered = 0
        if self._is_reading_paused:
            self._is_reading_paused = False
            if self._is_writable:
                assert self._transport is not None
                self._transport.resume_reading()
        return data

    def abort(self, cause: Exception | None = None) -> None:
        """Give the connection up; `cause` is raised for whoever reads."""
        if cause is not None and self._cause is None:
            self._cause = cause
        self._end()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        """Close behind what was written, within a second."""
        self._end()
        if self._is_writable:
            assert self._transport is not None
            self._transport.close()
            self._loop.call_later(_LINGER, self._transport.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: the origin sent something."""
        reader = self._reader
        if reader is None or self._cause is not None:
            self._fail(f"{self._label} spoke before it was asked, which no HTTP server does")
            return
        try:
            reader.receive_data(data)
        except RemoteProtocolError as exc:
            self._fail(f"{self._label} gave an answer that can't be passed on: {exc}")
            return
        if reader.is_complete and not reader.is_reusable:
            self._end()
        if reader.buffered > _HIGH_WATER and not self._is_reading_paused:
            assert self._transport is not None
            self._transport.pause_reading()
            self._is_reading_paused = True
        self._wake()

    def eof_received(self) -> None:
        """asyncio: the origin sends nothing more."""
        self._take_end("")

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it is closed."""
        self._is_lost = True
        self._take_end(f" ({_reason(exc)})" if exc is not None else "")
        self.resume_writing()

    def pause_writing(self) -> None:
        """asyncio: the origin is slow."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """asyncio: the origin has caught up."""
        self._is_paused = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    @property
    def _is_writable(self) -> bool:
        return self._transport is not None and not (self._is_lost or self._transport.is_closing())

    @property
    def _is_decided(self) -> bool:
        """Whether it is known if the origin wants the body."""
        return self._cause is not None or (self._reader is not None and self._reader.may_continue)

    def _take_end(self, detail: str) -> None:
        if self._reader is not None and self._cause is None:
            try:
                self._reader.receive_eof()
            except RemoteProtocolError as exc:
                self._cause = OriginError(f"{self._label} failed: {exc}{detail}")
        self._end()
        self._wake()

    def _fail(self, message: str) -> None:
        self.abort(OriginError(message))

    def _end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._on_end(self)

    async def _wait(self) -> None:
        if self._cause is not None:
            raise self._cause
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._go_ahead is not None and not self._go_ahead.done() and self._is_decided:
            self._go_ahead.set_result(None)


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


_HIGH_WATER = 256 << 10  # bytes of an answer that wait here before the socket is paused
_LINGER = 1.0  # s
