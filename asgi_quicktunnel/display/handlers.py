"""The log's handlers, while a live display owns the terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

__all__ = ["RedirectedHandlers"]


class RedirectedHandlers:
    """Sends what handlers write to the terminal above the live display, and back afterwards.

    A live display replaces sys.stdout and sys.stderr; handlers made before it still hold the old
    ones, and would write into the middle of it.
    """

    def __init__(self) -> None:
        self._held: list[tuple[logging.StreamHandler[Any], Any]] = []

    def redirect(self) -> None:
        """Point the handlers of every logger at the streams that are in place now."""
        now = {id(sys.__stdout__): sys.stdout, id(sys.__stderr__): sys.stderr}
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        for logger in loggers:
            for handler in getattr(logger, "handlers", ()):  # a placeholder has none
                if type(handler) is logging.StreamHandler and id(handler.stream) in now:
                    self._held.append((handler, handler.stream))
                    handler.setStream(now[id(handler.stream)])

    def restore(self) -> None:
        """Give each handler its own stream back."""
        held, self._held = self._held, []
        for handler, stream in held:
            handler.setStream(stream)
