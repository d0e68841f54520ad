"""Events as JSON lines."""

import json
import typing

import pytest

from asgi_quicktunnel.display.json_lines import JsonLines, as_object
from asgi_quicktunnel.events import Event

from tests_support import told

SHAPES = [
    (told.PROVISIONED, {"event": "provisioned", "url": told.URL, "elapsed": 0.8}),
    (
        told.DISCOVERED,
        {
            "event": "discovered",
            "addresses": ["198.51.100.7:7844", "[2001:db8::7]:7844"],
            "elapsed": 0.1,
        },
    ),
    (
        told.DIALLED,
        {
            "event": "dialled",
            "conn_index": 0,
            "address": "198.51.100.7:7844",
            "protocol": "quic",
            "elapsed": 0.05,
        },
    ),
    (
        told.REGISTERED,
        {
            "event": "registered",
            "conn_index": 0,
            "address": "198.51.100.7:7844",
            "colo": "lis01",
            "elapsed": 0.25,
        },
    ),
    (told.READY, {"event": "ready", "url": told.URL, "doubt": None, "leads": True}),
    (told.LOST, {"event": "lost", "conn_index": 1, "address": None, "cause": "no answer"}),
    (
        told.RECONNECTING,
        {"event": "state", "state": "reconnecting", "cause": "no answer", "since": 5.0},
    ),
    (
        told.REQUEST,
        {
            "event": "request",
            "conn_index": 1,
            "method": "GET",
            "path": "/a%20b",
            "status": 404,
            "elapsed": 0.0123,
            "received": 3,
            "sent": 5,
            "country": "PT",
        },
    ),
    (told.DRAINING, {"event": "draining", "requests": 2, "grace_period": 30.0}),
    (told.DRAINED, {"event": "drained", "unfinished": 1}),
]


@pytest.mark.parametrize(("event", "shape"), SHAPES, ids=lambda value: type(value).__name__)
def test_each_event_has_its_shape(event, shape, capsys):
    """One line, an object, with the name, the time and the members that the README lists."""
    JsonLines(quiet=False, clock=lambda: 1000.5).show(event)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"time": 1000.5, **shape}


def test_no_event_is_left_out():
    """Whatever a tunnel may tell has a name of its own."""
    assert {type(event) for event, _ in SHAPES} == set(typing.get_args(Event))
    assert len({as_object(event)[0] for event, _ in SHAPES}) == len(SHAPES)


def test_quiet_leaves_the_requests_out(capsys):
    """Everything else is written."""
    lines = JsonLines(quiet=True)
    lines.show(told.REQUEST)
    lines.show(told.DRAINED)
    assert json.loads(capsys.readouterr().out)["event"] == "drained"
