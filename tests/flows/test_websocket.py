"""A WebSocket over QUIC: handshake, messages, and every way it can end."""

import asyncio
import contextlib
import os
from contextlib import asynccontextmanager

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import StreamReset
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.protocol.datastream import AnswerReader, encode_request

from tests_support.raw_edge import connected
from tests_support.tunnelled import tunnelled
from tests_support.websocket_visitor import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    TEXT,
    VisitorSocket,
    raw_frame,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MIB = 1 << 20


class Echo:
    """Echoes messages, answers GET with "fine", and notes each disconnect."""

    def __init__(self):
        self.ends = asyncio.Queue()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"fine"})
            return
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.ends.put_nowait((message["code"], message["reason"]))


class Caller:
    """A visitor's WebSocket on a stream of the raw edge."""

    def __init__(self, stream, visitor, rest):
        self.stream = stream
        self.visitor = visitor
        self.rest = rest
        self.ended = False

    async def say(self, *messages):
        await self.stream.send(self.visitor.say(*messages))

    async def hear(self, count=1):
        """The messages so far, once there are so many."""
        while len(self.visitor.messages) < count:
            await self.listen()
        return self.visitor.messages

    async def listen(self):
        """Take the next bytes and answer them."""
        data, self.rest = self.rest or await self.stream.receive(), b""
        self.ended = not data
        self.visitor.receive(data)
        if answer := self.visitor.data_to_send():
            await self.stream.send(answer)
        if self.visitor.closed_with is not None:
            await self.stream.send_eof()

    async def hear_end(self):
        """Listen to the end of the stream; the Close that came, as (code, reason)."""
        while not self.ended:
            await self.listen()
        return self.visitor.closed_with


async def call(edge, *, dest=b"/ws", **options):
    """Ask for a WebSocket; the accepted one."""
    visitor = VisitorSocket(**options)
    head = RequestHead(RequestKind.WEBSOCKET, dest, "GET", b"raw.example", visitor.handshake)
    stream = await edge.send_raw(encode_request(head))
    reader = AnswerReader()
    while (answer := reader.receive_data(await stream.receive())) is None:
        pass
    assert answer.status == 101, answer
    visitor.accept(answer.headers)
    return Caller(stream, visitor, reader.rest)


@asynccontextmanager
async def echoing():
    """An echo app and an edge to reach it by; afterwards the connection still serves."""
    app = Echo()
    async with connected(app) as (edge, connection):
        yield edge, app
        with anyio.fail_after(10):
            head, body = await edge.ask("/")
        assert (head.status, body) == (200, b"fine")
        assert len(edge.drivers) == 1
        with anyio.fail_after(10):
            while connection.requests:
                await asyncio.sleep(0)


@pytest.mark.parametrize("deflate", [None, True], ids=["plain", "deflate"])
async def test_messages_are_echoed(deflate):
    """Text and binary, small and large, whole and in fragments, compressed or not."""
    said = ["", "é€😀", b"\0\xff", os.urandom(300_000), "x" * 300_000]
    async with echoing() as (edge, app):
        caller = await call(edge, deflate=deflate)
        await caller.say(*said)
        await caller.stream.send(caller.visitor.say_in_fragments(os.urandom(5000), 999))
        assert (await caller.hear(6))[:5] == said
        await caller.stream.send(caller.visitor.bid_farewell(1000, "bye"))
        assert await caller.hear_end() == (1000, "bye")
        assert await app.ends.get() == (1000, "bye")


async def test_a_thousand_messages_keep_their_order():
    """Many small ones at once come back in order."""
    said = [str(number) for number in range(1000)]
    async with echoing() as (edge, _):
        caller = await call(edge)
        await caller.say(*said)
        assert await caller.hear(1000) == said
        await caller.stream.send(caller.visitor.bid_farewell())
        await caller.hear_end()


async def test_a_ping_is_answered():
    """The pong has what the ping had."""
    async with echoing() as (edge, _):
        caller = await call(edge)
        await caller.stream.send(raw_frame(PING, b"are you there"))
        while not caller.visitor.pongs:
            await caller.listen()
        assert caller.visitor.pongs == [b"are you there"]
        caller.stream.reset(0)


async def test_the_apps_close_arrives_whole():
    """Last message, code and reason, then the end of the stream."""

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(MIB)})
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})

    async with connected(app) as (edge, _):
        caller = await call(edge)
        assert await caller.hear_end() == (4000, "enough")
        assert caller.visitor.messages == [bytes(MIB)]


@pytest.mark.parametrize("way", ["reset", "stop", "end"])
async def test_an_abrupt_end_is_1006(way):
    """RESET_STREAM, STOP_SENDING or a bare FIN of the edge: the app is told at once."""
    async with echoing() as (edge, app):
        caller = await call(edge)
        await caller.say("x")
        await caller.hear()
        if way == "reset":
            caller.stream.reset(0)
        elif way == "stop":
            caller.stream.stop(0)
        else:
            await caller.stream.send_eof()
        with anyio.fail_after(5):
            assert await app.ends.get() == (1006, "")


async def test_a_lost_connection_is_1006():
    """When the connection beneath ends, each WebSocket on it is told."""
    app = Echo()
    async with connected(app) as (edge, _):
        for _ in range(5):
            await call(edge)
        edge.driver.close()
        with anyio.fail_after(5):
            for _ in range(5):
                assert await app.ends.get() == (1006, "")


async def test_draining_closes_with_1012():
    """At shutdown a WebSocket gets 1012 and the end of its stream, and the app is told."""
    app = Echo()
    async with connected(app) as (edge, connection):
        caller = await call(edge)
        await caller.say("x")
        await caller.hear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection._plan.origin.drain)
            assert await caller.hear_end() == (1012, "")
        assert await app.ends.get() == (1012, "")
        with anyio.fail_after(5):
            await connection.wait_idle()


HOSTILE = {
    "unmasked": (raw_frame(TEXT, b"x", masked=False), 1002),
    "a reserved bit": (raw_frame(TEXT, b"x", reserved=2), 1002),
    "an oversized ping": (raw_frame(PING, b"x" * 126), 1002),
    "a continuation of nothing": (raw_frame(CONT, b"x"), 1002),
    "a close code of 1006": (raw_frame(CLOSE, b"\x03\xee"), 1002),
    "noise": (bytes(range(100, 200)), 1002),
    "bad UTF-8": (raw_frame(TEXT, b"\xff"), 1007),
    "a frame of 8 EiB": (raw_frame(BINARY, b"x", length=(1 << 63) - 1), 1009),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_broken_rule_costs_one_websocket(what):
    """Close code, disconnect and end of the stream; the same connection serves on."""
    wire, code = HOSTILE[what]
    async with echoing() as (edge, app):
        caller = await call(edge)
        await caller.say("before")
        assert await caller.hear() == ["before"]
        await caller.stream.send(wire)
        closed_with = await caller.hear_end()
        assert closed_with[0] == code
        assert await app.ends.get() == closed_with


@pytest.mark.parametrize(
    ("deflate", "content"), [(None, "noise"), (True, "noise"), (True, "zeros")]
)
async def test_sixteen_mib_pass_and_one_byte_more_closes_with_1009(deflate, content):
    """The limit is exact, compressed or not, and whatever compression makes of it."""
    size = 16 * MIB
    lengths = []
    ends = asyncio.Queue()

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await Echo()(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            lengths.append(len(message["bytes"]))
            await send({"type": "websocket.send", "text": str(len(message["bytes"]))})
        ends.put_nowait(message["code"])

    data = bytes(size + 1) if content == "zeros" else os.urandom(size + 1)
    async with connected(app) as (edge, _):
        caller = await call(edge, deflate=deflate)
        await caller.say(data[:size])
        assert await caller.hear() == [str(size)]
        wire = caller.visitor.say(data)
        async with anyio.create_task_group() as tasks:

            async def say():
                with contextlib.suppress(StreamReset):  # refused before all of it was taken
                    await caller.stream.send(wire)

            tasks.start_soon(say)
            assert (await caller.hear_end())[0] == 1009
        assert await ends.get() == 1009
        assert lengths == [size]
        head, body = await edge.ask("/")
        assert (head.status, body) == (200, b"fine")


async def test_a_slow_visitor_makes_the_app_wait():
    """An app that sends without end is held after a bounded number of bytes."""
    sent = 0
    over = asyncio.Event()

    async def app(scope, receive, send):
        nonlocal sent
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
                sent += 65536
        except OSError:
            over.set()

    async with connected(app) as (edge, _):
        caller = await call(edge)
        before = -1
        with anyio.fail_after(20):
            while before != sent:
                before = sent
                await anyio.sleep(0.3)  # long enough for whatever could still move
        assert sent < 16 * MIB
        caller.stream.reset(0)
        with anyio.fail_after(5):
            await over.wait()


async def test_a_slow_app_makes_the_visitor_wait():
    """An app that does not receive takes no more than the windows of stream and connection."""
    go = asyncio.Event()
    received = 0

    async def app(scope, receive, send):
        nonlocal received
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            received += len(message["bytes"])

    async with connected(app) as (edge, _):
        caller = await call(edge)
        sent = 0

        async def pour():
            nonlocal sent
            for _ in range(20 * 16):
                await caller.say(bytes(65536))
                sent += 65536
            await caller.stream.send(caller.visitor.bid_farewell())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pour)
            before = -1
            with anyio.fail_after(20):
                while before != sent:
                    before = sent
                    await anyio.sleep(0.3)  # long enough for whatever could still move
            assert sent < 16 * MIB
            go.set()
        await caller.hear_end()
        assert received == 20 * MIB


async def test_many_websockets_share_one_connection():
    """A hundred at once each get their own echo, beside ordinary requests."""
    async with echoing() as (edge, app):
        callers = [await call(edge) for _ in range(100)]
        for number, caller in enumerate(callers):
            await caller.say(str(number))
        for number, caller in enumerate(callers):
            assert await caller.hear() == [str(number)]
        head, body = await edge.ask("/")
        assert (head.status, body) == (200, b"fine")
        for caller in callers:
            await caller.stream.send(caller.visitor.bid_farewell())
        for _ in callers:
            assert await app.ends.get() == (1000, "")


async def test_a_denial_arrives_as_an_answer():
    """Before the handshake is accepted the app may refuse it with any response."""

    async def app(scope, receive, send):
        await send(
            {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"1")]}
        )
        await send({"type": "websocket.http.response.body", "body": b"who are you"})

    async with connected(app) as (edge, _):
        headers = VisitorSocket().handshake
        head, body = await edge.ask("/ws", headers=headers, end=False, kind=RequestKind.WEBSOCKET)
        assert (head.status, list(head.headers), body) == (401, [(b"a", b"1")], b"who are you")


def visit(edge, tunnel, **options):
    """A WebSocket to the tunnel; its name is looked up by nobody."""
    host, port = edge.address
    uri = tunnel.url.replace("http", "ws", 1)
    return connect(uri, host=host, port=port, proxy=None, **options)


async def test_the_limit_is_an_option():
    """`websocket_max_message_size` is what a message may have, to the byte."""
    async with (
        tunnelled(Echo(), websocket_max_message_size=10) as (edge, tunnel, _),
        visit(edge, tunnel) as socket,
    ):
        await socket.send("x" * 10)
        assert await socket.recv() == "x" * 10
        await socket.send("x" * 11)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1009


async def test_the_pings_are_an_option():
    """A visitor who answers no ping gets 1011 after the times that the options say."""
    options = {"websocket_ping_interval": 0.1, "websocket_ping_timeout": 0.1}
    async with tunnelled(Echo(), **options) as (edge, tunnel, _):
        visitor = VisitorSocket(uri=tunnel.url.replace("http", "ws", 1))
        reader, writer = await asyncio.open_connection(*edge.address)
        fields = "".join(f"{name}: {value}\r\n" for name, value in visitor.fields)
        writer.write(f"GET /ws HTTP/1.1\r\n{fields}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        while data := await reader.read(1000):
            visitor.receive(data)
        assert visitor.pings
        assert visitor.closed_with == (1011, "keepalive ping timeout")
        writer.close()
        await writer.wait_closed()


async def test_a_tunnel_that_closes_says_so_to_whoever_would_stay():
    """At shutdown WebSockets get 1012, event-streams end whole, and an answer is finished."""
    begun = asyncio.Semaphore(0)
    go = asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await Echo()(scope, receive, send)
            return
        kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        begun.release()
        await go.wait()
        await send({"type": "http.response.body", "body": b"the rest"})

    answers = {}
    ended = {"/events": asyncio.Event(), "/file": asyncio.Event()}

    async def read(client, path):
        answers[path] = (await client.get(path)).text
        ended[path].set()

    async with (
        LocalEdge() as edge,
        QuickTunnel(app, edge.config(ha_connections=1)) as tunnel,
        edge.httpx_client(base_url=tunnel.url) as client,
        visit(edge, tunnel) as socket,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read, client, "/events")
        tasks.start_soon(read, client, "/file")
        await begun.acquire()
        await begun.acquire()
        tasks.start_soon(tunnel.aclose)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1012
        with anyio.fail_after(10):
            await ended["/events"].wait()
        assert answers == {"/events": "data: 1\n\n"}
        go.set()
    assert answers["/file"] == "data: 1\n\nthe rest"
