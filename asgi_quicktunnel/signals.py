"""A further Ctrl-C, heard while a server waits for us."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["on_interrupt"]


@contextmanager
def on_interrupt(callback: Callable[[], object], *, spares_sigterm: bool = False) -> Iterator[None]:
    """Call `callback` in the running event loop at each SIGINT or SIGTERM inside the block.

    Servers keep a second signal to themselves while they wait for the lifespan, so the handler
    stands before theirs, calls theirs too, and is taken out afterwards. A handler that somebody
    else put in place meanwhile stays. A signal whose default action ends the process keeps it.
    Outside the main thread, where Python sets no handlers, the block runs without one.

    Args:
        callback: called without arguments, by the loop and not within the signal handler.
        spares_sigterm: whether the first SIGTERM is not counted. A supervisor sends one to its
            workers up to half a second after the terminal's Ctrl-C reached them: it says the same
            thing, and must not pass for a second Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous: dict[int, Any] = {}
    spared = {signal.SIGTERM} if spares_sigterm else set()

    def handle(signum: int, frame: FrameType | None) -> None:
        if signum in spared:
            spared.clear()
        else:
            loop.call_soon_threadsafe(callback)
        before = previous[signum]
        if callable(before):  # SIG_IGN is not
            before(signum, frame)

    for signum in _SIGNALS:
        before = signal.getsignal(signum)
        if before is None or before is signal.SIG_DFL:
            continue
        previous[signum] = before
        signal.signal(signum, handle)
    try:
        yield
    finally:
        for signum, before in previous.items():
            if signal.getsignal(signum) is handle:
                signal.signal(signum, before)


_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Windows' Ctrl-Break
    if hasattr(signal, name)
)
