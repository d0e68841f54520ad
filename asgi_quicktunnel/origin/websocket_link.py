"""An accepted WebSocket on its stream: messages both ways, pings, and the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass

from asgi_quicktunnel.errors import ConnectionLost, StreamReset
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.protocol.keepalive import KeepAlive, Verdict
from asgi_quicktunnel.protocol.websocket import Closure, WebSocket
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["VisitorLeft", "WebSocketLink", "WebSocketSettings"]


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """What all WebSockets of one origin have in common.

    Attributes:
        ping_interval: seconds between pings; None sends none.
        ping_timeout: seconds of silence after a ping until the visitor counts as gone, or None.
        max_message_size: bytes that a message of the visitor may have, once decompressed.
        close_timeout: seconds that the visitor has to answer a Close; 10 as in uvicorn.
    """

    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    max_message_size: int = 16 << 20
    close_timeout: float = 10.0


class VisitorLeft(OSError):  # noqa: N818  # it is no failure
    """Something was sent over a WebSocket that has ended (ASGI WebSocket specification, 2.4)."""


class WebSocketLink:
    """Carries messages between a stream and whoever calls `receive` and `send`.

    One task reads the stream, so that pings and Closes are seen while the app is busy. It stops,
    and with it the visitor's credit, while 64 KiB of messages wait to be received.
    """

    __slots__ = (
        "_arrived",
        "_close_timeout",
        "_closure",
        "_errand",
        "_keepalive",
        "_linger",
        "_loop",
        "_messages",
        "_over",
        "_queued",
        "_reader",
        "_report",
        "_room",
        "_socket",
        "_stream",
        "_timer",
    )

    def __init__(
        self,
        stream: RequestStream,
        socket: WebSocket,
        report: RequestReport,
        settings: WebSocketSettings,
    ) -> None:
        """Begin to read and to ping; the 101 was sent.

        Args:
            stream: the visitor's; ended or reset when the link is over.
            socket: the protocol, whose handshake was checked.
            report: gets the bytes of both directions, frames included, and is told of the end.
            settings: limits and times.
        """
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._socket = socket
        self._report = report
        self._messages: deque[str | bytes] = deque()
        self._queued = 0  # bytes that the messages take up, about
        self._arrived = asyncio.Event()  # `receive` has something to look at
        self._room = asyncio.Event()  # the reader may go on
        self._room.set()
        self._closure: Closure | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._keepalive = KeepAlive(
            settings.ping_interval, settings.ping_timeout, now=self._loop.time()
        )
        self._close_timeout = settings.close_timeout
        self._linger = min(_LINGER, settings.close_timeout)
        self._timer: asyncio.TimerHandle | None = None
        self._errand: asyncio.Task[None] | None = None  # what the timer found to do
        self._arm_timer()
        self._reader = self._loop.create_task(self._read())

    @property
    def closure(self) -> Closure | None:
        """Why it ended, once that is certain: the first Close; 1006 when there was none."""
        return self._closure

    async def receive(self) -> str | bytes | None:
        """The next message, None once the link has ended and all of them were received."""
        while not self._messages:
            if self._closure is not None:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._queued -= len(message) + _MESSAGE_COST
        if self._queued <= _QUEUE_LIMIT:
            self._room.set()
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the visitor is slow.

        Raises:
            VisitorLeft: the link has ended.
        """
        self._check_open()
        self._socket.send(message)
        await self._flush_or_leave()

    async def close(self, code: int, reason: str) -> None:
        """Send a Close; the visitor has `close_timeout` to send its own.

        Raises:
            VisitorLeft: the link has ended.
            LocalProtocolError: the code is none that may be sent, or the reason is too long.
        """
        self._check_open()
        self._socket.close(code, reason)
        self._settle(Closure(code, reason))
        self._timer = self._loop.call_later(self._close_timeout, self.give_up)
        await self._flush_or_leave()

    async def hang_up(self, code: int, reason: str = "") -> None:
        """Send a Close, unless one was sent, and wait for the visitor's no longer than 1 s."""
        if self._over.done():
            return
        self._socket.close(code, reason)
        self._settle(Closure(code, reason))
        flushed = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._flush()
                    flushed = True
                    await self.wait_over()
            if flushed:
                await self._finish()
            else:  # it does not even read
                self.give_up()
        except _GONE:
            self.give_up()

    async def wait_over(self) -> None:
        """Return when the stream has ended."""
        await asyncio.shield(self._over)

    def give_up(self) -> None:
        """Reset the stream, unless it has ended, and stop all work."""
        if not self._over.done():
            self._stream.reset()
            self._settle(_LOST)
            self._end()
        self._reader.cancel()
        if self._errand is not None:
            self._errand.cancel()

    async def _read(self) -> None:
        """Pass on what the visitor sends until either side has ended."""
        try:
            while not self._socket.is_over:
                await self._room.wait()
                data = await self._stream.receive()
                self._keepalive.heard()
                if data:
                    await self._take(data)
                else:
                    self._socket.receive_eof()
            self._settle(self._socket.closure or _LOST)
            if self._socket.is_unanswered:
                await self._drop_the_rest()
            await self._finish()
        except _GONE:
            self.give_up()

    async def _drop_the_rest(self) -> None:
        """Let our Close reach a visitor who is still sending: refusing that might cut it off.

        A visitor who has fallen silent waits for us to end the connection (RFC 6455 §7.1.1).
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                while True:
                    async with asyncio.timeout(_SILENCE):
                        if not await self._stream.receive():
                            return

    async def _take(self, data: bytes) -> None:
        self._report.received += len(data)
        # In slices, so that no more than one of them can inflate beyond what was asked for.
        for start in range(0, len(data), _SLICE):
            for message in self._socket.receive_data(data[start : start + _SLICE]):
                self._messages.append(message)
                self._queued += len(message) + _MESSAGE_COST
                self._arrived.set()
            if self._socket.is_over:
                self._settle(self._socket.closure or _LOST)
            await self._flush()
            if self._socket.is_over:
                return
            if self._queued > _QUEUE_LIMIT and self._closure is None:
                self._room.clear()
                await self._room.wait()

    async def _flush(self) -> None:
        data = self._socket.data_to_send()
        if data:
            self._report.sent += len(data)
            await self._stream.send(data)

    async def _flush_or_leave(self) -> None:
        try:
            await self._flush()
        except _GONE as exc:
            self.give_up()
            raise VisitorLeft(str(exc)) from exc

    async def _finish(self) -> None:
        """End the stream behind what was sent; either side's end is both sides' (§6.6)."""
        if self._over.done():
            return
        await self._flush()
        await self._stream.send_eof()
        self._end()

    def _check_open(self) -> None:
        if self._closure is not None:
            raise VisitorLeft(f"the WebSocket has ended with code {self._closure.code}")

    def _settle(self, closure: Closure) -> None:
        """From now on nothing is sent and nothing more is received."""
        if self._closure is not None:
            return
        self._closure = closure
        self._arrived.set()
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if self._over.done():
            return
        self._over.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report.done()

    def _arm_timer(self) -> None:
        due = self._keepalive.due
        self._timer = None if due is None else self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        verdict = self._keepalive.handle_timeout(
            now=self._loop.time(), listening=self._room.is_set()
        )
        if verdict is Verdict.GONE:
            self._errand = self._loop.create_task(self.hang_up(1011, "keepalive ping timeout"))
            return
        if verdict is Verdict.PING:
            self._errand = self._loop.create_task(self._ping())
        self._arm_timer()

    async def _ping(self) -> None:
        self._socket.ping()
        try:
            await self._flush()
        except _GONE:
            self.give_up()


_GONE = (StreamReset, ConnectionLost)
_LOST = Closure(1006, "")  # RFC 6455 §7.1.5
_LINGER = 1.0  # s; for a Close to reach a visitor who may not answer it
_SILENCE = 0.2  # s; above the pauses of a visitor in the middle of sending
_QUEUE_LIMIT = 64 << 10  # bytes
_MESSAGE_COST = 64  # bytes that a message takes up besides its content, about
_SLICE = 16 << 10  # bytes
