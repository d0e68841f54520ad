"""One QUIC stream as a coroutine sees it: bounded queues and credit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asgi_quicktunnel.errors import LocalProtocolError, StreamReset, TransportError
from asgi_quicktunnel.transport.engine import QuicEngine

__all__ = ["QuicStream", "StreamOwner"]


class StreamOwner(Protocol):
    """What a stream needs of whoever drives its connection."""

    def touch(self, stream: QuicStream) -> None:
        """Flush the stream in the next transmit."""
        ...

    def transmit_early(self) -> None:
        """An answer is complete: transmit at once if the end of the turn would be late."""
        ...

    def read(self, stream: QuicStream, max_bytes: int) -> tuple[bytes, bool]:
        """Take data of a stream, and with it grant credit; "that was the end"."""
        ...

    def reset(self, stream: QuicStream, code: int) -> None:
        """Give up the sending half of a stream."""
        ...

    def stop(self, stream: QuicStream, code: int) -> None:
        """Give up the receiving half of a stream."""
        ...

    def forget(self, stream: QuicStream) -> None:
        """Both halves are over."""
        ...


class QuicStream:
    """One bidirectional stream, a `ByteStream`. One reader at a time, any number of writers.

    What is written waits here until the next transmit, so that everything sent in one turn of the
    loop travels together, the end with the last data.
    """

    __slots__ = (
        "_blocked",
        "_drained",
        "_end_queued",
        "_end_sent",
        "_gone",
        "_owner",
        "_pushed_back",
        "_queue",
        "_queued",
        "_reader",
        "_receive_ended",
        "_receive_error",
        "_send_error",
        "on_readable",
        "stream_id",
    )

    def __init__(self, owner: StreamOwner, stream_id: int) -> None:
        self.stream_id = stream_id
        self.on_readable: Callable[[QuicStream], None] | None = None
        self._owner = owner
        self._queue: list[bytes | memoryview] = []
        self._queued = 0
        self._blocked = False
        self._end_queued = False
        self._end_sent = False
        self._pushed_back = b""
        self._receive_ended = False
        self._receive_error: TransportError | None = None
        self._send_error: TransportError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None

    @property
    def is_disconnected(self) -> bool:
        """Whether nobody waits for the rest of what we send."""
        return self._receive_error is not None or self._send_error is not None

    @property
    def receive_ended(self) -> bool:
        """Whether the peer's end was read."""
        return self._receive_ended and not self._pushed_back

    async def receive(self, max_bytes: int = 65536, *, while_heard: bool = False) -> bytes:
        """The next bytes, b"" at the peer's end; see `ByteStream.receive`.

        With `while_heard` the wait also ends, with StreamReset, once the peer reads no more.
        """
        while True:
            data = self.receive_nowait(max_bytes)
            if data or self._receive_ended:
                return data
            if while_heard and self._send_error is not None:
                raise self._send_error
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def receive_nowait(self, max_bytes: int = 65536) -> bytes:
        """What is there now; b"" when there is nothing or the peer ended (`receive_ended`).

        Raises:
            StreamReset: the peer gave the stream up.
            ConnectionLost: the connection beneath ended.
        """
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
            return data
        if self._receive_error is not None:
            raise self._receive_error
        if self._receive_ended:
            return b""
        data, self._receive_ended = self._owner.read(self, max_bytes)
        if self._receive_ended and self._end_sent:
            self._owner.forget(self)
        return data

    def push_back(self, data: bytes) -> None:
        """Give back what was read too much."""
        self._pushed_back = data + self._pushed_back

    async def send(self, data: bytes) -> None:
        """Queue bytes, wait above the high-water mark; see `ByteStream.send`."""
        if self.send_nowait(data):
            await self.wait_writable()

    @property
    def is_full(self) -> bool:
        """Whether a writer should wait."""
        return self._blocked or self._queued > _SEND_BATCH

    async def wait_writable(self) -> None:
        """Wait until less than the high-water mark is queued.

        Raises:
            StreamReset: the peer reads no more.
            ConnectionLost: the connection beneath ended.
        """
        while self.is_full:
            if self._send_error is not None:
                raise self._send_error
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if self._send_error is not None:
            raise self._send_error

    def send_nowait(self, data: bytes) -> bool:
        """Queue bytes, never wait; the caller bounds how much.

        Returns:
            Whether a writer should wait now, as `is_full`.

        Raises:
            StreamReset: the peer reads no more.
            ConnectionLost: the connection beneath ended.
            LocalProtocolError: the end was sent before.
        """
        if self._send_error is not None:
            raise self._send_error
        if self._end_queued:
            raise LocalProtocolError("data was sent after the end of the stream")
        if data:
            if not self._queue:  # otherwise it is due, or waits for the engine
                self._owner.touch(self)
            self._queue.append(data)
            self._queued += len(data)
        return self._blocked or self._queued > _SEND_BATCH

    async def send_eof(self) -> None:
        """Say that nothing more comes; see `ByteStream.send_eof`."""
        self.send_eof_nowait()

    def send_eof_nowait(self) -> None:
        """Queue the end; it travels with the last data."""
        if self._send_error is None and not self._end_queued:
            self._end_queued = True
            if not self._queue:
                self._owner.touch(self)

    def finish_nowait(self) -> None:
        """Queue the end and tell the peer to send no more; perhaps it is sent at once."""
        # `send_eof_nowait` without its call: every answer passes here.
        if self._send_error is None and not self._end_queued:
            self._end_queued = True
            if not self._queue:
                self._owner.touch(self)
        if not self._receive_ended:
            self.stop(0)
        self._owner.transmit_early()

    def reset(self, code: int = 0) -> None:
        """Give up both halves at once."""
        if not self._end_sent:
            self._drop_queue()
            self._end_queued = self._end_sent = True
            self._owner.reset(self, code)
        self.stop(code)
        self._forget_if_over()

    def stop(self, code: int = 0) -> None:
        """Tell the peer to send no more; harmless when it has ended."""
        if self._receive_ended:
            return
        self._pushed_back = b""
        self._receive_ended = True
        self._owner.stop(self, code)
        self._wake_reader()
        self._forget_if_over()

    async def disconnected(self) -> None:
        """Return once nobody waits for the rest; see `RequestStream.disconnected`."""
        while not self.is_disconnected:
            if self._gone is None:
                self._gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._gone)

    def handle_readable(self) -> None:
        """There is something to read."""
        if self.on_readable is not None:
            self.on_readable(self)
        if self._reader is not None:
            self._wake_reader()

    def handle_writable(self) -> None:
        """The engine would accept more."""
        self._owner.touch(self)

    def handle_reset(self, code: int) -> None:
        """The peer sent RESET_STREAM."""
        self._receive_error = StreamReset(f"the peer reset the stream (code {code})", code=code)
        self._receive_ended = True
        self._tell_of_error()

    def handle_stopped(self, code: int) -> None:
        """The peer sent STOP_SENDING; routine once everything was queued (protocol.md §6.5)."""
        self._drop_queue()
        if not self._end_queued:
            self._send_error = StreamReset(f"the peer reads no more (code {code})", code=code)
        self._end_queued = self._end_sent = True
        self._tell_of_error()

    def handle_lost(self, error: TransportError) -> None:
        """The connection beneath ended."""
        self._drop_queue()
        self._receive_error = self._receive_error or error
        self._send_error = self._send_error or error
        self._receive_ended = True
        self._end_queued = self._end_sent = True
        self._tell_of_error()

    def flush(self, engine: QuicEngine) -> None:
        """Hand the queue to the engine, as much as it takes."""
        if self._end_sent:
            return
        queue = self._queue
        if len(queue) > 1 and self._queued <= _SEND_BATCH:
            queue[:] = (b"".join(queue),)
        end = self._end_queued
        if end and not queue:
            queue.append(b"")
        while queue:
            data = queue[0]
            accepted = engine.write(self.stream_id, data, end=end and len(queue) == 1)
            self._queued -= accepted
            if accepted < len(data):
                queue[0] = memoryview(data)[accepted:]
                self._blocked = True
                return
            del queue[0]
        self._blocked = False
        if self._drained is not None:
            self._wake_writer()
        if end:
            self._end_sent = True
            if self._receive_ended:
                self._owner.forget(self)

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._blocked = False
        self._wake_writer()

    def _tell_of_error(self) -> None:
        if self.on_readable is not None:
            self.on_readable(self)
        self._wake_reader()
        self._wake_writer()
        if self.is_disconnected and self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._forget_if_over()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writer(self) -> None:
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    def _forget_if_over(self) -> None:
        if self._receive_ended and self._end_sent:
            self._owner.forget(self)


_SEND_BATCH = 64 << 10  # bytes queued here beyond which a writer waits for the next transmit
