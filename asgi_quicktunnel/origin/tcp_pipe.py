"""What follows a 101: bytes both ways, until either side ends."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from asgi_quicktunnel.errors import ConnectionLost, OriginError, StreamReset
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.tcp_connection import OriginConnection
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["FrameCount", "TcpPipe"]


class TcpPipe:
    """Raw bytes between a visitor and an origin; neither is read or changed (protocol.md §6.6).

    The end of either direction is the end of both. Only at shutdown something of our own is said:
    a Close, between two frames of a WebSocket.
    """

    __slots__ = ("_connection", "_downward", "_heard", "_hung_up", "_report", "_stream", "_upward")

    def __init__(
        self,
        stream: RequestStream,
        connection: OriginConnection,
        report: RequestReport,
        *,
        is_websocket: bool,
    ) -> None:
        """Prepare a pipe.

        Args:
            stream: the visitor's; the 101 was sent. Ended or reset when `run` returns.
            connection: the origin's; closed when `run` returns.
            report: gets the bytes of both directions.
            is_websocket: whether the bytes are frames of RFC 6455.
        """
        self._stream = stream
        self._connection = connection
        self._report = report
        self._upward = FrameCount() if is_websocket else None
        self._downward = FrameCount() if is_websocket else None
        self._heard = asyncio.Event()  # from the visitor, since the pipe was hung up
        self._hung_up: asyncio.Event | None = None  # made when it is being hung up, then set

    async def run(self) -> None:
        """Carry until either side ends; its end is passed on to the other.

        Raises:
            asyncio.CancelledError: this task was cancelled; both sides were cut off.
        """
        upward = asyncio.create_task(self._carry_upward())
        try:
            while data := await self._connection.read():
                if self._hung_up is not None:
                    continue
                if self._downward is not None:
                    self._downward.count(data)
                self._report.sent += len(data)
                await self._stream.send(data)
        except (StreamReset, ConnectionLost, OriginError):
            self._stream.reset()
        except asyncio.CancelledError:
            self._stream.reset()
            raise
        else:
            if self._hung_up is not None:
                await self._hung_up.wait()
            await self._stream.send_eof()
        finally:
            upward.cancel()
            self._connection.close()

    async def hang_up(self) -> None:
        """Close with 1012, "service restart"; what is no WebSocket just ends.

        Within a frame nothing can be said: the side that waits for the rest of it is cut off.
        """
        if self._hung_up is not None:
            return
        self._hung_up = asyncio.Event()
        is_told = False
        try:
            async with asyncio.timeout(_LINGER):
                if self._upward is not None and self._upward.is_between:
                    await self._connection.write(_GOING_AWAY)
                self._connection.close()
                if self._downward is not None and self._downward.is_between:
                    await self._stream.send(_SERVICE_RESTART)
                    is_told = True
                    await self._wait_silent()
        except (StreamReset, ConnectionLost, TimeoutError):
            if not is_told:
                self._stream.reset()
        finally:
            self._connection.close()
            self._hung_up.set()

    async def _wait_silent(self) -> None:
        """Let our Close reach a visitor who is still sending: refusing that might cut it off."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._heard.clear()
                async with asyncio.timeout(_SILENCE):
                    await self._heard.wait()

    async def _carry_upward(self) -> None:
        try:
            while data := await self._stream.receive():
                if self._hung_up is not None:
                    self._heard.set()
                    continue
                if self._upward is not None:
                    self._upward.count(data)
                self._report.received += len(data)
                await self._connection.write(data)
            self._connection.close()
        except (StreamReset, ConnectionLost) as exc:
            self._connection.abort(exc)


class FrameCount:
    """Follows WebSocket frames by their lengths alone (RFC 6455 §5.2)."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # of a frame whose head is incomplete
        self._left = 0  # bytes that the current frame still has

    @property
    def is_between(self) -> bool:
        """Whether the last frame is complete, so that one of our own may follow."""
        return not self._head and not self._left

    def count(self, data: bytes) -> None:
        """Take the next bytes of one direction."""
        size = len(data)
        at = self._left  # where the next frame begins
        if self._head:
            taken = 0
            while (length := _frame_size(self._head, 0)) is None:
                if taken == size:
                    return
                self._head += data[taken : taken + 1]
                taken += 1
            at = taken + length - len(self._head)
            self._head = b""
        while at < size:
            length = _frame_size(data, at)
            if length is None:
                self._head = data[at:]
                at = size
            else:
                at += length
        self._left = at - size


def _frame_size(data: bytes, at: int) -> int | None:
    """Bytes of the frame that begins there, or None while its length is not there."""
    if len(data) < at + 2:
        return None
    second = data[at + 1]
    short = second & 0x7F
    mask = 4 if second & 0x80 else 0
    if short < 126:
        return 2 + mask + short
    if short == 126:
        return None if len(data) < at + 4 else 4 + mask + int(_SHORT(data, at + 2)[0])
    return None if len(data) < at + 10 else 10 + mask + int(_LONG(data, at + 2)[0])


_SHORT = struct.Struct("!H").unpack_from
_LONG = struct.Struct("!Q").unpack_from
_SERVICE_RESTART = b"\x88\x02" + struct.pack("!H", 1012)  # a Close; IANA, Close Code Registry
_GOING_AWAY = b"\x88\x82" + bytes(4) + struct.pack("!H", 1001)  # the same, masked, to a server
_LINGER = 1.0  # s
_SILENCE = 0.2  # s; above the pauses of a visitor in the middle of sending
