"""What a person at a terminal sees; `tests/cli/test_run.py` looks at a real one."""

import io
import logging

import pytest
from rich.console import Console

from asgi_quicktunnel.display import open_display
from asgi_quicktunnel.display.base import DisplaySettings
from asgi_quicktunnel.display.json_lines import JsonLines
from asgi_quicktunnel.display.plain import PlainLines
from asgi_quicktunnel.display.terminal import TerminalDisplay

from tests_support import told

DIAGNOSTICS = "http://127.0.0.1:8000/_quicktunnel/"


class Text(io.TextIOWrapper):
    """A stream in memory with an encoding, as a terminal has one."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding)

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


def shown(events, *, width=120, encoding="utf-8", **settings):
    """What is on a terminal of this width after these events; without colours."""
    file = Text(encoding)
    console = Console(file=file, force_terminal=True, width=width, no_color=True, height=60)
    display = TerminalDisplay(DisplaySettings(**settings), {"diagnostics": DIAGNOSTICS}, console)
    for event in events:
        display.show(event)
    display.close()
    return file.text()


@pytest.mark.parametrize(
    ("width", "is_beside", "is_there"), [(120, True, True), (60, False, True), (30, False, False)]
)
def test_the_qr_code_is_there_where_it_fits(width, is_beside, is_there):
    """Beside the panel on a wide terminal, beneath it on a narrower one, else left out."""
    text = shown(told.START, width=width, steps=False)
    assert ("█▀▀▀▀▀█" in text) is is_there
    code_lines = [line for line in text.splitlines() if "█▀▀▀▀▀█" in line]
    assert any("│" in line or "╭" in line or "╰" in line for line in code_lines) is is_beside


def test_no_qr_code_where_it_is_not_wanted_or_can_not_be_written():
    """`--no-qr`, or a terminal without the characters."""
    assert "█" not in shown(told.START, steps=False, qr=False)
    text = shown(told.START, steps=False, encoding="ascii")
    assert told.URL in text


def test_the_panel_says_where_and_how():
    """URL, site, protocol and diagnostics."""
    text = shown(told.START, steps=False, qr=False)
    for part in (told.URL, "lis01 over QUIC", DIAGNOSTICS):
        assert part in text


def test_a_live_display_ends_with_what_was_done():
    """The steps stay on the screen, the cursor comes back, also when it fails half-way."""
    text = shown(told.START[:2])
    assert "edge found: 2 addresses (0.10 s)" in text
    assert "connecting to the edge" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_request_costs_a_line_unless_quiet():
    """As in plain lines."""
    assert "GET     /a%20b 404 12 ms PT" in shown([told.REQUEST], steps=False)
    assert shown([told.REQUEST], steps=False, quiet=True) == ""
    (line,) = shown(told.START, steps=False, again=True).splitlines()
    assert f"public at {told.URL}" in line


def test_handlers_of_the_log_get_their_streams_back():
    """While the display is live what they write goes above it; afterwards all is as before."""
    handler = logging.StreamHandler()
    before = handler.stream
    logger = logging.getLogger("tests.display")
    logger.addHandler(handler)
    try:
        shown(told.START)
        assert handler.stream is before
    finally:
        logger.removeHandler(handler)


def test_what_fits_standard_output_is_chosen(capsys):
    """JSON if asked for, plain lines where no terminal is."""
    assert isinstance(open_display(DisplaySettings(json=True), {}), JsonLines)
    assert isinstance(open_display(DisplaySettings(), {}), PlainLines)
    assert capsys.readouterr().out == ""
