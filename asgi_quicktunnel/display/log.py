"""The package's log, for who runs a command and set no logging up."""

from __future__ import annotations

import logging
import sys
from typing import Any

__all__ = ["log_to_standard_error"]


def log_to_standard_error(level: int = logging.WARNING) -> None:
    """Show what the package logs, unless somebody has set logging up already."""
    logger = logging.getLogger("asgi_quicktunnel")
    if not logger.hasHandlers():
        handler = _StandardError()
        handler.setLevel(level)
        handler.setFormatter(_Formatter())
        logger.addHandler(handler)
        logger.setLevel(level)


class _Formatter(logging.Formatter):
    """`warning: the message`, as commands write errors."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


class _StandardError(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is at that moment: a live display replaces it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr
