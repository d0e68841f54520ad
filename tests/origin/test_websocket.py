import asyncio
import gc
import logging
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.websocket_link import (
    VisitorLeft,
    WebSocketLink,
    WebSocketSettings,
)

from tests_support.visit import FACTS, HOST, Visit
from tests_support.websocket_visitor import TEXT, VisitorSocket, raw_frame

pytestmark = pytest.mark.anyio

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
DENIED = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
LOST = DENIED
QUIET = WebSocketSettings(ping_interval=None)
HASTY = WebSocketSettings(ping_interval=None, close_timeout=0.01)


def disconnect(code, reason=""):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def deny(status, headers=(), **more):
    return {
        "type": "websocket.http.response.start",
        "status": status,
        "headers": list(headers),
        **more,
    }


def denial_body(data=b"", **more):
    return {"type": "websocket.http.response.body", "body": data, **more}


class Talk(Visit):
    """A visitor who asks for a WebSocket; `visitor` is its protocol."""

    def __init__(self, app, *, headers=(), deflate=None, subprotocols=None, settings=QUIET, **more):
        self.visitor = VisitorSocket(deflate=deflate, subprotocols=subprotocols)
        super().__init__(
            app,
            dest=more.pop("dest", b"https://" + HOST + b"/ws"),
            headers=[*self.visitor.handshake, *headers],
            kind=RequestKind.WEBSOCKET,
            websocket=settings,
            **more,
        )
        self._taken = 0

    @asynccontextmanager
    async def open(self):
        """Serve; the block runs once the handshake was accepted."""
        async with self.running() as stream:
            await stream.until(lambda: stream.response)
            assert stream.response.status == 101
            self.visitor.accept(stream.response.headers)
            yield self
            while not stream.ended and stream.reset_code is None:
                self.listen()
                await stream.until(
                    lambda: (
                        len(stream.sent) > self._taken
                        or stream.ended
                        or stream.reset_code is not None
                    )
                )
            self.listen()

    def say(self, *messages):
        self.stream.feed(self.visitor.say(*messages))

    def listen(self):
        """Let the visitor take what was sent, and answer as its protocol does."""
        data = bytes(self.stream.sent[self._taken :])
        self._taken += len(data)
        if data:
            self.visitor.receive(data)
        if answer := self.visitor.data_to_send():
            self.stream.feed(answer)

    async def hear(self, count):
        """Listen until there are so many messages."""
        while len(self.visitor.messages) < count:
            await self.stream.until(lambda: len(self.stream.sent) > self._taken)
            self.listen()
        return self.visitor.messages

    async def hear_close(self):
        """Listen until the connector's Close; its code and reason."""
        while self.visitor.closed_with is None:
            await self.stream.until(lambda: len(self.stream.sent) > self._taken)
            self.listen()
        return self.visitor.closed_with


class Log(list):
    """What an app received."""

    async def until_disconnect(self, receive):
        while not self or self[-1]["type"] != "websocket.disconnect":
            self.append(await receive())
        return self


def sends(*messages):
    """An app that takes the connect, sends these and is done."""

    async def app(scope, receive, send):
        assert await receive() == CONNECT
        for message in messages:
            await send(message)

    return app


def listener(log, *, accept=ACCEPT):
    """An app that accepts and notes what comes, to the end."""

    async def app(scope, receive, send):
        log.append(await receive())
        await send(accept)
        await log.until_disconnect(receive)

    return app


async def echo(scope, receive, send):
    assert await receive() == CONNECT
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


# The scope


async def test_the_scope_is_that_of_a_websocket():
    """Type, scheme, subprotocols and extensions are a WebSocket's; there is no method."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    headers = [
        (b"cf-connecting-ip", b"2001:db8::7"),
        (b"cf-ray", b"8d1f0e2b3c4d5e6f-LIS"),
        (b"x-forwarded-proto", b"https"),
        (b"cookie", b"a=1"),
        (b"cf-cloudflared-proxy-connection-upgrade", b"websocket"),
    ]
    talk = Talk(
        app,
        dest=b"/chat%20room?x=%20",
        headers=headers,
        subprotocols=["chat", "superchat"],
        root_path="/sub",
    )
    talk.origin.state["pool"] = pool = object()
    await talk.run()

    (scope,) = scopes
    assert "method" not in scope
    fixed = {key: scope[key] for key in scope if key not in ("headers", "asgi_quicktunnel")}
    assert fixed == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/sub/chat room",
        "raw_path": b"/sub/chat%20room",
        "query_string": b"x=%20",
        "root_path": "/sub",
        "client": ("2001:db8::7", 0),
        "server": (HOST.decode(), 443),
        "subprotocols": ["chat", "superchat"],
        "state": {"pool": pool},
        "extensions": {
            "websocket.http.response": {},
            "quicktunnel": {
                "colo": "bog01",
                "ray_id": "8d1f0e2b3c4d5e6f-LIS",
                "country": None,
                "conn_index": 1,
            },
        },
    }
    seen = dict(scope["headers"])
    assert scope["headers"][0] == (b"host", HOST)
    assert seen[b"cookie"] == b"a=1"
    assert seen[b"sec-websocket-version"] == b"13"
    assert (seen[b"upgrade"], seen[b"connection"]) == (b"websocket", b"Upgrade")
    assert b"sec-websocket-key" in seen
    assert b"cf-cloudflared-proxy-connection-upgrade" not in seen


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [(b"http", "ws"), (b"https", "wss"), (b"ws", "ws"), (b"wss", "wss"), (b"x", "wss")],
)
async def test_the_scheme_is_ws_or_wss(proto, scheme):
    """http is ws and https is wss, and a visitor of unknown origin came over TLS."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["scheme"])

    await Talk(app, headers=[(b"x-forwarded-proto", proto)]).run()

    assert seen == [scheme]


async def test_a_version_that_was_not_taken_off_is_not_put_back():
    """An edge that leaves Sec-WebSocket-Version alone does not make two of them."""
    seen = []

    async def app(scope, receive, send):
        seen.extend(scope["headers"])

    await Talk(app, headers=[(b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")]).run()

    assert seen.count((b"sec-websocket-version", b"13")) == 1
    assert seen.count((b"upgrade", b"websocket")) == 1


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"headers": [(b"sec-websocket-key", b"x")]}, b"Sec-WebSocket-Key"),
        ({"method": "POST"}, b"the WebSocket handshake is no GET"),
        ({"host": b"a b"}, b"the Host is malformed"),
    ],
)
async def test_a_malformed_handshake_is_a_400(request_, sentence):
    """The visitor sees 400 and why; the app does not see the request."""
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    talk = await Talk(app, **request_).run()

    assert talk.status == 400
    assert sentence in talk.body
    assert talk.stream.complete
    assert not called
    assert talk.done.status == 400


# The handshake


async def test_an_accepted_handshake_is_a_101_with_all_its_headers():
    """Status 101, Upgrade, Connection and the accept key, as an origin behind cloudflared says."""
    talk = Talk(echo)
    async with talk.open():
        assert talk.headers[b"connection"] == b"Upgrade"
        assert talk.headers[b"upgrade"] == b"websocket"
        assert len(talk.headers) == 3
        talk.stream.feed(talk.visitor.bid_farewell())

    assert talk.done.status == 101


async def test_the_app_chooses_subprotocol_and_headers():
    """Both are in the 101; names in lower case, values byte for byte, repetition kept."""
    accept = {
        **ACCEPT,
        "subprotocol": "superchat",
        "headers": [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=\xff"), (b"Server", b"mine")],
    }
    talk = Talk(listener(Log(), accept=accept), subprotocols=["chat", "superchat"])
    async with talk.open():
        assert talk.visitor.protocol.subprotocol == "superchat"
        talk.stream.feed(talk.visitor.bid_farewell())

    assert talk.stream.response.headers[-3:] == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=\xff"),
        (b"server", b"mine"),
    ]


async def test_headers_of_the_hop_are_not_the_apps():
    """What it says of connection, coding or length is left out of a 101."""
    names = (b"Connection", b"Upgrade", b"Transfer-Encoding", b"Content-Length")
    talk = Talk(listener(Log(), accept={**ACCEPT, "headers": [(name, b"7") for name in names]}))
    async with talk.open():
        assert len(talk.headers) == 3
        talk.stream.feed(talk.visitor.bid_farewell())


@pytest.mark.parametrize(
    ("accept", "sentence"),
    [
        ({"headers": [(b"sec-websocket-accept", b"x")]}, "is not the app's"),
        ({"headers": [(b"Sec-WebSocket-Extensions", b"x")]}, "is not the app's"),
        ({"headers": [(b"a b", b"x")]}, "Invalid HTTP header name"),
        ({"headers": [(b"a", b"x\r\ny: z")]}, "Invalid HTTP header value"),
        ({"subprotocol": "x\r\ny: z"}, "Invalid HTTP header value"),
    ],
)
async def test_an_accept_that_http_does_not_allow_is_an_error_in_the_app(accept, sentence, caplog):
    """The visitor sees 500, the log what was wrong."""
    talk = await Talk(sends({**ACCEPT, **accept})).run()

    assert talk.status == 500
    assert sentence in caplog.text


@pytest.mark.parametrize("subprotocol", [None, ""])
async def test_no_subprotocol_is_none(subprotocol):
    """Neither None nor an empty one is sent, and `headers` may be None."""
    accept = {**ACCEPT, "subprotocol": subprotocol, "headers": None}
    talk = Talk(listener(Log(), accept=accept))
    async with talk.open():
        assert b"sec-websocket-protocol" not in talk.headers
        talk.stream.feed(talk.visitor.bid_farewell())


# Messages


@pytest.mark.parametrize("deflate", [None, True], ids=["plain", "deflate"])
async def test_messages_pass_both_ways(deflate):
    """Text as str and binary as bytes, in order, whole and in fragments."""
    talk = Talk(echo, deflate=deflate)
    said = ["", "é€😀", b"\0\xff", b"", "x" * 70_000]
    async with talk.open():
        talk.say(*said)
        talk.stream.feed(talk.visitor.say_in_fragments("in parts"))
        assert await talk.hear(6) == [*said, "in parts"]
        talk.stream.feed(talk.visitor.bid_farewell())

    assert talk.done.received == talk.stream.consumed
    assert talk.done.sent == len(talk.stream.sent)


async def test_a_message_is_either_text_or_bytes():
    """`websocket.receive` has one key beside its type, as in uvicorn."""
    log = Log()
    talk = Talk(listener(log))
    async with talk.open():
        talk.say("t", b"b")
        talk.stream.feed(talk.visitor.bid_farewell())

    assert log == [
        CONNECT,
        {"type": "websocket.receive", "text": "t"},
        {"type": "websocket.receive", "bytes": b"b"},
        disconnect(1000),
    ]


@pytest.mark.parametrize(
    ("message", "heard"),
    [
        ({"text": "t"}, "t"),
        ({"text": "t", "bytes": None}, "t"),
        ({"bytes": b"b", "text": None}, b"b"),
        ({"bytes": b"b", "text": "t"}, b"b"),
        ({"bytes": bytearray(b"ab")}, b"ab"),
        ({"bytes": memoryview(b"abc")[::2]}, b"ac"),
    ],
)
async def test_what_an_app_may_send(message, heard):
    """Text, or any bytes-like object, which goes first."""
    talk = Talk(sends(ACCEPT, {"type": "websocket.send", **message}))
    async with talk.open():
        assert await talk.hear(1) == [heard]


@pytest.mark.parametrize(
    "message", [{}, {"bytes": None}, {"text": b"b"}, {"bytes": "t"}, {"bytes": 5}]
)
async def test_what_an_app_may_not_send(message, caplog):
    """Neither text nor bytes is a TypeError, and the visitor sees 1011."""
    talk = Talk(sends(ACCEPT, {"type": "websocket.send", **message}))
    async with talk.open():
        assert await talk.hear_close() == (1011, "")

    assert "TypeError" in caplog.text


async def test_pings_are_answered_while_the_app_is_busy():
    """A pong goes out without the app asking for anything."""
    go = asyncio.Event()

    async def app(scope, receive, send):
        await send(ACCEPT)
        await go.wait()

    talk = Talk(app)
    async with talk.open():
        talk.visitor.protocol.send_ping(b"?")
        talk.listen()
        await talk.stream.until(lambda: talk.stream.sent)
        talk.listen()
        assert talk.visitor.pongs == [b"?"]
        go.set()


async def test_small_messages_of_one_turn_travel_together():
    """Sends do not wait for one another: ten of them are queued before anything else runs."""
    turns = []

    async def app(scope, receive, send):
        await send(ACCEPT)
        asyncio.get_running_loop().call_soon(turns.append, True)
        for number in range(10):
            await send({"type": "websocket.send", "text": str(number)})
        assert not turns

    talk = Talk(app)
    async with talk.open():
        assert await talk.hear(10) == [str(number) for number in range(10)]


async def test_several_tasks_may_receive():
    """Each message goes to one of them, and every one sees the end."""
    received = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)

        async def listen():
            while (message := await receive())["type"] == "websocket.receive":
                received.append(message["text"])
            received.append(message["code"])

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(listen)

    talk = Talk(app)
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        talk.say("a", "b", "c", "d")
        talk.stream.feed(talk.visitor.bid_farewell())

    assert received == ["a", "b", "c", "d", 1000, 1000, 1000]


async def test_tasks_may_wait_for_messages_before_the_accept():
    """Whoever asks early is served once the handshake is answered."""
    received = []

    async def app(scope, receive, send):
        await receive()

        async def listen():
            received.append((await receive())["text"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            await send(ACCEPT)

    talk = Talk(app)
    async with talk.open():
        talk.say("a", "b")

    assert sorted(received) == ["a", "b"]


async def test_waiting_before_the_accept_does_not_change_the_end():
    """A loss after the accept is told once, to the app and to whoever counts."""
    log = Log()

    async def app(scope, receive, send):
        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.until_disconnect, receive)
            await anyio.wait_all_tasks_blocked()
            await send(ACCEPT)

    talk = Talk(app)
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        talk.stream.lose()

    assert log == [LOST]
    assert talk.done.status == 101


async def test_a_cancelled_receive_loses_nothing():
    """An app may poll with a timeout; the message comes at the next call."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        with anyio.move_on_after(0):
            got.append(await receive())
        got.append("polled")
        got.append((await receive())["text"])

    talk = Talk(app)
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        talk.say("later")

    assert got == ["polled", "later"]


# Backpressure


async def test_a_visitor_who_stops_reading_stops_the_apps_send():
    """Above the high-water mark `send` waits until the visitor takes some."""
    sent = []

    async def app(scope, receive, send):
        await send(ACCEPT)
        for _ in range(4):
            await send({"type": "websocket.send", "bytes": bytes(100)})
            sent.append(True)

    talk = Talk(app, manual=True, high_water=150)
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        assert len(sent) == 1
        while len(sent) < 4:
            talk.stream.take(100)
            await anyio.wait_all_tasks_blocked()
        talk.stream.take()
        await talk.hear_close()
        talk.stream.take()

    assert talk.visitor.messages == [bytes(100)] * 4


async def test_an_app_that_stops_receiving_stops_the_visitors_credit():
    """Some messages are read ahead, not all; when the app goes on, so does the visitor."""
    go = asyncio.Event()
    log = Log()

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await go.wait()
        await log.until_disconnect(receive)

    talk = Talk(app, window=1 << 22)
    async with talk.open():
        talk.say(*[bytes(10_000)] * 100)
        talk.stream.feed(talk.visitor.bid_farewell())
        await anyio.wait_all_tasks_blocked()
        assert 65536 <= talk.stream.consumed <= 3 * 65536
        go.set()

    assert len(log) == 101
    assert log[-1] == disconnect(1000)


async def test_an_app_that_does_not_receive_can_still_close():
    """After its own close the rest is read and dropped, so that the visitor's Close is seen."""

    async def app(scope, receive, send):
        await send(ACCEPT)
        await anyio.wait_all_tasks_blocked()
        await send(CLOSE)

    talk = Talk(app, window=1 << 22)
    async with talk.open():
        talk.say(*[bytes(10_000)] * 100)
        await talk.hear_close()

    assert talk.stream.complete


async def test_a_visitor_who_pings_and_never_reads_is_not_read_from():
    """Pongs wait for the visitor like anything else, and with them what it sends."""
    talk = Talk(listener(Log()), manual=True, high_water=5_000, window=1 << 22)
    ping = raw_frame(9, b"x" * 100)
    async with talk.open():
        talk.stream.feed(ping * 10_000)
        await anyio.wait_all_tasks_blocked()
        assert talk.stream.consumed == 65536
        assert len(talk.stream.sent) < 50_000
        talk.stream.feed_reset()


# The end


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4321, "é")])
async def test_the_visitors_close_reaches_the_app(code, reason):
    """Code and reason are in `websocket.disconnect`; the Close is echoed and the stream ended."""
    log = Log()
    talk = Talk(listener(log))
    async with talk.open():
        talk.stream.feed(talk.visitor.bid_farewell(code, reason))
        assert await talk.hear_close() == (code, reason)

    assert log[-1] == disconnect(code, reason)
    assert talk.stream.complete


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 1001}, 1001, ""),
        ({"code": 4000, "reason": "enough"}, 4000, "enough"),
        ({"code": None, "reason": None}, 1000, ""),
    ],
)
async def test_the_apps_close_reaches_the_visitor(close, code, reason):
    """Code and reason arrive, the app's `receive` gives them back, and the visitor's Close ends."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await send({**CLOSE, **close})
        got.append(await receive())
        got.append(await receive())

    talk = Talk(app)
    async with talk.open():
        assert await talk.hear_close() == (code, reason)

    assert got == [disconnect(code, reason)] * 2
    assert talk.stream.complete


async def test_a_visitor_who_does_not_answer_a_close_is_left():
    """After a while the stream is reset, whatever the app still does."""
    go = asyncio.Event()

    async def app(scope, receive, send):
        await sends(ACCEPT, CLOSE)(scope, receive, send)
        await go.wait()

    talk = Talk(app, settings=WebSocketSettings(close_timeout=0.01))
    async with talk.running() as stream:
        await stream.until(lambda: stream.reset_code is not None)
        assert talk.done.status == 101
        go.set()


@pytest.mark.parametrize("way", ["feed_eof", "feed_reset", "stop", "lose"])
async def test_an_abrupt_end_is_1006(way):
    """FIN without a Close, RESET_STREAM, STOP_SENDING, a lost connection; messages come first."""
    log = Log()
    talk = Talk(listener(log))
    async with talk.open():
        talk.say("last words")
        await talk.stream.until(lambda: talk.stream.consumed)
        getattr(talk.stream, way)()

    assert log[-2:] == [{"type": "websocket.receive", "text": "last words"}, LOST]
    assert talk.stream.ended or talk.stream.reset_code is not None
    assert talk.done.status == 101


async def test_disconnect_is_repeated():
    """Whoever asks again gets the same again, rather than waiting for ever."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        got.extend([await receive(), await receive(), await receive()])

    talk = Talk(app)
    async with talk.open():
        talk.stream.feed(talk.visitor.bid_farewell(1001, "bye"))

    assert got == [disconnect(1001, "bye")] * 3


@pytest.mark.parametrize("way", ["close", "feed_reset"])
@pytest.mark.parametrize("message", [{"type": "websocket.send", "text": "x"}, CLOSE])
async def test_sending_to_a_visitor_who_left_is_an_os_error(way, message, caplog):
    """`send` raises what ASGI 2.4 asks for; an app that lets it pass is not blamed."""
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        try:
            await send(message)
        except OSError as exc:
            raised.append(exc)
            raise

    talk = Talk(app)
    async with talk.open():
        if way == "close":
            talk.stream.feed(talk.visitor.bid_farewell())
        else:
            talk.stream.feed_reset()

    assert isinstance(raised[0], VisitorLeft)
    assert not caplog.records


async def test_leaving_is_noticed_by_sending_alone(caplog):
    """An app that only sends is told by an OSError once the visitor is gone."""

    async def app(scope, receive, send):
        await send(ACCEPT)
        while True:
            await send({"type": "websocket.send", "bytes": bytes(100)})

    talk = Talk(app, manual=True, high_water=1000)
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        talk.stream.stop()

    assert talk.stream.reset_code is not None
    assert not caplog.records


async def test_an_app_that_returns_closes_with_1000():
    """Returning without a close is the ordinary end of a conversation."""
    talk = Talk(sends(ACCEPT, {"type": "websocket.send", "text": "that was all"}))
    async with talk.open():
        assert await talk.hear_close() == (1000, "")

    assert talk.visitor.messages == ["that was all"]
    assert talk.stream.complete


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError, KeyError])
async def test_an_app_that_fails_closes_with_1011(error, caplog):
    """The visitor sees 1011, the log the traceback."""

    async def app(scope, receive, send):
        await send(ACCEPT)
        raise error("the reason")

    talk = Talk(app)
    async with talk.open():
        assert await talk.hear_close() == (1011, "")

    assert "Exception in ASGI application" in caplog.text
    assert talk.stream.complete


async def test_an_app_that_returns_something_closes_with_1011(caplog):
    """A callable that is no ASGI 3 app shows itself by what it returns."""

    async def app(scope, receive, send):
        await send(ACCEPT)
        return 123

    talk = Talk(app)
    async with talk.open():
        assert await talk.hear_close() == (1011, "")

    assert "returned 123" in caplog.text


async def test_cancellation_resets_the_stream_and_passes():
    """A cancelled serve ends as cancelled, leaves no task, and reports the request."""
    before = asyncio.all_tasks()
    talk = Talk(listener(Log()))
    task = asyncio.create_task(talk.run())
    await talk.stream.until(lambda: talk.stream.response)
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await anyio.wait_all_tasks_blocked()

    assert talk.stream.reset_code == 0
    assert talk.done.status == 101
    assert asyncio.all_tasks() == before


# Denial


async def test_a_close_before_the_accept_is_a_403():
    """The visitor gets 403 without a body; the app's `receive` then says 1006."""
    got = []

    async def app(scope, receive, send):
        got.append(await receive())
        await send({**CLOSE, "code": 4000, "reason": "no"})
        got.append(await receive())

    talk = await Talk(app).run()

    assert (talk.status, talk.body) == (403, b"")
    assert talk.headers[b"content-length"] == b"0"
    assert talk.stream.complete
    assert got == [CONNECT, DENIED]
    assert talk.done.status == 403


async def test_a_denial_may_be_a_whole_response():
    """`websocket.http.response` passes status, headers and body on as they come."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(deny(401, [(b"WWW-Authenticate", b"Basic"), (b"Content-Length", b"20")]))
        await send(denial_body(b"x" * 10, more_body=True))
        assert len(talk.stream.sent) == 10
        await send(denial_body(b"y" * 10))
        got.append(await receive())

    talk = Talk(app)
    await talk.run()

    assert (talk.status, talk.body) == (401, b"x" * 10 + b"y" * 10)
    assert talk.headers == {b"www-authenticate": b"Basic", b"content-length": b"20"}
    assert talk.stream.complete
    assert got == [DENIED]


async def test_a_denial_that_is_not_finished_is_a_reset(caplog):
    """Returning in the middle of it is logged, and the stream is reset."""
    talk = await Talk(sends(deny(401), denial_body(b"x", more_body=True))).run()

    assert talk.stream.reset_code == 0
    assert "ASGI callable returned without completing response." in caplog.text


@pytest.mark.parametrize("error", [None, ValueError])
async def test_an_app_that_does_not_answer_is_a_500(error, caplog):
    """Returning or raising before the handshake is answered: 500, and the log says why."""

    async def app(scope, receive, send):
        await receive()
        if error is not None:
            raise error

    talk = await Talk(app).run()

    assert (talk.status, talk.body) == (500, b"Internal Server Error")
    expected = "Exception in ASGI application" if error else "without answering the WebSocket"
    assert expected in caplog.text
    assert talk.done.status == 500


@pytest.mark.parametrize("way", ["feed_reset", "stop", "lose"])
async def test_a_visitor_who_leaves_before_the_answer_is_a_1006(way, caplog):
    """`receive` says so, `send` raises an OSError, and nobody is blamed."""
    got = []

    async def app(scope, receive, send):
        got.extend([await receive(), await receive(), await receive()])
        await send(ACCEPT)

    talk = Talk(app)
    async with talk.running() as stream:
        await anyio.wait_all_tasks_blocked()
        getattr(stream, way)()

    assert got == [CONNECT, LOST, LOST]
    assert talk.done.status is None
    assert not caplog.records


@pytest.mark.parametrize("answer", [ACCEPT, CLOSE, deny(401)])
async def test_answering_a_visitor_who_left_harms_nobody(answer, caplog):
    """Whatever the answer, the request is reported once, without a status."""

    async def app(scope, receive, send):
        await receive()
        talk.stream.feed_reset()
        await send(answer)
        await send(denial_body())

    talk = Talk(app)
    await talk.run()

    assert talk.done.status is None
    assert talk.stream.reset_code is not None
    assert not caplog.records


async def test_a_visitor_who_leaves_during_the_denial_is_noticed():
    """A task that waits for the end of a denial is told when the visitor does not."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(deny(401))
        await send(denial_body(b"x", more_body=True))
        got.append(await receive())
        await send(denial_body(b"y"))

    talk = Talk(app)
    async with talk.running() as stream:
        await stream.until(lambda: stream.sent)
        stream.stop()

    assert got == [DENIED]
    assert talk.done.status == 401


async def test_a_connection_lost_after_the_denial_changes_nothing():
    """The answer was whole; the app still gets a RuntimeError for what comes too late."""
    got = []

    async def app(scope, receive, send):
        await receive()
        async with anyio.create_task_group() as tasks:

            async def listen():
                got.append(await receive())

            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            await send(CLOSE)
        talk.stream.lose()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError):
            await send(ACCEPT)

    talk = Talk(app)
    await talk.run()

    assert got == [DENIED]
    assert talk.done.status == 403


# Illegal orders

SAY = {"type": "websocket.send", "text": "x"}


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([SAY], "A WebSocket handshake is answered by 'websocket.accept'"),
        ([denial_body()], "not 'websocket.http.response.body'"),
        ([{"type": "http.response.start"}], "not 'http.response.start'"),
        ([ACCEPT, ACCEPT], "An accepted WebSocket takes 'websocket.send' and 'websocket.close'"),
        ([ACCEPT, deny(401)], "not 'websocket.http.response.start'"),
        ([ACCEPT, {"type": "unknown"}], "not 'unknown'"),
        ([ACCEPT, CLOSE, SAY], "'websocket.send' can't follow the end of the WebSocket."),
        ([ACCEPT, CLOSE, CLOSE], "'websocket.close' can't follow the end of the WebSocket."),
        ([CLOSE, ACCEPT], "'websocket.accept' can't follow the end of the WebSocket."),
        ([CLOSE, CLOSE], "'websocket.close' can't follow the end of the WebSocket."),
        ([deny(401), ACCEPT], "Expected ASGI message 'websocket.http.response.body', but got"),
        ([deny(401), deny(401)], "Expected ASGI message 'websocket.http.response.body', but got"),
        ([deny(401), CLOSE], "Expected ASGI message 'websocket.http.response.body', but got"),
        ([deny(401), denial_body(), ACCEPT], "can't follow the end of the WebSocket."),
        ([deny(401), denial_body(), denial_body()], "can't follow the end of the WebSocket."),
        (
            [deny(401), {"type": "http.response.pathsend", "path": "/x"}],
            "but got 'http.response.pathsend'",
        ),
        ([deny(101)], "Invalid HTTP status 101"),
        ([ACCEPT, {**CLOSE, "code": 1006}], "Invalid close of a WebSocket: code 1006"),
        ([ACCEPT, {**CLOSE, "reason": "x" * 124}], "Invalid close of a WebSocket: code 1000"),
    ],
)
async def test_messages_out_of_order_raise_into_the_app(messages, sentence):
    """Each illegal order is a RuntimeError with a sentence, and what was legal stays."""
    caught = []

    async def app(scope, receive, send):
        for message in messages[:-1]:
            await send(message)
        try:
            await send(messages[-1])
        except RuntimeError as exc:
            caught.append(str(exc))

    talk = Talk(app)
    async with talk.running() as stream:
        await stream.until(lambda: stream.response)
        if stream.response.status == 101:
            await talk.hear_close()

    assert sentence in caught[0]


async def test_a_close_that_failed_can_be_repeated():
    """After an invalid code the WebSocket is as open as before."""

    async def app(scope, receive, send):
        await send(ACCEPT)
        with pytest.raises(RuntimeError):
            await send({**CLOSE, "code": 1005})
        await send(SAY)
        await send({**CLOSE, "code": 4000})

    talk = Talk(app)
    async with talk.open():
        assert await talk.hear_close() == (4000, "")

    assert talk.visitor.messages == ["x"]


# Bad input


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (raw_frame(TEXT, b"x", masked=False), 1002),
        (raw_frame(TEXT, b"\xff"), 1007),
        (raw_frame(TEXT, b"x" * 101), 1009),
    ],
)
async def test_a_broken_rule_is_a_disconnect_with_its_code(wire, code, caplog):
    """App and visitor get the same code and reason; the stream ends whole."""
    log = Log()
    talk = Talk(listener(log), settings=WebSocketSettings(max_message_size=100))
    async with talk.open():
        talk.say("before")
        talk.stream.feed(wire + raw_frame(TEXT, b"after"))
        closed_with = await talk.hear_close()
        await anyio.wait_all_tasks_blocked()
        assert not talk.stream.ended  # refusing what a visitor sends might cut the Close off
        talk.stream.feed(bytes(100_000))
        talk.stream.feed_eof()

    assert log[1:] == [
        {"type": "websocket.receive", "text": "before"}, disconnect(*closed_with)
    ]  # fmt: skip
    assert closed_with[0] == code
    assert talk.stream.complete
    assert not caplog.records


async def test_a_broken_rule_and_then_silence_is_the_end():
    """The stream ends soon after the Close, as its visitor waits for that (RFC 6455 §7.1.1)."""
    talk = Talk(listener(Log()))
    async with talk.open():
        talk.stream.feed(raw_frame(TEXT, b"\xff"))
        await talk.hear_close()
        async with asyncio.timeout(0.6):
            await talk.stream.until(lambda: talk.stream.ended)

    assert talk.stream.complete


# Keep-alive


async def test_a_silent_visitor_is_pinged_and_then_left():
    """Without a pong the visitor gets 1011, and the app is told."""
    log = Log()
    settings = WebSocketSettings(ping_interval=0.01, ping_timeout=0.02, close_timeout=0.01)
    talk = Talk(listener(log), settings=settings)
    async with talk.open():
        await talk.stream.until(lambda: talk.stream.ended)
        talk.listen()

    assert talk.visitor.pings
    assert talk.visitor.closed_with == (1011, "keepalive ping timeout")
    assert log[-1] == disconnect(1011, "keepalive ping timeout")


async def test_a_visitor_who_answers_pings_stays():
    """Pong after pong keeps it."""
    log = Log()
    settings = WebSocketSettings(ping_interval=0.01, ping_timeout=1)
    talk = Talk(listener(log), settings=settings)
    async with talk.open():
        while len(talk.visitor.pings) < 5:
            await talk.stream.until(lambda: len(talk.stream.sent) > talk._taken)
            talk.listen()
        talk.stream.feed(talk.visitor.bid_farewell())

    assert log[-1] == disconnect(1000)


async def test_a_visitor_who_never_reads_is_left():
    """A ping that can't even be sent counts; the stream is reset and the app's send returns."""
    settings = WebSocketSettings(ping_interval=0.01, ping_timeout=0.01, close_timeout=0.01)
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1000)})
        except OSError:
            raised.append(await receive())

    talk = Talk(app, settings=settings, manual=True, high_water=500)
    async with talk.running() as stream:
        await stream.until(lambda: stream.reset_code is not None)

    assert raised == [disconnect(1011, "keepalive ping timeout")]


# Draining


async def test_draining_closes_with_1012():
    """An open WebSocket gets 1012 and its end at once, and the app is told."""
    log = Log()
    talk = Talk(listener(log))
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.origin.drain)
            assert await talk.hear_close() == (1012, "")
        assert talk.stream.ended

    assert log[-1] == disconnect(1012)
    assert talk.stream.complete


async def test_draining_does_not_wait_for_a_visitor_who_does_not_answer():
    """Without a Close from the visitor the stream ends all the same."""
    log = Log()
    talk = Talk(listener(log), settings=HASTY)
    async with talk.running() as stream:
        await stream.until(lambda: stream.response)
        await talk.origin.drain()
        assert stream.complete

    assert log[-1] == disconnect(1012)


async def test_draining_notices_a_visitor_who_leaves_meanwhile():
    """A Close that waits for a slow reader gives way when that one is gone."""
    talk = Talk(None, manual=True, high_water=100)

    async def app(scope, receive, send):
        await send(ACCEPT)
        await send({"type": "websocket.send", "bytes": bytes(1000)})

    talk.origin.app = app
    async with talk.running() as stream:
        await stream.until(lambda: stream.sent)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.origin.drain)
            await anyio.wait_all_tasks_blocked()
            stream.lose()

    assert len(talk.events) == 1


async def test_draining_resets_who_does_not_even_read():
    """A Close that can't be sent ends in a reset, and the app's send returns."""
    talk = Talk(None, settings=HASTY, manual=True, high_water=100)

    async def app(scope, receive, send):
        await send(ACCEPT)
        await send({"type": "websocket.send", "bytes": bytes(1000)})

    talk.origin.app = app
    async with talk.running() as stream:
        await stream.until(lambda: stream.sent)
        await talk.origin.drain()

    assert talk.stream.reset_code == 0


async def test_a_websocket_accepted_while_draining_is_closed_at_once():
    """The handshake is answered, and 1012 follows."""
    log = Log()
    talk = Talk(listener(log))
    await talk.origin.drain()
    async with talk.open():
        assert await talk.hear_close() == (1012, "")

    assert log == [CONNECT, disconnect(1012)]


@pytest.mark.parametrize("content_type", [b"text/plain", b"text/event-stream"])
async def test_a_denial_goes_on_while_draining(content_type):
    """What ends by itself is not cut."""
    go = asyncio.Event()

    async def app(scope, receive, send):
        await send(deny(401, [(b"content-type", content_type)]))
        await go.wait()
        await send(denial_body(b"whole"))

    talk = Talk(app)
    async with talk.running() as stream:
        await stream.until(lambda: stream.response)
        await talk.origin.drain()
        assert not stream.ended
        go.set()

    assert (talk.body, talk.stream.complete) == (b"whole", True)


async def test_a_close_under_way_ends_at_once_when_draining():
    """Nobody waits long for a visitor's Close any more; ours is not sent twice."""
    settings = WebSocketSettings(close_timeout=2)
    talk = Talk(sends(ACCEPT, {**CLOSE, "code": 4000}), settings=settings)
    async with talk.running() as stream:
        await stream.until(lambda: stream.sent)
        await talk.origin.drain()
        assert stream.complete
    talk.visitor.accept(talk.stream.response.headers)
    talk.visitor.receive(bytes(talk.stream.sent))

    assert talk.visitor.closed_with == (4000, "")


async def test_draining_twice_or_after_the_end_is_no_harm():
    """There is nothing more to say."""
    go = asyncio.Event()

    async def app(scope, receive, send):
        await echo(scope, receive, send)
        await go.wait()

    talk = Talk(app, settings=HASTY)
    async with talk.open():
        await asyncio.gather(talk.origin.drain(), talk.origin.drain())
        assert talk.stream.complete
        await talk.origin.drain()
        go.set()

    assert len(talk.events) == 1


async def test_draining_survives_a_visitor_who_left():
    """A visitor who leaves in that moment costs the others nothing."""
    log = Log()
    talk = Talk(listener(log))
    async with talk.open():
        await anyio.wait_all_tasks_blocked()
        talk.stream.lose()
        await talk.origin.drain()

    assert log[-1]["type"] == "websocket.disconnect"
    assert talk.stream.reset_code is not None


@pytest.mark.parametrize("who", ["app", "visitor"])
async def test_a_websocket_leaves_nothing_behind(who):
    """No timer of the default pings keeps a WebSocket in memory once it has ended."""
    talk = Talk(sends(ACCEPT, CLOSE) if who == "app" else echo, settings=WebSocketSettings())
    async with talk.open():
        if who == "visitor":
            talk.stream.feed(talk.visitor.bid_farewell())
    gc.collect()

    assert not [thing for thing in gc.get_objects() if isinstance(thing, WebSocketLink)]


async def test_a_websocket_leaves_no_task_and_logs_nothing(caplog):
    """From handshake to Close at DEBUG: no line, and no task afterwards."""
    caplog.set_level(logging.DEBUG, "asgi_quicktunnel")
    before = asyncio.all_tasks()
    talk = Talk(echo, deflate=True)
    async with talk.open():
        talk.say("s3cret")
        await talk.hear(1)
        talk.stream.feed(talk.visitor.bid_farewell(1000, "s3cret"))
    await anyio.wait_all_tasks_blocked()

    assert asyncio.all_tasks() == before
    assert not [r for r in caplog.records if r.name.startswith("asgi_quicktunnel")]


async def test_the_report_counts_the_conversation():
    """One event at the end, with the bytes of both directions."""
    talk = Talk(echo)
    async with talk.open():
        assert talk.events == []
        talk.say("x" * 1000)
        await talk.hear(1)
        talk.stream.feed(talk.visitor.bid_farewell())

    done = talk.done
    assert (done.conn_index, done.method, done.path, done.status) == (
        FACTS.conn_index, "GET", "/ws", 101
    )  # fmt: skip
    assert done.received > 1000
    assert done.sent > 1000
