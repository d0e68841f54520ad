"""How a command ends."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click

from asgi_quicktunnel.errors import ConfigError, QuickTunnelError

__all__ = ["CUT_SHORT", "FAILED", "log_to_standard_error", "run_to_end"]


def run_to_end(command: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run and exit; what a user's mistake causes is one line on standard error.

    Args:
        command: makes a coroutine that returns the exit status.
    """
    try:
        status = asyncio.run(command())
    except KeyboardInterrupt:
        status = CUT_SHORT
    except ConfigError as exc:
        click.echo(f"error: {exc}", err=True)
        status = USAGE
    except QuickTunnelError as exc:
        click.echo(f"error: {exc}", err=True)
        status = FAILED
    sys.exit(status)


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
    """`warning: the message`, as click writes errors."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


class _StandardError(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is at that moment: a live display replaces it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


FAILED = 1
USAGE = 2  # as click
CUT_SHORT = 130  # 128 + SIGINT, as shells say it
