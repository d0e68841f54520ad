"""The end of the interpreter, heard while threads and event loops can still be used."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  # its own end is to come after ours
import threading
from collections.abc import Callable

__all__ = ["call_at_end"]


def call_at_end(callback: Callable[[], object]) -> None:
    """Call `callback` once the main thread has nothing left to do; the interpreter waits for it.

    `atexit` is too late for what must be closed before other threads can end: it comes after they
    were waited for, and after thread pools have stopped taking work. Requests that are still under
    way need those: Django runs async views in one, and sync views of an ASGI server.

    Raises:
        RuntimeError: the interpreter is ending already.
    """
    # Private, and what concurrent.futures itself is ended by; what was registered last comes first.
    threading._register_atexit(callback)  # type: ignore[attr-defined]
