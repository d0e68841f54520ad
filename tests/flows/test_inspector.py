"""What came through, kept while it goes on: streams, WebSockets, and switched off."""

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest
from websockets.asyncio.client import connect

from asgi_quicktunnel import QuickTunnel, ReplayError
from asgi_quicktunnel.diagnostics.record_view import describe
from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.inspector.record import RecordState

from tests_support.local_servers import uvicorn_at

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asgi", "proxy"])
def served(request, tunnelled):
    """`async with served(app) as (edge, tunnel, visitor)`, the app in process or beside it."""

    @asynccontextmanager
    async def serve(app, **options):
        if request.param == "asgi":
            async with tunnelled(app, **options) as made:
                yield made
        else:
            async with uvicorn_at(app) as address, tunnelled(address, **options) as made:
                yield made

    return serve


def visit(edge, tunnel, path="/ws", **options):
    """A WebSocket to the tunnel; its name is looked up by nobody."""
    host, port = edge.address
    uri = tunnel.url.replace("http", "ws", 1) + path
    return connect(uri, host=host, port=port, proxy=None, **options)


async def settled(store, condition):
    """Wait until `condition()` holds, looking whenever something that is kept changes."""
    with anyio.fail_after(10):
        while not condition():
            await store.wait_changed(store.revision)


async def test_an_answer_is_not_delayed(served):
    """The first part arrives before the second is sent, and is kept by then."""
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"second"})

    async with served(app) as (_, tunnel, visitor), visitor.stream("GET", "/") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"first"
        (record,) = tunnel.inspector.records()
        assert (record.state, record.response_body) == (RecordState.OPEN, b"first")
        go_on.set()
        assert await anext(parts) == b"second"
        await settled(tunnel.inspector, lambda: record.state is RecordState.DONE)
        assert record.response_body == b"firstsecond"
        assert record.elapsed >= record.first_byte > 0


async def test_an_upload_is_not_delayed(served):
    """The app has the first part before the visitor sends the second."""
    heard = asyncio.Event()

    async def app(scope, receive, send):
        total = b""
        while True:
            message = await receive()
            total += message["body"]
            if total.startswith(b"first"):
                heard.set()
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": total})

    async def parts():
        yield b"first"
        with anyio.fail_after(10):
            await heard.wait()
        yield b"second"

    async with served(app) as (_, tunnel, visitor):
        assert (await visitor.post("/", content=parts())).text == "firstsecond"
        (record,) = tunnel.inspector.records()
        assert (record.request_body, record.is_request_whole) == (b"firstsecond", True)


async def test_large_bodies_pass_whole(served):
    """However little of them is kept."""
    size = 3_000_000

    async def app(scope, receive, send):
        total = 0
        while True:
            message = await receive()
            total += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(total)})

    async with served(app) as (_, tunnel, visitor):
        assert (await visitor.put("/", content=bytes(size))).content == bytes(size)
        (record,) = tunnel.inspector.records()
        assert (record.received, record.sent) == (size, size)
        assert len(record.request_body) == len(record.response_body) == 256 << 10
        assert tunnel.inspector.statistics().bytes < 1 << 20


async def test_a_visitor_who_leaves(served):
    """The record is a reset, with what had passed."""
    began = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        began.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with served(app) as (_, tunnel, visitor):
        async with visitor.stream("GET", "/"):
            await began.wait()
        (record,) = tunnel.inspector.records()
        await settled(tunnel.inspector, lambda: record.state is RecordState.RESET)
        assert (record.status, record.response_body) == (200, b"half")


async def chat(scope, receive, send):
    """Accepts, answers text with text and bytes with bytes, and closes at "bye"."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "said so"})
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": "you said " + message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"] * 2})


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_conversation(served, compression):
    """Both sides' messages are read off what passed, with permessage-deflate and without."""
    async with served(chat) as (edge, tunnel, _):
        async with visit(edge, tunnel, compression=compression) as socket:
            await socket.send("hello " * 20)
            assert await socket.recv() == "you said " + "hello " * 20
            await socket.send([b"\x00", b"\x01"])
            assert await socket.recv() == b"\x00\x01\x00\x01"
            await socket.send("bye")
            await socket.wait_closed()
            assert socket.close_code == 4001
        (record,) = tunnel.inspector.records()
        await settled(tunnel.inspector, lambda: record.state is not RecordState.OPEN)
        described = describe(record, [], Redaction(), tunnel.url)
        frames = [
            (frame["from"], frame["type"], frame["text"] or frame["base64"], frame["code"])
            for frame in described["frames"]
            if frame["type"] not in ("ping", "pong")
        ]
        assert frames == [
            ("visitor", "text", "hello " * 20, None),
            ("app", "text", "you said " + "hello " * 20, None),
            ("visitor", "binary", "AAE=", None),
            ("app", "binary", "AAEAAQ==", None),
            ("visitor", "text", "bye", None),
            ("app", "close", "said so", 4001),
            ("visitor", "close", "said so", 4001),
        ]
        extensions = dict(described["response"]["headers"]).get("sec-websocket-extensions", "")
        assert ("permessage-deflate" in extensions) == (compression == "deflate")
        assert (described["kind"], described["status"]) == ("websocket", 101)
        with pytest.raises(ReplayError) as caught:
            await tunnel.replay(record.id)
        assert caught.value.status == 409


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_switched_off_nothing_is_kept(served):
    """Nor does anything stand between the edge and the app."""
    async with served(hello, inspect=False) as (_, tunnel, visitor):
        assert (await visitor.get("/")).text == "hello"
        assert tunnel.inspector is None
        assert tunnel._inspection.origin is tunnel._origin
        with pytest.raises(ReplayError):
            await tunnel.replay("1")


async def test_the_proof_of_the_url_is_not_kept(tunnelled):
    """The request by which the tunnel finds that it works is none of a visitor."""
    async with tunnelled(hello) as (_, tunnel, visitor):
        assert tunnel.url is not None
        assert tunnel.inspector.records() == []
        await visitor.get("/")
        assert len(tunnel.inspector.records()) == 1


async def test_the_end_of_the_tunnel_cuts_off_a_replay():
    """The app's own shutdown comes after; whoever asked for the replay is told."""
    asked = asyncio.Event()

    async def app(scope, receive, send):
        headers = dict(scope["headers"])
        if b"x-quicktunnel-replay" in headers:
            asked.set()
            await asyncio.get_running_loop().create_future()
        await hello(scope, receive, send)

    with anyio.fail_after(30):
        async with LocalEdge() as edge:
            async with (
                QuickTunnel(app, edge.config(ha_connections=1)) as tunnel,
                edge.httpx_client(base_url=tunnel.url) as visitor,
            ):
                await visitor.get("/")
                replaying = asyncio.create_task(tunnel.replay("1"))
                await asked.wait()
            with pytest.raises(ReplayError) as caught:
                await replaying
            assert caught.value.status == 503
            assert tunnel.inspector.get("2").state is RecordState.RESET
