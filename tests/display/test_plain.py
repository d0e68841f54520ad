"""Lines of text, for where no terminal is."""

import re
from dataclasses import replace

from asgi_quicktunnel.display.base import DisplaySettings
from asgi_quicktunnel.display.plain import PlainLines

from tests_support import told


def lines(capsys, events, **settings):
    facts = {"diagnostics": "http://127.0.0.1:8000/_quicktunnel/"}
    display = PlainLines(DisplaySettings(**settings), facts)
    for event in events:
        display.show(event)
    display.close()
    return capsys.readouterr().out.splitlines()


def test_the_way_up(capsys):
    """A line a step, then the URL and the diagnostics."""
    assert lines(capsys, told.START)[:-3] == [
        f"tunnel given out: {told.URL} (0.80 s)",
        "edge found: 2 addresses (0.10 s)",
        "edge reached: 198.51.100.7:7844 over QUIC (0.05 s)",
        "registered: lis01 (0.20 s)",
    ]
    assert lines(capsys, told.START)[-2:] == [
        f"public at {told.URL}",
        "diagnostics: http://127.0.0.1:8000/_quicktunnel/",
    ]


def test_after_a_reload_one_line_is_enough(capsys):
    """The URL alone, once it works."""
    assert lines(capsys, told.START, again=True) == [f"public at {told.URL}"]


def test_beside_other_processes_there_are_no_steps(capsys):
    """Whoever announces the URL says it all; four workers would say four times as much."""
    first, *_ = lines(capsys, told.START, steps=False)
    assert first == f"public at {told.URL}"


def test_a_worker_that_does_not_lead_says_nothing_of_the_url(capsys):
    """The one that leads has said it."""
    follower = replace(told.READY, leads=False)
    assert lines(capsys, [follower], steps=False) == []


def test_requests(capsys):
    """Time, method, path, status, milliseconds and country; "-" for what is not known."""
    first, second = lines(capsys, [told.REQUEST, told.RESET])
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET     /a%20b 404 12 ms PT", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST    / - 1000 ms -", second)
    assert lines(capsys, [told.REQUEST], quiet=True) == []


def test_trouble_and_the_end(capsys):
    """Losses, what is waited for, and what was cut off."""
    assert lines(capsys, [told.LOST]) == ["connection 1: no answer; it is tried again"]
    assert lines(capsys, [told.RECONNECTING]) == ["reconnecting: no answer"]
    said = lines(capsys, [told.DRAINING, told.DRAINED])
    assert said == [
        "stopping: waiting for 2 open requests, for 30 s at most; Ctrl-C again cuts them off",
        "cut off: 1 request",
    ]
    assert (
        lines(capsys, [replace(told.DRAINING, requests=0), replace(told.DRAINED, unfinished=0)])
        == []
    )
