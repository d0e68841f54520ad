"""What a display is, and how it was asked for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Protocol

from asgi_quicktunnel.events import Event

__all__ = ["Display", "DisplaySettings", "Lines"]


@dataclass(frozen=True, slots=True)
class DisplaySettings:
    """How to show a tunnel.

    Attributes:
        json: JSON lines instead of text.
        quiet: no line for each request.
        qr: a QR code of the URL where there is room for it.
        steps: the way up, step by step; of no use where several processes go it side by side.
        again: whether the same app was shown before, so that one line is enough.
    """

    json: bool = False
    quiet: bool = False
    qr: bool = True
    steps: bool = True
    again: bool = False


class Display(Protocol):
    """Shows one tunnel."""

    def show(self, event: Event) -> None:
        """Hear of an event; a listener of `QuickTunnel.add_listener`."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was; harmless when repeated."""
        ...


class Lines:
    """Standard output, line by line; quiet for ever once nobody reads it."""

    def __init__(self) -> None:
        self._is_open = True

    def write(self, line: str) -> None:
        """Write one line, at once."""
        if not self._is_open:
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self._is_open = False
            # What is still buffered would make the interpreter complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
