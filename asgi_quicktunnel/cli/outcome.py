"""How a command ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click

from asgi_quicktunnel.display.log import log_to_standard_error
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


FAILED = 1
USAGE = 2  # as click
CUT_SHORT = 130  # 128 + SIGINT, as shells say it
