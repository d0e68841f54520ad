"""What a page is told, and what it is not told twice."""

import pytest

from asgi_quicktunnel.diagnostics.feed import Feed
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import ResponseHead

from tests_support.recorded import exchange

anyio_test = pytest.mark.anyio


async def began(store):
    """A request that has come, and no answer yet."""
    return await exchange(store=store, status=None, end=None)


def ids(message):
    return [summary["id"] for summary in message["requests"]]


def test_a_status_is_told_once():
    """The same status again is no message, another one is."""
    feed = Feed()
    assert list(feed.on_status({"state": "starting"})) == [
        {"type": "status", "status": {"state": "starting"}}
    ]
    assert list(feed.on_status({"state": "starting"})) == []
    assert list(feed.on_status({"state": "ready"})) != []


def traffic(until, *counts):
    return {"version": 1, "until": until, "counts": list(counts)}


def test_only_seconds_that_differ_are_told():
    """Time that passes moves every offset, and tells nothing by itself."""
    feed = Feed()
    (first,) = feed.on_traffic(traffic(100, [-5, 0, 1], [0, 2, 0]))
    assert first == {
        "type": "traffic",
        "reset": True,
        "traffic": traffic(100, [-5, 0, 1], [0, 2, 0]),
    }
    assert list(feed.on_traffic(traffic(101, [-6, 0, 1], [-1, 2, 0]))) == []
    (second,) = feed.on_traffic(traffic(102, [-7, 0, 1], [-2, 3, 0], [-1, 1, 0]))
    assert second == {
        "type": "traffic",
        "reset": False,
        "traffic": traffic(102, [-2, 3, 0], [-1, 1, 0]),
    }


def test_no_traffic_is_told_too():
    """A page that comes before the first visitor learns that there was none."""
    feed = Feed()
    assert [message["reset"] for message in feed.on_traffic(traffic(100))] == [True]
    assert list(feed.on_traffic(traffic(101))) == []


@anyio_test
async def test_all_requests_come_first_then_those_that_changed():
    """A change of one record tells of that one alone, with what is so by then."""
    store, feed = RequestStore(), Feed()
    one, two = await began(store), await began(store)
    (first,) = feed.on_requests(store)
    assert (first["reset"], first["oldest"], ids(first)) == (True, "1", ["2", "1"])
    assert list(feed.on_requests(store)) == []
    await one.respond(ResponseHead(404, []))
    await one.send_eof()
    (second,) = feed.on_requests(store)
    assert (second["reset"], ids(second)) == (False, ["1"])
    assert (second["requests"][0]["status"], second["requests"][0]["state"]) == (404, "done")
    await two.respond(ResponseHead(200, []))
    three = await began(store)
    (third,) = feed.on_requests(store)
    assert ids(third) == [three.id, two.id]
    assert first["revision"] < second["revision"] < third["revision"] == store.revision


@anyio_test
async def test_what_a_page_missed_is_one_message():
    """However many changes there were since the last message, each record comes once."""
    store, feed = RequestStore(), Feed()
    list(feed.on_requests(store))
    for _ in range(100):
        await exchange(store=store, answer=[b"x"] * 10)
    (message,) = feed.on_requests(store)
    assert ids(message) == [str(number) for number in range(100, 0, -1)]
    assert {summary["sent"] for summary in message["requests"]} == {10}


@anyio_test
async def test_what_left_the_store_is_known_by_the_oldest():
    """Records that made room, or were cleared, are told of by the id that comes first now."""
    store, feed = RequestStore(max_records=2), Feed()
    await began(store)
    list(feed.on_requests(store))
    await began(store)
    await began(store)
    (message,) = feed.on_requests(store)
    assert (message["oldest"], ids(message)) == ("2", ["3", "2"])
    store.clear()
    (message,) = feed.on_requests(store)
    assert (message["reset"], message["oldest"], ids(message)) == (False, None, [])


def test_without_a_store_the_page_is_told_so_once():
    """Where nothing is kept, one message says it."""
    feed = Feed()
    (message,) = feed.on_requests(None)
    assert (message["inspecting"], message["reset"], message["requests"]) == (False, True, [])
    assert list(feed.on_requests(None)) == []
