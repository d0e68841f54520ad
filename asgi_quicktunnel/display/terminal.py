"""What a person at a terminal sees: the steps as they are done, a panel, a line a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from asgi_quicktunnel.display.base import DisplaySettings
from asgi_quicktunnel.display.handlers import RedirectedHandlers
from asgi_quicktunnel.display.qr import qr_lines
from asgi_quicktunnel.display.sentences import about_request, about_step, about_trouble
from asgi_quicktunnel.display.steps import Steps
from asgi_quicktunnel.events import Event, RequestDone, StateChanged, TunnelReady, TunnelState

__all__ = ["TerminalDisplay"]


class TerminalDisplay:
    """Steps with a spinner while the tunnel starts, then a panel, then a line for each request.

    Args:
        settings: how it was asked for.
        facts: what else to say of the tunnel, by a word for each.
        console: the terminal.
    """

    def __init__(
        self, settings: DisplaySettings, facts: Mapping[str, str], console: Console
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._console = console
        self._steps = Steps()
        self._live: Live | None = None
        self._handlers = RedirectedHandlers()
        if settings.steps and not settings.again:
            self._begin()

    def show(self, event: Event) -> None:
        """Draw what the event changes."""
        if isinstance(event, RequestDone):
            if not self._settings.quiet:
                at = datetime.now()
                self._print(Text(about_request(event, at), style=_style(event.status)))
            return
        self._steps.on_event(event, now=time.monotonic())
        if self._live is not None:
            self._live.update(self._progress())
        if isinstance(event, TunnelReady):
            self.close()
            if event.leads:  # of several workers one says it
                self._announce(event.url)
        elif isinstance(event, StateChanged) and event.state in _OVER:
            self.close()
        elif trouble := about_trouble(event, is_starting=self._steps.current is not None):
            self._print(Text(trouble, style="yellow"))

    def close(self) -> None:
        """End the spinner, and give the log its streams back; harmless when repeated."""
        if self._live is not None:
            live, self._live = self._live, None
            live.update(self._progress(is_over=True))
            live.stop()
            self._handlers.restore()

    def _begin(self) -> None:
        self._live = Live(self._progress(), console=self._console, refresh_per_second=12)
        self._live.start()
        self._handlers.redirect()

    def _progress(self, *, is_over: bool = False) -> RenderableType:
        lines: list[RenderableType] = [
            Text(f"  {about_step(done)}", style="dim") for done in self._steps.done
        ]
        current = self._steps.current
        if current is not None:
            text = Text(f"{current.value} ..", style="dim" if is_over else "")
            name = "dots" if self._console.encoding.startswith("utf") else "line"
            lines.append(Text(f"  {text.plain}") if is_over else Spinner(name, text))
        return Group(*lines)

    def _announce(self, url: str) -> None:
        if self._settings.again:
            self._print(Text(f"public at {url}", style="bold green"))
            return
        facts = Table.grid(padding=(0, 2))
        if self._steps.colo:
            facts.add_row("edge", f"{self._steps.colo} over {self._steps.protocol.upper()}")
        for word, fact in self._facts.items():
            facts.add_row(word, fact)
        address = Text(url, style=f"bold green link {url}", no_wrap=True, overflow="fold")
        panel = Panel.fit(Group(address, "", facts), title="public", border_style="green")
        self._print(self._with_qr(panel, url))

    def _with_qr(self, panel: Panel, url: str) -> RenderableType:
        """The panel, with a QR code beside or beneath it where the terminal is wide enough."""
        if not self._settings.qr or not self._console.encoding.startswith("utf"):
            return panel
        lines = qr_lines(url)
        width = self._console.width
        if len(lines[0]) > width:
            return panel
        code = Text("\n".join(lines), style="black on white", no_wrap=True)
        needed = self._console.measure(panel).maximum + len(lines[0]) + _GAP
        return Columns([panel, code], padding=(0, _GAP)) if needed <= width else Group(panel, code)

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, soft_wrap=isinstance(what, Text), highlight=False)


def _style(status: int | None) -> str:
    if status is None or status >= 500:
        return "red"
    return "yellow" if status >= 400 else ""


_GAP = 2  # columns between panel and QR code
_OVER = (TunnelState.FAILED, TunnelState.STOPPED)
