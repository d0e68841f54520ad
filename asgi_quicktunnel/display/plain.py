"""Lines of text, for where no terminal is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from asgi_quicktunnel.display.base import DisplaySettings, Lines
from asgi_quicktunnel.display.sentences import about_request, about_step, about_trouble
from asgi_quicktunnel.display.steps import Steps
from asgi_quicktunnel.events import Event, RequestDone, TunnelReady

__all__ = ["PlainLines"]


class PlainLines:
    """A line for each step, one for the URL, one for each request.

    Args:
        settings: how it was asked for.
        facts: what else to say of the tunnel, by a word for each.
    """

    def __init__(self, settings: DisplaySettings, facts: Mapping[str, str]) -> None:
        self._settings = settings
        self._facts = facts
        self._steps = Steps()
        self._lines = Lines()

    def show(self, event: Event) -> None:
        """Write what there is to say of the event."""
        write = self._lines.write
        if isinstance(event, RequestDone):
            if not self._settings.quiet:
                write(about_request(event, datetime.now()))
            return
        done = self._steps.on_event(event, now=time.monotonic())
        if done is not None and self._settings.steps and not self._settings.again:
            write(about_step(done))
        if isinstance(event, TunnelReady) and event.leads:
            write(f"public at {event.url}")
            if not self._settings.again:
                for word, fact in self._facts.items():
                    write(f"{word}: {fact}")
        elif trouble := about_trouble(event, is_starting=self._steps.current is not None):
            write(trouble)

    def close(self) -> None:
        """Nothing is left to do."""
