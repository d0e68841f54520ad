"""One engine on an event loop: its clock, its timer, its streams, one transmit per turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from asgi_quicktunnel.errors import ConnectionLost
from asgi_quicktunnel.transport.engine import (
    Closed,
    Connected,
    QuicEngine,
    Readable,
    StreamOpened,
    StreamReset,
    StreamStopped,
    Writable,
)
from asgi_quicktunnel.transport.quic_stream import QuicStream

__all__ = ["EngineDriver"]


class EngineDriver:
    """Drives one engine, either side; whoever owns the socket hands datagrams in and out.

    Args:
        engine: a connection that has just begun.
        send_datagrams: called with the UDP payloads of one transmit.
        on_stream: called with each stream that the peer opens, before its first bytes are read.
        keep_alive: seconds of silence after which a PING is sent; None sends none.
    """

    def __init__(
        self,
        engine: QuicEngine,
        *,
        send_datagrams: Callable[[Sequence[bytes]], None],
        on_stream: Callable[[QuicStream], None] | None = None,
        keep_alive: float | None = 1.0,
    ) -> None:
        self.engine = engine
        self.streams: dict[int, QuicStream] = {}
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self._send_datagrams = send_datagrams
        self._on_stream = on_stream
        self._keep_alive = keep_alive
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._lost: ConnectionLost | None = None
        self._touched: dict[QuicStream, None] = {}
        self._transmit_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_heard = self._loop.time()
        self.schedule_transmit()

    async def wait_connected(self) -> None:
        """Wait for the handshake.

        Raises:
            ConnectionLost: the connection ended before it was complete.
        """
        await asyncio.shield(self._connected)
        if self._lost is not None:
            raise self._lost

    @property
    def lost(self) -> ConnectionLost | None:
        """What ended the connection, or None while it lives."""
        return self._lost

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is complete and the connection not over."""
        return self._connected.done() and self._lost is None

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Take what one wake-up of the socket brought."""
        if self._lost is not None:
            return
        now = self._loop.time()
        due = self.engine.next_timeout()
        if due is not None and due + _LATE < now:
            # Due timers first, or a backlog restarts the idle timer of a dead connection.
            self.engine.handle_timeout(now=now)
        self._last_heard = now
        self.engine.receive_datagrams(datagrams, now=now)
        self._dispatch()
        self.schedule_transmit()

    def open_stream(self) -> QuicStream:
        """Open a bidirectional stream.

        Raises:
            ConnectionLost: the connection is over.
        """
        if self._lost is not None:
            raise self._lost
        stream = QuicStream(self, self.engine.open_stream())
        self.streams[stream.stream_id] = stream
        return stream

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close with an application code and say so to the peer at once; harmless when over."""
        if self._lost is None:
            self.engine.close(code, reason)
            self._transmit()

    def abandon(self) -> None:
        """Forget the connection without a word to the peer."""
        if self._lost is None:
            self._finish(Closed(code=None, reason="abandoned"), in_silence=True)

    def touch(self, stream: QuicStream) -> None:
        """Flush the stream in the next transmit."""
        self._touched[stream] = None
        self.schedule_transmit()

    def schedule_transmit(self) -> None:
        """Transmit before the loop sleeps again."""
        if self._transmit_handle is None and self._lost is None:
            self._transmit_handle = self._loop.call_soon(self._transmit)

    def forget(self, stream: QuicStream) -> None:
        """Both halves of the stream are over."""
        self.streams.pop(stream.stream_id, None)

    def _transmit(self) -> None:
        if self._transmit_handle is not None:
            self._transmit_handle.cancel()
            self._transmit_handle = None
        if self._lost is not None:
            return
        touched, self._touched = self._touched, {}
        for stream in touched:
            stream.flush()
        datagrams = self.engine.datagrams_to_send(now=self._loop.time())
        if datagrams:
            self._send_datagrams(datagrams)
        self._dispatch()
        self._arm_timer()

    def _dispatch(self) -> None:
        poll, streams = self.engine.poll_event, self.streams
        while self._lost is None and (event := poll()) is not None:
            if isinstance(event, Readable):
                if stream := streams.get(event.stream_id):
                    stream.handle_readable()
            elif isinstance(event, StreamOpened):
                self._accept(event.stream_id)
            elif isinstance(event, Writable):
                if stream := streams.get(event.stream_id):
                    stream.handle_writable()
            elif isinstance(event, StreamStopped):
                if stream := streams.get(event.stream_id):
                    stream.handle_stopped(event.code)
            elif isinstance(event, StreamReset):
                if stream := streams.get(event.stream_id):
                    stream.handle_reset(event.code)
            elif isinstance(event, Connected):
                if not self._connected.done():
                    self._connected.set_result(None)
            else:
                self._finish(event)

    def _accept(self, stream_id: int) -> None:
        stream = self.streams[stream_id] = QuicStream(self, stream_id)
        if self._on_stream is None:
            stream.reset()
        else:
            self._on_stream(stream)

    def _arm_timer(self) -> None:
        if self._lost is not None:
            return
        due = self.engine.next_timeout()
        if self._keep_alive is not None:
            wake = self._last_heard + self._keep_alive
            due = wake if due is None else min(due, wake)
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # it looks again when it fires, which is cheaper than a new timer each time
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._lost is not None:
            return
        now = self._loop.time() + _CLOCK_RESOLUTION
        due = self.engine.next_timeout()
        if due is not None and due <= now:
            self.engine.handle_timeout(now=now)
            self._dispatch()
        if self._keep_alive is not None and self._last_heard + self._keep_alive <= now:
            self._last_heard = now
            if self.is_connected:
                self.engine.ping()
        self._transmit()

    def _finish(self, closed: Closed, *, in_silence: bool = False) -> None:
        self._lost = _lost(closed)
        # A connection that failed here still has its close frame to send.
        datagrams = () if in_silence else self.engine.datagrams_to_send(now=self._loop.time())
        if datagrams:
            self._send_datagrams(datagrams)
        for handle in (self._timer, self._transmit_handle):
            if handle is not None:
                handle.cancel()
        self._timer = self._transmit_handle = None
        self._touched.clear()
        for stream in list(self.streams.values()):
            stream.handle_lost(self._lost)
        self.streams.clear()
        if not self._connected.done():
            self._connected.set_result(None)
        if not self.closed.done():
            self.closed.set_result(closed)


def _lost(closed: Closed) -> ConnectionLost:
    if closed.idle:
        message = "the peer went silent"
    elif closed.by_peer:
        message = f"the peer closed the connection (code {closed.code}, reason {closed.reason!r})"
    elif closed.code is not None and closed.code:
        message = f"the connection failed (code {closed.code:#x}, {closed.reason!r})"
    else:
        message = "the connection was closed here"
    return ConnectionLost(message, code=closed.code, idle=closed.idle)


_LATE = 1.0  # s; a timer so late means that the loop was stalled
_CLOCK_RESOLUTION = 1e-4  # s; asyncio fires a timer up to one clock tick early
