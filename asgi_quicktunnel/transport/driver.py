"""One engine on an event loop: its timer, its streams, one transmit per turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from asgi_quicktunnel.errors import ConnectionLost
from asgi_quicktunnel.transport.clock import clock
from asgi_quicktunnel.transport.engine import (
    Closed,
    Connected,
    EngineEvent,
    EngineStatistics,
    QuicEngine,
    Readable,
    StreamOpened,
    StreamReset,
    StreamStopped,
    Writable,
)
from asgi_quicktunnel.transport.handshake import ThreadedHandshake
from asgi_quicktunnel.transport.quic_stream import QuicStream
from asgi_quicktunnel.transport.timed_engine import TimedEngine

__all__ = ["EngineDriver"]


class EngineDriver:
    """Drives one engine, either side; whoever owns the socket hands datagrams in and out.

    Args:
        engine: a connection that has just begun.
        send_datagrams: called with the UDP payloads of one transmit.
        on_stream: called with each stream that the peer opens, when its first bytes can be read.
        on_batch_end: called when all that came together has been told of.
        keep_alive: seconds of silence after which a PING is sent; None sends none.
    """

    def __init__(
        self,
        engine: QuicEngine,
        *,
        send_datagrams: Callable[[Sequence[bytes]], None],
        on_stream: Callable[[QuicStream], None] | None = None,
        on_batch_end: Callable[[], None] | None = None,
        keep_alive: float | None = 1.0,
    ) -> None:
        self.streams: dict[int, QuicStream] = {}
        self._timed = TimedEngine(engine, keep_alive=keep_alive)
        self._engine = engine
        self._lock = self._timed.lock
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self._send_datagrams = send_datagrams
        self._on_stream = on_stream
        self._on_batch_end = on_batch_end
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._lost: ConnectionLost | None = None
        self._touched: dict[QuicStream, None] = {}
        self._due: asyncio.Handle | None = None  # of the next transmit
        self._dispatching = 0  # events, those that are being told of now
        self._owes = True  # a transmit, after what is being dispatched
        self._handshake: ThreadedHandshake | None = None  # while it is done in a thread
        self._timer: asyncio.TimerHandle | None = None
        self.wakeups = 0
        self.schedule_transmit()

    async def wait_connected(self) -> None:
        """Wait for the handshake.

        Raises:
            ConnectionLost: the connection ended before it was complete.
        """
        await asyncio.shield(self._connected)
        if self._lost is not None:
            raise self._lost

    async def handshake(self, executor: Executor) -> None:
        """Do the handshake in a thread, and wait for it.

        What the peer presents is verified against all trust roots, which takes aioquic tens of
        milliseconds: too long for the loop of an app. Called before anything has arrived.

        Args:
            executor: where the engine works; nothing else touches it meanwhile.

        Raises:
            ConnectionLost: the connection ended before it was complete.
        """
        handshake = self._handshake = ThreadedHandshake(self._timed.step, executor)
        try:
            while not self._connected.done():
                events, to_send = await handshake.step()
                if to_send and self._lost is None:
                    self._send_datagrams(to_send)
                self._dispatch(events)
                self.schedule_transmit()
        finally:
            self._handshake = None
        if self._lost is not None:
            raise self._lost
        self.datagrams_received(handshake.unread)

    @property
    def lost(self) -> ConnectionLost | None:
        """What ended the connection, or None while it lives."""
        return self._lost

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is complete and the connection not over."""
        return self._timed.is_connected

    @property
    def armed(self) -> float:
        """When the timer is looked at next, on `clock`."""
        return self._timed.armed

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Take what one wake-up of the socket brought."""
        if self._lost is not None:
            return
        self.wakeups += 1
        if self._handshake is not None:
            self._handshake.datagrams_received(datagrams)
            return
        events = self._timed.receive(datagrams)
        # Transmit after the tasks that this starts, so that what they say first goes with it. One
        # that is due already would go before them: uvloop reads sockets before it runs those.
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._owes = True
        try:
            self._dispatch(events)
        finally:
            if self._owes or self._touched or self._lost is not None:
                self.schedule_transmit()
            else:
                self._settle(clock())

    def open_stream(self) -> QuicStream:
        """Open a bidirectional stream.

        Raises:
            ConnectionLost: the connection is over.
        """
        if self._lost is not None:
            raise self._lost
        with self._lock:
            stream_id = self._engine.open_stream()
        stream = self.streams[stream_id] = QuicStream(self, stream_id)
        return stream

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close with an application code and say so to the peer at once; harmless when over."""
        if self._lost is None:
            with self._lock:
                self._engine.close(code, reason)
            self._transmit_now()
            while self._lost is None and (events := self._timed.poll()):
                self._dispatch(events)  # what stood before the close in the queue
            if self._lost is None:
                self._finish(Closed(code=code, reason=reason))

    def abandon(self) -> None:
        """Forget the connection without a word to the peer."""
        if self._lost is None:
            self._finish(Closed(code=None, reason="abandoned"), in_silence=True)

    def leave(self) -> None:
        """Send what is due, then nothing more; the peer hears of no end until it is idle."""
        self._transmit()
        self.abandon()

    def statistics(self) -> EngineStatistics:
        """A snapshot."""
        with self._lock:
            return self._engine.statistics()

    def touch(self, stream: QuicStream) -> None:
        """Flush the stream in the next transmit."""
        self._touched[stream] = None
        if self._due is None:
            self.schedule_transmit()

    def schedule_transmit(self) -> None:
        """Transmit before the loop sleeps again."""
        if self._dispatching:
            self._owes = True
        elif self._due is None and self._lost is None:
            self._due = self._loop.call_soon(self._transmit)

    def transmit_early(self) -> None:
        """An answer is complete: transmit at once if the end of the turn would be late.

        When no other stream is under way, nothing could go along, and the peer need not wait for
        what the task of this stream still has to tidy up. When many answers wait, the peer can work
        on them while we go on, rather than after us.
        """
        is_alone = len(self.streams) <= _ALONE and self._dispatching < 2
        if not is_alone and len(self._touched) < _MANY:
            return
        if self._dispatching:
            # In a task that was started eagerly. What `_settle` finds must not overtake what is
            # being dispatched.
            self._owes = False
            self._send_due(clock())
            return
        if self._due is not None:  # `_transmit_now` without its call
            self._due.cancel()
        self._transmit()

    def read(self, stream: QuicStream, max_bytes: int) -> tuple[bytes, bool]:
        """Take data of a stream, and with it grant credit."""
        with self._lock:
            data, end = self._engine.read(stream.stream_id, max_bytes)
        # Credit may be due.
        if self._dispatching:  # `schedule_transmit` without its call
            self._owes = True
        elif data:
            self.schedule_transmit()
        return data, end

    def reset(self, stream: QuicStream, code: int) -> None:
        """Give up the sending half of a stream."""
        with self._lock:
            self._engine.reset(stream.stream_id, code)
        self.schedule_transmit()

    def stop(self, stream: QuicStream, code: int) -> None:
        """Give up the receiving half of a stream."""
        with self._lock:
            self._engine.stop(stream.stream_id, code)
        self.schedule_transmit()

    def forget(self, stream: QuicStream) -> None:
        """Both halves of the stream are over."""
        self.streams.pop(stream.stream_id, None)

    def serve_stalled(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        """Do the loop's work from another thread while the loop is stalled.

        Events stay in the engine until `resume` runs on the loop.

        Args:
            datagrams: what the socket holds.

        Returns:
            What to send.
        """
        return self._timed.serve_stalled(datagrams)

    def close_stalled(self) -> Sequence[bytes]:
        """Close without the loop, which is gone for good; what to send."""
        to_send = self._timed.close_stalled()
        self._lost = self._lost or Closed(code=0, reason="").as_error()
        return to_send

    def disown(self) -> None:
        """Never send again, in a forked child: the connection is the parent's."""
        self._timed.disown()
        self._lost = ConnectionLost("the connection belongs to the parent process")

    def resume(self) -> None:
        """Take up the work again; called on the loop, after a stall."""
        self.wakeups += 1
        if self._lost is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dispatch(self._timed.poll())
        self._transmit_now()

    def _transmit(self) -> None:
        self._due = None
        if self._lost is not None:
            return
        if self._handshake is not None:
            self._handshake.wake()
            return
        self.wakeups += 1
        now = clock()
        self._send_due(now)
        self._settle(now)

    def _send_due(self, now: float) -> None:
        """Flush what was touched, and send."""
        engine = self._engine
        touched, self._touched = self._touched, {}
        with self._lock:
            for stream in touched:
                stream.flush(engine)
            datagrams = engine.datagrams_to_send(now=now)
        if datagrams:
            self._send_datagrams(datagrams)

    def _settle(self, now: float) -> None:
        """What follows a transmit, and would have held it up."""
        events, due = self._timed.settle()
        if events:
            self._dispatch(events)
            self.schedule_transmit()
        self._arm_timer(due, now)

    def _transmit_now(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._transmit()

    def _dispatch(self, events: Sequence[EngineEvent]) -> None:
        """Tell the streams; app code may run in here, so the lock is not held."""
        streams = self.streams
        outer, self._dispatching = self._dispatching, len(events)
        try:
            for event in events:
                if self._lost is not None:
                    break
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
                    self._timed.is_connected = True
                    if not self._connected.done():
                        self._connected.set_result(None)
                else:
                    self._finish(event)
            if self._on_batch_end is not None:
                self._on_batch_end()
        finally:
            self._dispatching = outer

    def _accept(self, stream_id: int) -> None:
        stream = self.streams[stream_id] = QuicStream(self, stream_id)
        if self._on_stream is None:
            stream.reset()
        else:
            self._on_stream(stream)

    def _arm_timer(self, due: float | None, now: float) -> None:
        if due is None or self._lost is not None:
            return
        if self._timer is not None:
            if self._timed.armed <= due:
                return  # it looks again when it fires, which is cheaper than a new timer each time
            self._timer.cancel()
        self._timed.armed = due
        self._timer = self._loop.call_later(max(0.0, due - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._lost is not None:
            return
        self._timed.run_due()
        self._transmit_now()

    def _finish(self, closed: Closed, *, in_silence: bool = False) -> None:
        self._lost = closed.as_error()
        self._timed.is_connected = False
        # A connection that failed here still has its close frame to send.
        if not in_silence:
            with self._lock:
                datagrams = self._engine.datagrams_to_send(now=clock())
            if datagrams:
                self._send_datagrams(datagrams)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._touched.clear()
        for stream in list(self.streams.values()):
            stream.handle_lost(self._lost)
        self.streams.clear()
        if not self._connected.done():
            self._connected.set_result(None)
        if not self.closed.done():
            self.closed.set_result(closed)


_ALONE = 2  # streams: one, and the control stream
_MANY = 16  # streams; fewer suit 16 requests at a time, more suit 64: it does well at both
