"""Keeps connections alive while the event loop is blocked (engine-notes.md §4).

The edge drops a connection after 5 s of silence, and QUIC lives on the app's event loop. One daemon
thread looks at how late each connection's timer is. Only while a loop is stalled does it do that
loop's QUIC work: receive, acknowledge, keep alive, run timers, send. What arrives meanwhile waits
in the engine, bounded by flow control, and is dispatched when the loop is back.

A C call that holds the GIL stops this thread too: after 5 s of it the connection is lost, and comes
back in the ordinary way.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from typing import Protocol

__all__ = ["Guard", "Guarded", "shared_guard"]

logger = logging.getLogger(__name__)


class Guarded(Protocol):
    """A connection as the guard sees it. Only `resume` is called on the loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it lives on."""
        ...

    @property
    def armed(self) -> float:
        """When the loop promised to look at its timer, in `time.monotonic` seconds."""
        ...

    @property
    def wakeups(self) -> int:
        """How often the loop has worked for it."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to keep alive."""
        ...

    def serve_stalled(self) -> None:
        """Receive, acknowledge, keep alive and send, from the guard's thread."""
        ...

    def resume(self) -> None:
        """Dispatch what came in and arm the timer, on the loop."""
        ...

    def close_stalled(self) -> None:
        """Close from the guard's thread: the loop is gone for good."""
        ...

    def disown(self) -> None:
        """Never send again: this is a forked child, and the connection is the parent's."""
        ...


class Guard:
    """Watches connections from one daemon thread, which runs while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[Guarded, _Watch] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def watch(self, connection: Guarded) -> None:
        """Keep this connection alive from now on."""
        with self._lock:
            self._watched[connection] = _Watch()
            if self._thread is None or not self._thread.is_alive():
                self._stop = threading.Event()
                self._thread = _start(self._run, self._stop)

    def unwatch(self, connection: Guarded) -> None:
        """Leave it alone; the thread ends with the last. Harmless when repeated."""
        with self._lock:
            self._watched.pop(connection, None)
            if not self._watched:
                self._stop.set()

    def close(self) -> None:
        """End the thread and wait for it; connections whose loop is gone are closed."""
        with self._lock:
            self._stop.set()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT)
        for connection in tuple(self._watched):
            with suppress(OSError):
                connection.close_stalled()
        self._watched.clear()

    def disown(self) -> None:
        """Let go of everything, in a forked child: neither thread nor connection is ours."""
        self._lock = threading.Lock()
        watched, self._watched = self._watched, {}
        self._thread = None
        self._stop = threading.Event()
        for connection in watched:
            connection.disown()

    def _run(self, stop: threading.Event) -> None:
        pause = _CHECK_INTERVAL
        while not stop.wait(pause):
            with self._lock:
                watched = tuple(self._watched.items())
            stalled = [self._look(connection, watch) for connection, watch in watched]
            pause = _SERVE_INTERVAL if any(stalled) else _CHECK_INTERVAL

    def _look(self, connection: Guarded, watch: _Watch) -> bool:
        """Serve one connection if its loop is stalled; whether it is."""
        if connection.is_over:
            self.unwatch(connection)
            return False
        if connection.loop.is_closed():
            self.unwatch(connection)
            connection.close_stalled()
            return False
        now = time.monotonic()
        if watch.stalled_at == connection.wakeups:
            connection.serve_stalled()
            return True
        if watch.stalled_at is not None:
            # The loop is back; it needs a moment before its timer says anything about it.
            watch.stalled_at = None
            watch.judge_after = now + _LATE
            logger.info("the event loop was blocked for %.1f s", now - watch.began)
            return False
        if now < watch.judge_after or now - connection.armed < _LATE:
            return False
        watch.stalled_at = connection.wakeups
        watch.began = connection.armed
        with suppress(RuntimeError):  # the loop was closed this moment
            connection.loop.call_soon_threadsafe(connection.resume)
        connection.serve_stalled()
        return True


class _Watch:
    """What the guard remembers of one connection."""

    __slots__ = ("began", "judge_after", "stalled_at")

    def __init__(self) -> None:
        self.stalled_at: int | None = None  # the loop's wake-ups when it was found stalled
        self.judge_after = 0.0
        self.began = 0.0


_shared = Guard()


def shared_guard() -> Guard:
    """The guard of this process."""
    return _shared


def _start(run: object, stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(
        target=run,  # type: ignore[arg-type]  # a bound method of one argument
        args=(stop,),
        name="asgi-quicktunnel-guard",
        daemon=True,
    )
    # debugpy suspends every thread at a breakpoint but those that say so.
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()
    return thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.disown)
atexit.register(_shared.close)

_LATE = 1.0  # s; the keep-alive arms a timer at most 1 s away, so later than that is a stall
_CHECK_INTERVAL = 0.5  # s
_SERVE_INTERVAL = 0.02  # s; between looks at the socket while the loop is stalled
_JOIN_TIMEOUT = 2.0  # s
