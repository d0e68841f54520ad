"""What uvicorn's own tests say of its WebSocket protocols, asked of a tunnel and of uvicorn.

Left out is what has no counterpart at a tunnel: uvicorn's own Server and Date headers in a 101, and
its option that switches permessage-deflate off.
"""

import asyncio
import contextlib

import pytest
import websockets
from websockets.frames import Opcode

pytestmark = pytest.mark.anyio

HANDSHAKE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}
DENIED = {"type": "websocket.disconnect", "code": 1006}


class App:
    """An ASGI app that hands each message it receives to a handler, and remembers what came.

    `on_connect`, `on_receive` and `on_disconnect` are called with the message and `send`.
    """

    def __init__(self, on_connect=None, on_receive=None, on_disconnect=None):
        self._handlers = {
            "websocket.connect": on_connect or accept,
            "websocket.receive": on_receive,
            "websocket.disconnect": on_disconnect,
        }
        self.scopes = []
        self.received = []
        self.disconnects = asyncio.Queue()

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        while True:
            message = await receive()
            kind = message["type"]
            if kind == "websocket.receive":
                self.received.append(content(message))
            if self._handlers[kind] is not None:
                await self._handlers[kind](message, send)
            if kind == "websocket.disconnect":
                self.disconnects.put_nowait(message)
                return


def content(message):
    """What a websocket.receive carries; one of its two keys may be missing or None."""
    data, text = message.get("bytes"), message.get("text")
    assert (data is None) != (text is None)
    return text if data is None else data


async def accept(_message, send):
    await send({"type": "websocket.accept"})


async def echo(message, send):
    await send({"type": "websocket.send", "bytes": None, "text": None, **message_of(message)})


def message_of(message):
    data = content(message)
    return {"text" if isinstance(data, str) else "bytes": data}


def sending(*messages):
    """An app that sends these messages after it was asked for a connection, and returns."""

    async def app(scope, receive, send):
        assert (await receive())["type"] == "websocket.connect"
        for message in messages:
            await send(message)

    return app


async def refusal(site, path="/", **options):
    """The HTTP response that a visitor gets in place of a WebSocket."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        await site.websocket(path, **options)
    return refused.value.response


async def closed(socket):
    """The Close that the visitor got, as (code, reason); 1006 when there was none."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code, socket.close_reason


# --- the handshake


async def test_a_connection_is_accepted(served):
    """After websocket.accept both sides may talk."""
    async with served(App(on_receive=echo)) as site, site.websocket() as socket:
        await socket.send("abc")
        assert await socket.recv() == "abc"


async def test_a_handshake_without_a_key_is_refused(served):
    """Without Sec-WebSocket-Key the visitor gets 400, and the app hears nothing."""
    app = App()
    headers = {name: value for name, value in HANDSHAKE.items() if name != "sec-websocket-key"}
    async with served(app) as site:
        answer = await site.visitor.get("/", headers=headers)
    assert answer.status_code == 400
    assert "sec-websocket-key" in answer.text.lower()
    assert app.scopes == []


async def test_compression_is_accepted(served):
    """permessage-deflate is used when the visitor offers it."""
    async with served(App(on_receive=echo)) as site, site.websocket() as socket:
        extensions = [extension.name for extension in socket.protocol.extensions]
        assert extensions == ["permessage-deflate"]
        await socket.send("squeezed " * 1000)
        assert await socket.recv() == "squeezed " * 1000


async def test_compression_is_not_forced_on_anyone(served):
    """A visitor that does not offer permessage-deflate gets plain messages."""
    async with served(App(on_receive=echo)) as site, site.websocket(compression=None) as socket:
        assert socket.protocol.extensions == []
        await socket.send("plain " * 1000)
        assert await socket.recv() == "plain " * 1000


async def test_the_visitors_headers_are_in_the_scope(served):
    """Host, the handshake's own headers and any other are there, byte for byte."""
    app = App()
    async with (
        served(app) as site,
        site.websocket(additional_headers={"username": "abra\xe3o"}) as socket,
    ):
        await socket.close()
        headers = dict(app.scopes[0]["headers"])
        assert headers[b"host"] == site.host.encode()
    assert headers[b"username"] == b"abra\xe3o"
    assert headers[b"connection"].lower() == b"upgrade"
    assert headers[b"upgrade"].lower() == b"websocket"
    assert headers[b"sec-websocket-version"] == b"13"
    assert b"sec-websocket-key" in headers


async def test_what_the_scope_says(served):
    """Type, scheme, versions and extensions are those that uvicorn gives."""
    app = App()
    async with served(app) as site, site.websocket("/a%2Fb?x=1", subprotocols=["a", "b"]):
        (scope,) = app.scopes
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["http_version"] == "1.1"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"]["websocket.http.response"] == {}
    assert (scope["path"], scope["raw_path"]) == ("/a/b", b"/a%2Fb")
    assert (scope["query_string"], scope["root_path"]) == (b"x=1", "")
    assert "method" not in scope


async def test_an_app_adds_headers_to_its_accept(served):
    """Headers of websocket.accept reach the visitor, each as often as it was given."""
    headers = [(b"extra", b"header"), (b"twice", b"1"), (b"twice", b"2")]
    app = App(on_connect=lambda _, send: send({"type": "websocket.accept", "headers": headers}))
    async with served(app) as site, site.websocket() as socket:
        assert socket.response.headers["extra"] == "header"
        assert socket.response.headers.get_all("twice") == ["1", "2"]


@pytest.mark.parametrize("subprotocol", ["proto1", "proto2"])
async def test_a_subprotocol_is_chosen(served, subprotocol):
    """The visitor gets the one of its subprotocols that the app named."""
    message = {"type": "websocket.accept", "subprotocol": subprotocol}
    app = App(on_connect=lambda _, send: send(message))
    offered = ["proto1", "proto2"]
    async with served(app) as site, site.websocket(subprotocols=offered) as socket:
        assert socket.subprotocol == subprotocol


async def test_the_state_is_copied_for_each_websocket(served):
    """A WebSocket changes the keys of its own state, and not those of the next one."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["state"]["a"], list(scope["state"]["b"])))
        scope["state"]["a"] = 456
        scope["state"]["b"].append(2)
        await send({"type": "websocket.accept"})

    async with served(app, state={"a": 123, "b": [1]}) as site:
        for _ in range(2):
            async with site.websocket():
                pass
    assert seen == [(123, [1]), (123, [1, 2])]


async def test_a_visitor_that_leaves_before_the_answer(served):
    """An app that asks again before it answered is told that the visitor has gone."""
    asked = asyncio.Event()

    async def on_connect(_message, _send):
        asked.set()

    app = App(on_connect=on_connect)
    async with served(app) as site:
        async with site.connection() as visitor:
            fields = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
            await visitor.send("GET / HTTP/1.1", "Host: {host}", *fields)
            await asked.wait()
        message = await app.disconnects.get()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)


# --- a refusal


async def test_an_app_refuses(served):
    """websocket.close before accept is a 403; the app then hears of a disconnect."""
    app = App(on_connect=lambda _, send: send({"type": "websocket.close"}))
    async with served(app) as site:
        assert (await refusal(site)).status_code == 403
        message = await app.disconnects.get()
    assert {"type": message["type"], "code": message["code"]} == DENIED


@pytest.mark.parametrize("parts", [(b"goodbye",), (b"x" * 10, b"y" * 10)], ids=["one", "two"])
@pytest.mark.parametrize("with_length", [True, False])
async def test_an_app_refuses_with_an_answer_of_its_own(served, parts, with_length):
    """websocket.http.response sends status, headers and body, in one part or more."""
    whole = b"".join(parts)
    headers = [(b"content-type", b"text/x-sorry")]
    if with_length:
        headers.append((b"content-length", b"%d" % len(whole)))

    async def on_connect(_message, send):
        start = {"type": "websocket.http.response.start", "status": 418, "headers": headers}
        await send(start)
        for number, part in enumerate(parts, 1):
            more = {"body": part, "more_body": number < len(parts)}
            await send({"type": "websocket.http.response.body", **more})

    app = App(on_connect)
    async with served(app) as site:
        answer = await site.visitor.get("/", headers=HANDSHAKE)
        message = await app.disconnects.get()
    assert (answer.status_code, answer.content) == (418, whole)
    assert answer.headers["content-type"] == "text/x-sorry"
    assert {"type": message["type"], "code": message["code"]} == DENIED


async def test_an_answer_that_http_does_not_know_is_a_500(served):
    """A refusal with a status that HTTP does not have is the app's error."""
    start = {"type": "websocket.http.response.start", "status": 700, "headers": []}
    async with served(sending(start)) as site:
        answer = await site.visitor.get("/", headers=HANDSHAKE)
    assert (answer.status_code, answer.text.strip()) == (500, "Internal Server Error")


async def test_an_answer_begun_twice_is_the_apps_error(served):
    """After websocket.http.response.start only its body may follow."""
    start = {"type": "websocket.http.response.start", "status": 404, "headers": []}
    body = {"type": "websocket.http.response.body", "body": b"gone"}
    errors = []

    async def on_connect(_message, send):
        await send(start)
        with contextlib.suppress(RuntimeError):
            await send(start)
            errors.append("there was none")
        await send(body)

    async with served(App(on_connect)) as site:
        answer = await site.visitor.get("/", headers=HANDSHAKE)
    assert (answer.status_code, answer.content, errors) == (404, b"gone", [])


@pytest.mark.parametrize(
    "messages",
    [(), ({"type": "websocket.send", "text": "123"},)],
    ids=["nothing", "a message too early"],
)
async def test_an_app_that_does_not_answer_the_handshake_is_a_500(served, messages):
    """Returning, or sending a message, before websocket.accept is a 500 for the visitor."""
    async with served(sending(*messages)) as site:
        assert (await refusal(site)).status_code == 500


async def test_an_app_that_raises_before_its_answer_is_a_500(served):
    """An exception before websocket.accept is a 500 for the visitor."""

    async def app(scope, receive, send):
        raise Exception("on purpose")

    async with served(app) as site:
        assert (await refusal(site)).status_code == 500


# --- messages


@pytest.mark.parametrize("message", ["123", b"123", "", b"", "grüße", bytes(range(256))])
async def test_messages_to_the_visitor(served, message):
    """Text arrives as text, bytes as bytes."""
    key = "text" if isinstance(message, str) else "bytes"
    app = sending({"type": "websocket.accept"}, {"type": "websocket.send", key: message})
    async with served(app) as site, site.websocket() as socket:
        assert await socket.recv() == message


@pytest.mark.parametrize("message", ["123", b"123", "", b"", "grüße", bytes(range(256))])
async def test_messages_to_the_app(served, message):
    """Text arrives as text, bytes as bytes; and comes back the same."""
    app = App(on_receive=echo)
    async with served(app) as site, site.websocket() as socket:
        await socket.send(message)
        assert await socket.recv() == message
    assert app.received == [message]


@pytest.mark.parametrize("is_text", [False, True], ids=["binary", "text"])
async def test_fragments_are_one_message(served, is_text):
    """A message in six frames reaches the app as one."""
    payload = "A" * 512 if is_text else b"A" * 512
    app = App()
    async with served(app) as site, site.websocket() as socket:
        await socket.send([payload] * 6)
        await socket.close()
        await app.disconnects.get()
    assert app.received == [payload * 6]


@pytest.mark.parametrize(
    ("size", "limit"), [(16 << 20, None), (10, 10)], ids=["16 MiB, the default", "10 bytes"]
)
@pytest.mark.parametrize("surplus", [0, 1])
async def test_the_largest_message(served, size, limit, surplus):
    """A message of exactly the limit passes; one byte more is a Close 1009."""
    app = App(on_receive=echo)
    options = {} if limit is None else {"max_message_size": limit}
    message = b"\x01" * (size + surplus)
    async with served(app, **options) as site, site.websocket(compression=None) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(message)
        if surplus:
            assert (await closed(socket))[0] == 1009
        else:
            assert await socket.recv() == message
    assert app.received == ([] if surplus else [message])


async def test_fragments_beyond_the_limit(served):
    """A message that never ends is a Close 1009 as soon as it is too long."""

    async def fragments():
        for _ in range(64):
            yield b"A" * 1024

    app = App()
    async with served(app, max_message_size=2048) as site, site.websocket() as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(fragments())
        assert (await closed(socket))[0] == 1009
    assert app.received == []


async def test_messages_sent_before_the_close_are_received(served):
    """What the visitor sent before its Close reaches an app that is slow to ask."""
    left = asyncio.Event()

    async def on_connect(message, send):
        await accept(message, send)
        await left.wait()

    app = App(on_connect)
    async with served(app) as site:
        async with site.websocket() as socket:
            for number in range(3):
                await socket.send(b"%d" % number)
            closing = asyncio.create_task(socket.close())
            await asyncio.sleep(0)
            left.set()
            await closing
        message = await app.disconnects.get()
    assert app.received == [b"0", b"1", b"2"]
    assert (message["code"], message["reason"]) == (1000, "")


# --- the end


@pytest.mark.parametrize("code", [None, 1000, 1001, 4999])
@pytest.mark.parametrize("reason", [None, "test", False], ids=["None", "a reason", "no key"])
async def test_the_app_closes(served, code, reason):
    """Code and reason of websocket.close reach the visitor, 1000 and "" by default."""
    message = {"type": "websocket.close"}
    if code is not None:
        message["code"] = code
    if reason is not False:
        message["reason"] = reason
    app = App(on_receive=lambda _, send: send(message))
    async with served(app) as site, site.websocket() as socket:
        await socket.ping()
        await socket.send("abc")
        assert await closed(socket) == (code or 1000, reason or "")
        told = await app.disconnects.get()
    assert told["code"] == (code or 1000)


async def test_the_app_sends_and_closes(served):
    """What was sent before the close arrives before it."""
    app = sending(
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "123"},
        {"type": "websocket.close"},
    )
    async with served(app) as site, site.websocket() as socket:
        assert await socket.recv() == "123"
        assert await closed(socket) == (1000, "")


async def test_nothing_is_sent_after_the_close(served):
    """`send` after websocket.close raises."""
    failed = asyncio.Queue()

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "123"})
        await send({"type": "websocket.close"})
        try:
            await send({"type": "websocket.send", "text": "456"})
        except Exception as exc:
            failed.put_nowait(exc)

    async with served(app) as site, site.websocket() as socket:
        assert await socket.recv() == "123"
        assert await closed(socket) == (1000, "")
        assert isinstance(await failed.get(), RuntimeError | OSError)


async def test_the_visitor_closes(served):
    """Code and reason of the visitor's Close reach the app."""
    app = App()
    async with served(app) as site:
        async with site.websocket() as socket:
            await socket.ping()
            await socket.send("abc")
            await socket.close(1001, "custom reason")
        message = await app.disconnects.get()
    assert message == {"type": "websocket.disconnect", "code": 1001, "reason": "custom reason"}


async def test_the_visitor_is_lost(served):
    """A connection that breaks without a Close is a disconnect, with a code that says so."""
    app = App()
    async with served(app) as site, site.websocket() as socket:
        socket.transport.abort()
        message = await app.disconnects.get()
    assert message["type"] == "websocket.disconnect"
    assert message["code"] in (1005, 1006)


async def test_sending_to_a_visitor_who_left_raises(served):
    """`send` raises OSError when the visitor has gone."""
    left, failed = asyncio.Event(), asyncio.Queue()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await left.wait()
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "123"})
        except OSError as exc:
            failed.put_nowait(exc)

    async with served(app) as site:
        async with site.websocket():
            pass
        left.set()
        assert isinstance(await failed.get(), OSError)


async def test_an_app_that_returns_ends_the_websocket(served):
    """A WebSocket ends when its app returns, also without websocket.close."""
    async with served(sending({"type": "websocket.accept"})) as site, site.websocket() as socket:
        code, _ = await closed(socket)
    assert code in (1000, 1006)


@pytest.mark.parametrize("how", ["accepts twice", "raises", "returns something"])
async def test_an_app_that_fails_ends_the_websocket(served, how):
    """An accepted WebSocket never outlives its app, and an error does not pass for a farewell."""

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        if how == "accepts twice":
            await send({"type": "websocket.accept"})
        elif how == "raises":
            raise Exception("on purpose")
        return 123

    async with served(app) as site, site.websocket() as socket:
        code, _ = await closed(socket)
    assert code in (1006, 1011)


async def test_a_shutdown_closes_with_1012(served):
    """At shutdown the visitor gets "service restart" and the app a disconnect with that code."""
    app = App()
    async with served(app) as site, site.websocket() as socket:
        site.begin_shutdown()
        assert await closed(socket) == (1012, "")
        message = await app.disconnects.get()
        assert message["code"] == 1012
        await site.stopped()


# --- keep-alive


async def test_pings_keep_a_quiet_visitor(served):
    """Pings come at their interval; a visitor that answers them stays."""
    app = App(on_receive=echo)
    pings = asyncio.Queue()
    async with (
        served(app, ping_interval=0.1, ping_timeout=5.0) as site,
        site.websocket() as socket,
    ):
        notice(socket, Opcode.PING, pings)
        for _ in range(3):
            await pings.get()
        await socket.send("still here")
        assert await socket.recv() == "still here"


async def test_a_visitor_that_answers_no_ping_is_closed(served):
    """Without a pong in time the WebSocket is closed with 1011, and uvicorn's reason for it."""
    app = App()
    async with (
        served(app, ping_interval=0.1, ping_timeout=0.1) as site,
        site.websocket(close_timeout=0.1) as socket,
    ):
        socket.transport.write = lambda data: None  # the visitor falls silent
        assert await closed(socket) == (1011, "keepalive ping timeout")


async def test_pings_can_be_switched_off(served):
    """With no interval no ping is sent."""
    app = App(on_receive=echo)
    pings = asyncio.Queue()
    async with served(app, ping_interval=None) as site, site.websocket() as socket:
        notice(socket, Opcode.PING, pings)
        for number in range(20):
            await socket.send(str(number))
            assert await socket.recv() == str(number)
            await asyncio.sleep(0.01)
        assert pings.empty()


def notice(socket, opcode, queue):
    """Put each frame of this kind that the visitor gets into the queue."""
    process = socket.process_event

    def processed(event):
        if getattr(event, "opcode", None) is opcode:
            queue.put_nowait(event)
        process(event)

    socket.process_event = processed
