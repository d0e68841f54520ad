"""The end of the interpreter, heard while threads and event loops can still be used."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["call_at_end"]


def call_at_end(callback: Callable[[], object]) -> None:
    """Call `callback` in a thread once the main thread has ended; the interpreter waits for it.

    `atexit` is too late for what must be closed before other threads can end: it comes after they
    were waited for.
    """

    def wait() -> None:
        threading.main_thread().join()
        callback()

    threading.Thread(target=wait, name="quicktunnel-end", daemon=False).start()
