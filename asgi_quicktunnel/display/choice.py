"""Which display it is."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from asgi_quicktunnel.display.base import Display, DisplaySettings
from asgi_quicktunnel.display.json_lines import JsonLines
from asgi_quicktunnel.display.plain import PlainLines
from asgi_quicktunnel.display.terminal import TerminalDisplay

__all__ = ["open_display"]


def open_display(settings: DisplaySettings, facts: Mapping[str, str]) -> Display:
    """Open what fits standard output: JSON lines if asked for, else a terminal's or plain lines.

    Args:
        settings: how it was asked for.
        facts: what else to say of the tunnel, by a word for each; programs learn it otherwise.
    """
    if settings.json:
        return JsonLines(quiet=settings.quiet)
    console = Console(highlight=False)
    if console.is_terminal:
        return TerminalDisplay(settings, facts, console)
    return PlainLines(settings, facts)
