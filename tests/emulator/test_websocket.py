"""WebSocket through the front: a real client, and a real server behind the connector."""

import ssl

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode
from websockets.server import ServerProtocol

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.model import RequestKind

from tests_support.public_front import public_front, read_until

pytestmark = pytest.mark.anyio

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),  # protocol.md §6.6
)


@pytest.fixture(autouse=True)
async def deadline():
    with anyio.fail_after(10):
        yield


async def echo(stream):
    """A WebSocket server that sends every message back."""
    server = ServerProtocol()
    # The edge strips these three: protocol.md §6.6.
    headers = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    headers += [(b"Sec-WebSocket-Version", b"13"), *stream.head.headers]
    lines = [b"GET / HTTP/1.1", *[b"%b: %b" % header for header in headers], b"", b""]
    server.receive_data(b"\r\n".join(lines))
    response = server.accept(server.events_received()[0])
    server.send_response(response)
    server.data_to_send()
    answer = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    await stream.respond(response.status_code, *answer)
    while data := await stream.read():
        server.receive_data(data)
        for frame in server.events_received():
            if frame.opcode is Opcode.TEXT:
                server.send_text(frame.data)
            elif frame.opcode is Opcode.BINARY:
                server.send_binary(frame.data)
        for data in server.data_to_send():
            if not data:
                return
            await stream.write(data)


async def raw_echo(stream):
    """Switches, and sends back whatever comes."""
    await stream.respond(101, *SWITCH)
    while data := await stream.read():
        await stream.write(data)


async def test_messages_travel_both_ways():
    """A client of the websockets library talks to a server behind the connector."""
    async with public_front(echo) as front:
        url = f"ws://{front.host.decode()}/chat?x=1"
        async with connect(url, host="127.0.0.1", port=front.port, compression=None) as client:
            for message in ("text", b"\x00binary", "x" * 300_000):
                await client.send(message)
                assert await client.recv() == message
        assert client.close_code == 1000

        (stream,) = front.connector.streams
        assert stream.head.kind is RequestKind.WEBSOCKET
        assert stream.head.dest.endswith(b"/chat?x=1")
        names = {name.lower() for name, _ in stream.head.headers}
        assert not names & {b"connection", b"upgrade", b"sec-websocket-version"}
        assert b"sec-websocket-key" in names
        assert stream.violations == []


async def test_frames_sent_with_the_handshake_are_passed_on():
    """What the visitor sends before the answer to its handshake is not lost."""
    async with public_front(raw_echo) as front, await front.connect() as stream:
        await stream.send(HANDSHAKE.replace(b"HOST", front.host) + b"early")
        assert (await read_until(stream, b"early")).startswith(b"HTTP/1.1 101 ")
        await stream.send(b"late")
        assert await read_until(stream, b"late") == b"late"


async def test_the_visitors_end_is_the_end():
    """When the visitor closes, the connector sees the end of what it sent, and no reset."""

    async def read(stream):
        await stream.respond(101, *SWITCH)
        bodies.append(await stream.read_all())
        done.set()

    bodies = []
    done = anyio.Event()
    async with public_front(read) as front:
        async with await front.connect() as stream:
            await stream.send(HANDSHAKE.replace(b"HOST", front.host))
            await read_until(stream, b"\r\n\r\n")
            await stream.send(b"last words")
        await done.wait()
        assert bodies == [b"last words"]
        assert front.connector.streams[0].ended.is_set()


async def test_the_connectors_end_is_the_end():
    """When the connector ends, the visitor gets everything it sent, and a closed connection."""

    async def talk(stream):
        await stream.respond(101, *SWITCH)
        await stream.write(b"good" + b"b" * 100_000 + b"ye")

    async with public_front(talk) as front:
        answer = await front.exchange(HANDSHAKE)
        assert answer.endswith(b"bbye")
        await front.connector.streams[0].abandoned.wait()


async def test_a_refused_handshake_is_an_ordinary_answer():
    """Anything but 101 is an answer like any other, and the connection can be used again."""

    async def refuse(stream):
        await stream.respond(403, (b"content-length", b"2"))
        await stream.write(b"no")

    async with public_front(refuse) as front:
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(f"ws://{front.host.decode()}/", host="127.0.0.1", port=front.port):
                pass
        assert refusal.value.response.status_code == 403
        assert refusal.value.response.body == b"no"

        answers = await front.exchange(
            HANDSHAKE + b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
        )
        assert answers.count(b"HTTP/1.1 403 ") == 2
        assert not front.connector.streams[-2].abandoned.is_set()


async def test_a_101_is_made_whole():
    """What a 101 lacks is told of; the visitor gets the headers it needs."""

    async def careless(stream):
        await stream.respond(101, (b"sec-websocket-accept", b"wrong"))

    async with public_front(careless) as front:
        answer = await front.exchange(HANDSHAKE)
        assert b"connection: Upgrade\r\n" in answer
        assert b"upgrade: websocket\r\n" in answer
        assert front.connector.streams[0].violations == [Rule.UPGRADE, Rule.UPGRADE]


async def test_other_upgrades_are_ordinary_requests():
    """An offer of h2c, or an upgrade with a body, goes on as plain HTTP."""

    async def ok(stream):
        await stream.respond(200, (b"content-length", b"0"))

    async with public_front(ok) as front:
        answers = await front.exchange(
            b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n"
            + HANDSHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\nx")
            + b"GET / HTTP/1.0\r\n\r\n"
        )
        assert answers.count(b"HTTP/1.1 200 ") == 2
        heads = [stream.head for stream in front.connector.streams]
        assert [head.kind for head in heads] == [RequestKind.HTTP, RequestKind.HTTP]
        assert b"http2-settings" not in {name.lower() for name, _ in heads[0].headers}


async def test_a_visitor_that_leaves_before_the_101_is_noticed():
    """The stream is abandoned when the visitor does not wait for the switch."""

    async def hesitate(stream):
        await stream.abandoned.wait()

    async with public_front(hesitate) as front:
        async with await front.connect() as stream:
            await stream.send(HANDSHAKE.replace(b"HOST", front.host))
            while not front.connector.streams:
                await anyio.lowlevel.checkpoint()
        await front.connector.streams[0].abandoned.wait()


async def test_closing_is_clean_for_the_client():
    """The client's closing handshake is completed by the server behind the connector."""
    async with public_front(echo) as front:
        url = f"ws://{front.host.decode()}/"
        async with connect(url, host="127.0.0.1", port=front.port) as client:
            await client.close(4000, "enough")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == closed.value.sent.code == 4000


async def test_websocket_over_tls():
    """wss:// on the same port; the connector learns the scheme."""
    async with public_front(echo) as front:
        context = ssl.create_default_context(cadata=Authority.shared().certificate.decode())
        async with connect(
            f"wss://{front.host.decode()}/", host="127.0.0.1", port=front.port, ssl=context
        ) as client:
            await client.send("x" * 100_000)
            assert await client.recv() == "x" * 100_000
        assert front.connector.streams[0].head.dest.startswith(b"https://")
