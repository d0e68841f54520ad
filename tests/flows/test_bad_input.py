"""What a hostile or broken edge sends costs one stream; the same connection serves on."""

import asyncio
import contextlib
import gc
import struct

import anyio
import pytest

from asgi_quicktunnel.errors import StreamReset
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.protocol.datastream import DATA_SIGNATURE, RPC_SIGNATURE, encode_request
from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.raw_edge import answer_of, connected

pytestmark = pytest.mark.anyio


async def app(scope, receive, send):
    """Answers "fine" after reading the body."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


async def was_reset(stream):
    """Read a stream to its end; whether that was a reset."""
    with anyio.fail_after(8):
        try:
            while await stream.receive():
                pass
        except StreamReset:
            return True
    return False


async def assert_serves(edge):
    """The connection that was abused still answers."""
    assert len(edge.drivers) == 1
    head, body = await edge.ask("/")
    assert (head.status, body) == (200, b"fine")


def text(data):
    """A Cap'n Proto list pointer's low bits and words for a text."""
    padded = data + b"\0"
    return padded + bytes(-len(padded) % 8)


def request(dest=b"/", headers=(), metadata=None):
    """An encoded request whose metadata is not checked on the way out."""
    entries = [(b"HttpMethod", b"GET"), (b"HttpHost", b"raw.example")]
    entries += [(b"HttpHeader:" + name, value) for name, value in headers]
    if metadata is not None:
        entries = metadata
    words = bytearray()
    # root struct (1 data word, 2 pointers), then the tag and the entries, then texts
    table = 3 + 1 + 2 * len(entries)
    texts = bytearray()

    def place(data, pointer_word):
        offset = table + len(texts) // 8 - pointer_word - 1
        texts.extend(text(data))
        return struct.pack("<II", (offset << 2) | 1, ((len(data) + 1) << 3) | 2)

    dest_pointer = place(dest, 1)
    list_pointer = struct.pack("<II", (0 << 2) | 1, ((2 * len(entries)) << 3) | 7)
    words += bytes(8) + dest_pointer + list_pointer
    words += struct.pack("<II", len(entries) << 2, 2 << 16)
    for index, (key, value) in enumerate(entries):
        words += place(key, 4 + 2 * index)
        words += place(value, 5 + 2 * index)
    body = struct.pack("<II", 0, 1 | (2 << 16)) + words
    # offsets above count from the struct's first word; the root pointer stands before it
    message = body + texts
    return DATA_SIGNATURE + b"01" + struct.pack("<II", 0, len(message) // 8) + message


def test_the_hand_made_request_is_one():
    """The builder of these tests makes what the codec reads."""
    from asgi_quicktunnel.protocol.datastream import OpeningReader

    head = OpeningReader().receive_data(request(b"/x", [(b"a", b"1")]))
    assert head == RequestHead(RequestKind.HTTP, b"/x", "GET", b"raw.example", [(b"a", b"1")])


HUGE = [(b"x-%d" % number, b"v" * 1000) for number in range(300)]
MANY = [(b"x-%d" % number, b"v") for number in range(1001)]

BAD = {
    "unknown signature": b"GET / HTTP/1.1\r\n\r\n",
    "one wrong byte": DATA_SIGNATURE[:-1] + b"\0",
    "a head of more than 256 KiB": request(headers=HUGE),
    "more than 1,000 entries": request(headers=MANY),
    "a name that is no token": request(headers=[(b"bad name", b"v")]),
    "an empty name": request(headers=[(b"", b"v")]),
    "a colon in a name": request(headers=[(b"a:b", b"v")]),
    "a value with CR": request(headers=[(b"a", b"x\ry")]),
    "a value with LF": request(headers=[(b"a", b"x\nSet-Cookie: y")]),
    "a value with NUL": request(headers=[(b"a", b"x\0y")]),
    "a declared size of 8 GiB": DATA_SIGNATURE + b"01" + struct.pack("<II", 0, 1 << 30),
    "a million segments": DATA_SIGNATURE + b"01" + struct.pack("<I", 1 << 20),
    "a pointer out of bounds": DATA_SIGNATURE
    + b"01"
    + struct.pack("<II", 0, 4)
    + struct.pack("<II", 0, 1 | (2 << 16))
    + bytes(8)
    + struct.pack("<II", (1 << 20) << 2 | 1, 100 << 3 | 2)
    + bytes(8),
    "an unknown kind": request().replace(bytes(8), struct.pack("<Q", 99), 1),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_malformed_beginning_costs_its_stream(what):
    """The stream is reset and stopped, counted, and the connection serves on."""
    async with connected(app) as (edge, connection):
        stream = edge.driver.open_stream()
        with contextlib.suppress(StreamReset):  # it may be refused before all of it is sent
            await stream.send(BAD[what])
        with anyio.fail_after(5):
            await stream.disconnected()
        assert await was_reset(stream)
        assert connection.statistics().streams_refused == 1
        await assert_serves(edge)


async def test_an_end_within_the_head_costs_its_stream():
    """A FIN before the head is complete resets the stream."""
    async with connected(app) as (edge, _):
        stream = await edge.send_raw(
            encode_request(RequestHead(RequestKind.HTTP, b"/"))[:40], end=True
        )
        with anyio.fail_after(5), pytest.raises(StreamReset):
            await stream.receive()
        await assert_serves(edge)


async def test_a_reset_within_the_head_costs_its_stream():
    """A stream that the edge resets before its head is complete is forgotten."""
    async with connected(app) as (edge, connection):
        stream = await edge.send_raw(b"\x0a\x36")
        await asyncio.sleep(0)
        stream.reset(5)
        await assert_serves(edge)
        assert connection.statistics().streams_open == 0


async def test_heads_that_never_end_are_bounded():
    """A thousand streams that each begin a head and stall leave room for others."""
    async with connected(app) as (edge, _):
        for _ in range(1000):
            await edge.send_raw(DATA_SIGNATURE + b"01" + struct.pack("<II", 0, 30_000) + bytes(100))
        await assert_serves(edge)


async def test_a_head_in_single_bytes_is_read():
    """A head that arrives byte by byte is answered."""
    async with connected(app) as (edge, _):
        stream = edge.driver.open_stream()
        for byte in encode_request(RequestHead(RequestKind.HTTP, b"/", "GET", b"raw.example")):
            await stream.send(bytes([byte]))
            await asyncio.sleep(0)
        await stream.send_eof()
        head, body = await answer_of(stream)
        assert (head.status, body) == (200, b"fine")


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 64, struct.pack("<II", 0, 1 << 29), struct.pack("<I", 1 << 30), bytes(16)],
    ids=["noise", "4 GiB declared", "a billion segments", "empty messages"],
)
async def test_nonsense_on_a_call_stream_costs_that_stream(data):
    """An RPC stream of nonsense ends; the connection serves on."""
    async with connected(app) as (edge, _):
        stream = await edge.send_raw(RPC_SIGNATURE + data, end=True)
        await was_reset(stream)
        await assert_serves(edge)


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b"99999999999999999999", b"3, 4", b""])
async def test_a_content_length_that_is_no_number_is_refused(length):
    """The visitor gets 400 or the stream is reset; the app is not called with a guess."""
    async with connected(app) as (edge, _):
        stream = await edge.send_raw(
            request(headers=[(b"content-length", length)]) + b"abc", end=True
        )
        try:
            head, _ = await answer_of(stream)
            assert head.status == 400
        except StreamReset:
            pass
        await assert_serves(edge)


async def test_more_body_than_announced_costs_its_stream():
    """Bytes beyond Content-Length reset the stream."""
    async with connected(app) as (edge, _):
        stream = await edge.send_raw(request(headers=[(b"content-length", b"3")]) + b"abcdef")
        assert await was_reset(stream)
        await assert_serves(edge)


async def test_tcp_requests_are_declined():
    """A request for a TCP connection gets an error reply, and the connection serves on."""
    async with connected(app) as (edge, _):
        head, body = await edge.ask("192.0.2.1:22", kind=RequestKind.TCP)
        assert head.error
        assert body == b""
        await assert_serves(edge)


async def test_datagrams_are_dropped():
    """RFC 9221 datagrams of any content are dropped."""
    async with connected(app, accept=choose_engine("aioquic")) as (edge, _):
        for data in (b"", b"\0", b"x" * 1000):
            edge.driver._engine._connection.send_datagram_frame(data)
        edge.driver.schedule_transmit()
        await assert_serves(edge)


async def test_refused_streams_leave_nothing():
    """After 300 malformed streams the connection holds no stream."""
    async with connected(app) as (edge, connection):
        for number in range(300):
            with contextlib.suppress(StreamReset):
                await edge.send_raw(list(BAD.values())[number % len(BAD)], end=True)
        await assert_serves(edge)
        with anyio.fail_after(5):
            while connection.statistics().streams_open:
                await asyncio.sleep(0)
        gc.collect()
        assert connection.statistics().streams_refused == 300
