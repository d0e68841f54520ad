"""A record as JSON types."""

import json

import pytest

from asgi_quicktunnel.diagnostics.record_view import describe, summarize
from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts

from tests_support.recorded import exchange, request

pytestmark = pytest.mark.anyio

TOLD = [(b"cf-connecting-ip", b"203.0.113.7"), (b"cf-ipcountry", b"PT"), (b"cf-ray", b"1-LIS")]


async def test_a_summary():
    """Everything that a line of a list needs."""
    head = request("POST", b"https://a.example/x%20y?b=1#c", TOLD, body=b"abc", host=b"")
    record = await exchange(
        head,
        body=b"abc",
        status=201,
        headers=[(b"content-type", b"text/plain")],
        answer=[b"ab", b"c"],
        facts=ConnectionFacts(2, "lis01", replay_of="7"),
    )
    summary = summarize(record)
    assert 0 <= summary.pop("first_byte") <= summary.pop("elapsed")
    assert summary.pop("started") == record.started
    assert summary == {
        "id": "1",
        "kind": "http",
        "method": "POST",
        "path": "/x%20y",
        "query": "b=1",
        "host": "a.example",
        "status": 201,
        "state": "done",
        "received": 3,
        "sent": 3,
        "content_type": "text/plain",
        "visitor": "203.0.113.7",
        "country": "PT",
        "ray_id": "1-LIS",
        "conn_index": 2,
        "colo": "lis01",
        "replay_of": "7",
    }


async def test_an_open_one():
    """What is not known yet is null."""
    described = describe(await exchange(status=None, end=None), [], Redaction(), None)
    for key in ("status", "first_byte", "elapsed", "content_type", "visitor", "response", "frames"):
        assert described[key] is None
    assert (described["state"], described["replayable"]) == ("open", False)
    assert described["why_not"] == "it is not over yet"


async def test_all_that_is_known():
    """Headers and query as pairs, bodies, snippets, and what repeats it."""
    head = request("POST", b"/?a=1&b=%C3%A9&a=", [(b"x", b"1"), (b"x", b"2")], body=b"abc")
    record = await exchange(head, body=b"abc", headers=[(b"y", b"3")], answer=[b"ok"])
    repeat = await exchange()
    described = describe(record, [repeat], Redaction(), "https://b.example")
    assert described["version"] == 1
    assert described["replays"] == [repeat.id]
    assert (described["replayable"], described["why_not"]) == (True, None)
    assert described["request"]["headers"] == [("x", "1"), ("x", "2"), ("content-length", "3")]
    assert described["request"]["query"] == [("a", "1"), ("b", "é"), ("a", "")]
    assert described["request"]["body"]["text"] == "abc"
    assert described["response"]["headers"] == [("y", "3")]
    assert described["response"]["body"]["text"] == "ok"
    assert described["curl"].startswith("curl 'https://b.example/?a=1")
    assert "https://b.example/?a=1" in described["httpx"]
    assert described.items() >= summarize(record).items()


async def test_a_websocket():
    """It has frames, and no snippets."""
    record = await exchange(request(kind=RequestKind.WEBSOCKET), status=101)
    described = describe(record, [], Redaction(), None)
    assert (described["kind"], described["frames"], described["curl"]) == ("websocket", [], None)
    assert not described["replayable"]


@pytest.mark.parametrize(
    ("dest", "method", "host"),
    [
        (b"nonsense\x00", "GET", b"a"),
        (b"", "G\nT", b"\xff\n"),
        (b"/\xff?\xff\x1b[0m", "GET", b"a b"),
        (b"http://user:secret@a.example/", "GET", b""),
    ],
)
async def test_what_is_malformed_is_shown_all_the_same(dest, method, host):
    """Printable, and without what might be a password."""
    record = await exchange(RequestHead(RequestKind.HTTP, dest, method, host, []), status=400)
    described = describe(record, [], Redaction(), None)
    shown = json.dumps([described[key] for key in ("method", "path", "query", "host")])
    assert "secret" not in shown
    assert "\\u" not in shown
    assert "\\n" not in shown.replace("\\\\n", "")
