"""One engine with its clock, which the loop works, and another thread while the loop can't.

Whoever works it holds the lock, for no call into the app: the guard's thread takes it while the
loop is stalled (engine-notes.md §4), and the handshake is done in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from asgi_quicktunnel.transport.clock import clock
from asgi_quicktunnel.transport.engine import EngineEvent, QuicEngine
from asgi_quicktunnel.transport.handshake import HandshakeStep

__all__ = ["TimedEngine"]


class TimedEngine:
    """Receives, runs due timers and keeps the connection alive; the time is `clock`'s.

    Args:
        engine: a connection that has just begun.
        keep_alive: seconds of silence after which a PING is sent; None sends none.

    Attributes:
        engine: to be used under the lock.
        lock: held while the engine works.
        armed: when the loop promised to look at the timers, in seconds of `clock`.
        is_connected: whether the handshake is complete and the connection not over.
    """

    def __init__(self, engine: QuicEngine, *, keep_alive: float | None) -> None:
        self.engine = engine
        self.lock = threading.Lock()
        self.armed = clock()
        self.is_connected = False
        self._keep_alive = keep_alive
        self._last_heard = self.armed

    def receive(self, datagrams: Sequence[bytes]) -> list[EngineEvent]:
        """Take UDP payloads; what came of them."""
        with self.lock:
            self._receive(datagrams, clock())
            return self.engine.poll_events(_EVENTS_PER_TURN)

    def poll(self) -> list[EngineEvent]:
        """Events that wait to be told of, as many as suit one turn of the loop."""
        with self.lock:
            return self.engine.poll_events(_EVENTS_PER_TURN)

    def settle(self) -> tuple[list[EngineEvent], float | None]:
        """What a transmit has left to do: events, and when on `clock` the next timer is due."""
        with self.lock:
            events = self.engine.poll_events(_EVENTS_PER_TURN)
            due = self.engine.next_timeout()
        if self._keep_alive is not None:
            wake = self._last_heard + self._keep_alive
            due = wake if due is None else min(due, wake)
        return events, due

    def run_due(self) -> None:
        """Run the timers that are due."""
        with self.lock:
            self._run_due(clock() + _CLOCK_RESOLUTION)

    def step(self, datagrams: Sequence[bytes]) -> HandshakeStep:
        """All of the engine's work, in the thread of a handshake."""
        with self.lock:
            to_send = self._work(datagrams)
            events = self.engine.poll_events(_EVENTS_PER_TURN)
            return HandshakeStep(events, to_send, self.engine.next_timeout())

    def serve_stalled(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        """The loop's work while the loop is stalled: what to send.

        Events stay in the engine until the loop is back.
        """
        with self.lock:
            return self._work(datagrams) if self.is_connected else ()

    def close_stalled(self) -> Sequence[bytes]:
        """Close without the loop, which is gone for good: what to send."""
        with self.lock:
            if not self.is_connected:
                return ()
            self.is_connected = False
            self.engine.close(0, "")
            return self.engine.datagrams_to_send(now=clock())

    def disown(self) -> None:
        """Be of no use any more, in a forked child: the connection is the parent's."""
        self.is_connected = False
        if self.lock.locked():  # by a thread that only the parent has
            self.lock.release()

    def _work(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        now = clock()
        self._receive(datagrams, now)
        self._run_due(now + _CLOCK_RESOLUTION)
        return self.engine.datagrams_to_send(now=now)

    def _receive(self, datagrams: Sequence[bytes], now: float) -> None:
        engine = self.engine
        if self.armed + _LATE < now:
            # Due timers first, or a backlog restarts the idle timer of a dead connection.
            due = engine.next_timeout()
            if due is not None and due + _LATE < now:
                engine.handle_timeout(now=now)
        if datagrams:
            self._last_heard = now
            engine.receive_datagrams(datagrams, now=now)

    def _run_due(self, now: float) -> None:
        due = self.engine.next_timeout()
        if due is not None and due <= now:
            self.engine.handle_timeout(now=now)
        if self._keep_alive is not None and self._last_heard + self._keep_alive <= now:
            self._last_heard = now
            if self.is_connected:
                self.engine.ping()


_LATE = 1.0  # s; a timer so late means that the loop was stalled
_EVENTS_PER_TURN = 256  # not all of a large backlog, or it stalls the loop
_CLOCK_RESOLUTION = 1e-4  # s; asyncio fires a timer up to one clock tick early
