"""A kept request sent to the origin once more."""

import asyncio
import contextvars

import pytest

from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.inspector.record import RecordState
from asgi_quicktunnel.inspector.replay import Replayer, why_not_replayable
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin

from tests_support.recorded import exchange, request

pytestmark = pytest.mark.anyio

MINE = contextvars.ContextVar("MINE", default="nobody's")


class Seen:
    """An app that notes what it was asked, and says it back."""

    def __init__(self):
        self.requests = []

    async def __call__(self, scope, receive, send):
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.requests.append((scope, body, MINE.get()))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Hanging:
    """An app that answers half, and then waits; `began` says how often it was called."""

    def __init__(self):
        self.began = 0
        self.changed = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.began += 1
        self.changed.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.get_running_loop().create_future()

    async def wait_called(self, times):
        async with asyncio.timeout(5):
            while self.began < times:
                self.changed.clear()
                await self.changed.wait()


def replayer(app, **options):
    store = RequestStore(**options.pop("limits", {}))
    return Replayer(AsgiOrigin(app, emit=lambda event: None), store, **options), store


async def refused(replaying):
    with pytest.raises(ReplayError) as caught:
        await replaying
    return caught.value.status


async def test_the_app_is_asked_once_more():
    """With the same head and body, and a mark; the result is a record beside the original."""
    app = Seen()
    replaying, store = replayer(app)
    head = request("POST", b"/a?b=1", [(b"cookie", b"c=1")], body=b"question")
    original = await exchange(head, store=store, body=b"question")
    record = await replaying.replay(original.id, Edits())
    ((scope, body, _),) = app.requests
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/a", b"b=1")
    assert (b"x-quicktunnel-replay", b"1") in scope["headers"]
    assert (b"cookie", b"c=1") in scope["headers"]
    assert body == b"question"
    assert (record.id, record.replay_of, record.status) == ("2", "1", 201)
    assert (record.state, record.response_body) == (RecordState.DONE, b"question")
    assert (record.request_body, record.received) == (b"question", 8)
    assert store.get("2") is record
    assert original.replay_of is None


async def test_a_replay_can_be_replayed():
    """It names the one that it repeats, not the first."""
    app = Seen()
    replaying, store = replayer(app)
    await exchange(store=store)
    await replaying.replay("1", Edits())
    assert (await replaying.replay("2", Edits())).replay_of == "2"
    marks = [dict(scope["headers"])[b"x-quicktunnel-replay"] for scope, _, _ in app.requests]
    assert marks == [b"1", b"2"]


async def test_edits_are_sent():
    """In place of what was there."""
    app = Seen()
    replaying, store = replayer(app)
    await exchange(store=store)
    edits = Edits(method="PUT", path="/b?c", headers=(("x", "y"),), body=b"answer" * 50_000)
    await replaying.replay("1", edits)
    ((scope, body, _),) = app.requests
    assert (scope["method"], scope["path"], scope["query_string"]) == ("PUT", "/b", b"c")
    assert (b"x", b"y") in scope["headers"]
    assert body == b"answer" * 50_000


async def test_it_runs_in_the_context_of_the_tunnel():
    """What the page's own request has set in its context is not the replay's."""
    app = Seen()
    replaying, store = replayer(app)
    await exchange(store=store)
    MINE.set("the page's")
    await replaying.replay("1", Edits())
    assert app.requests[0][2] == "nobody's"


async def test_an_unknown_one():
    """Was never there, or had to make room."""
    replaying, _ = replayer(Seen())
    assert await refused(replaying.replay("1", Edits())) == 404


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"end": None}, "it is not over yet"),
        ({"head": request(kind=RequestKind.WEBSOCKET), "status": 101}, "a conversation"),
        ({"head": request(kind=RequestKind.TCP), "status": 502}, "no HTTP request"),
        ({"body": b"longer than is kept"}, "not all of its body"),
        ({"head": request("POST", headers=[(b"content-length", b"5")])}, "not all of its body"),
    ],
)
async def test_what_can_not_be_repeated(made, reason):
    """It is said why, and nothing is sent."""
    app = Seen()
    replaying, store = replayer(app, limits={"max_body": 10})
    record = await exchange(store=store, **made)
    assert reason in why_not_replayable(record)
    assert await refused(replaying.replay(record.id, Edits())) == 409
    assert app.requests == []
    assert len(store.records()) == 1


async def test_another_body_makes_up_for_one_that_is_not_known():
    """But not for a conversation."""
    app = Seen()
    replaying, store = replayer(app, limits={"max_body": 10})
    await exchange(store=store, body=b"longer than is kept")
    await replaying.replay("1", Edits(body=b"new"))
    assert app.requests[0][1] == b"new"
    await exchange(request(kind=RequestKind.WEBSOCKET), store=store, status=101)
    assert await refused(replaying.replay("3", Edits(body=b"new"))) == 409


async def test_one_that_was_reset_can_be_repeated():
    """The visitor left, but the request was whole."""
    app = Seen()
    replaying, store = replayer(app)
    await exchange(store=store, end="reset")
    assert (await replaying.replay("1", Edits())).status == 201


async def test_one_that_hangs_is_cut_off():
    """Its record is a reset, and room is made for the next."""
    app = Hanging()
    replaying, store = replayer(app, timeout=0.05, at_once=1)
    await exchange(store=store)
    for number in ("2", "3"):
        assert await refused(replaying.replay("1", Edits())) == 504
        assert store.get(number).state is RecordState.RESET


async def test_only_so_many_at_once():
    """The next is refused until one has ended; and the end of the tunnel ends them."""
    app = Hanging()
    replaying, store = replayer(app, at_once=2)
    await exchange(store=store)
    running = [asyncio.create_task(replaying.replay("1", Edits())) for _ in range(2)]
    await app.wait_called(2)
    assert await refused(replaying.replay("1", Edits())) == 429
    await replaying.aclose()
    assert [await refused(each) for each in running] == [503, 503]
    assert {record.state for record in store.records()} == {RecordState.DONE, RecordState.RESET}


async def test_who_asked_and_went_takes_it_along():
    """A cancelled caller leaves nothing running."""
    app = Hanging()
    replaying, store = replayer(app, at_once=1)
    await exchange(store=store)
    task = asyncio.create_task(replaying.replay("1", Edits()))
    await app.wait_called(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = store.get("2")
    async with asyncio.timeout(5):
        while record.state is RecordState.OPEN:
            await store.wait_changed(store.revision)
    assert record.state is RecordState.RESET


async def test_an_endless_answer_does_not_hold_up_the_loop():
    """Others have their turn while it is sent, and it ends in time."""

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})

    replaying, store = replayer(endless, timeout=0.05)
    await exchange(store=store)
    assert await refused(replaying.replay("1", Edits())) == 504
    assert store.get("2").sent > len(store.get("2").response_body) - 1 > 0
