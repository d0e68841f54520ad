"""What follows a 101, as bytes and as frames that are counted."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.tcp_pipe import FrameCount

from tests_support.loops import LOOPS
from tests_support.raw_origin import Proxied, RawOrigin, read_head, settled
from tests_support.websocket_visitor import BINARY, CLOSE, raw_frame

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)
OTHER = [(b"connection", b"Upgrade"), (b"upgrade", b"tcp")]
WS = RequestKind.WEBSOCKET


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


def frame(size, *, masked=False):
    return raw_frame(BINARY, bytes(size), masked=masked)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65535, 65536]), st.booleans()), max_size=4
    ),
    st.sampled_from([1, 2, 3, 7, 130, 1000, 70_000]),
)
@settings(deadline=None)
def test_frames_end_where_their_lengths_say(frames, step):
    """Masked or not, of every size, cut anywhere: between two of them, and only there."""
    wire = b""
    ends = {0}
    for size, masked in frames:
        wire += frame(size, masked=masked)
        ends.add(len(wire))
    count = FrameCount()
    for start in range(0, len(wire), step):
        count.count(wire[start : start + step])
        assert count.is_between == (min(start + step, len(wire)) in ends)


@pytest.mark.anyio
@pytest.mark.parametrize("websocket", [True, False])
async def test_bytes_go_both_ways_unchanged(websocket):
    """Also what the origin sent together with its 101; headers and status as it said."""

    async def script(reader, writer):
        origin.asked.append(await read_head(reader))
        writer.write(SWITCH + b"\x00first")
        while data := await reader.read(100):
            writer.write(data[::-1])

    request = {"kind": WS} if websocket else {"headers": OTHER}
    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(**request) as stream:
            await stream.until(lambda: stream.sent == b"\x00first")
            stream.feed(b"HTTP/1.1")
            await stream.until(lambda: stream.sent.endswith(b"1.1/PTTH"))
            stream.feed_eof()
        assert stream.complete
        assert stream.response.status == 101
        assert (b"sec-websocket-accept", b"x") in stream.response.headers
        assert (b"upgrade", b"websocket") in stream.response.headers
        assert origin.asked[0].fields["upgrade"] == ("websocket" if websocket else "tcp")
        (done,) = proxied.events
        assert (done.status, done.received, done.sent) == (101, 8, 14)
        assert proxied.origin.statistics().open == 0


@pytest.mark.anyio
async def test_a_switch_that_is_declined_is_an_ordinary_answer():
    """With its body; the connection is kept."""
    answer = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit(kind=WS)
        assert (visit.response.status, visit.sent, visit.complete) == (403, b"no", True)
        assert proxied.origin.statistics().idle == 1


@pytest.mark.anyio
async def test_the_origins_end_is_the_visitors():
    """Behind everything that the origin said."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH + b"bye" * 100_000)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit(kind=WS)
        assert visit.complete
        assert len(visit.sent) == 300_000


@pytest.mark.anyio
async def test_the_visitors_end_is_the_origins():
    """Behind everything that the visitor said."""
    heard = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH)
        heard.set_result(await reader.read())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS) as stream:
            stream.feed(b"bye" * 100_000)
            stream.feed_eof()
            assert await heard == b"bye" * 100_000
        assert stream.complete


@pytest.mark.anyio
async def test_a_visitor_that_is_lost_ends_the_origins_connection():
    """A reset, rather than an end, is passed on as an end: TCP has no better word here."""
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH)
        await reader.read()
        gone.set()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS) as stream:
            await stream.until(lambda: stream.response is not None)
            stream.feed_reset()
            await gone.wait()
        assert not stream.complete


@pytest.mark.anyio
async def test_a_drain_closes_a_websocket_between_two_frames():
    """The visitor gets 1012, the origin 1001, and the stream ends."""
    heard = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH + frame(3))
        heard.set_result(await reader.read())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS) as stream:
            await stream.until(lambda: bool(stream.sent))
            await proxied.origin.drain()
        assert stream.complete
        assert stream.sent == frame(3) + b"\x88\x02\x03\xf4"
        opcode, mask_and_length, *mask, high, low = await heard
        assert (opcode, mask_and_length, mask) == (0x80 | CLOSE, 0x82, [0, 0, 0, 0])
        assert high << 8 | low == 1001


@pytest.mark.anyio
async def test_a_drain_says_nothing_within_a_frame():
    """Both sides are cut off there, and other protocols anywhere."""
    heard = asyncio.Queue()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH + frame(3)[:-1])
        heard.put_nowait(await reader.read())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS) as stream, proxied.serving(headers=OTHER) as other:
            stream.feed(frame(200, masked=True)[:-1])
            await stream.until(lambda: bool(stream.sent) and bool(stream.consumed))
            await other.until(lambda: bool(other.sent))
            await proxied.origin.drain()
        assert stream.sent == other.sent == frame(3)[:-1]
        assert {await heard.get(), await heard.get()} == {b"", frame(200, masked=True)[:-1]}


@pytest.mark.anyio
@pytest.mark.alone
async def test_a_drain_does_not_wait_for_a_visitor_who_reads_nothing():
    """After a second it is cut off."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH + frame(5000))
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS, manual=True, high_water=1000) as stream:
            await stream.until(lambda: len(stream.sent) == len(frame(5000)))
            started = asyncio.get_running_loop().time()
            await proxied.origin.drain()
            assert 0.9 < asyncio.get_running_loop().time() - started < 3
        assert not stream.complete
        assert proxied.origin.statistics().open == 0


@pytest.mark.anyio
async def test_a_visitor_who_goes_on_sending_is_told_all_the_same():
    """What it says after the Close is dropped, and reaches nobody."""
    heard = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH)
        heard.set_result(await reader.read())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS) as stream:
            await stream.until(lambda: stream.response is not None)
            draining = asyncio.create_task(proxied.origin.drain())
            await stream.until(lambda: bool(stream.sent))
            stream.feed(frame(100, masked=True))
            await draining
            await proxied.origin.drain()
        assert stream.consumed > 100
        assert len(await heard) == 8
        assert stream.complete


@pytest.mark.anyio
async def test_a_cancelled_pipe_cuts_both_sides_off():
    """As at the end of the grace period."""
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH)
        await reader.read()
        gone.set()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        stream = proxied.stream(kind=WS)
        serving = asyncio.create_task(proxied.serve(stream))
        await stream.until(lambda: stream.response is not None)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert stream.reset_code == 0
        async with asyncio.timeout(5):
            await gone.wait()


@pytest.mark.anyio
async def test_a_websocket_that_opens_while_draining_is_closed():
    """As those that were open before."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(SWITCH)
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        await proxied.origin.drain()
        visit = await proxied.visit(kind=WS)
        assert visit.sent == b"\x88\x02\x03\xf4"
        assert visit.complete


@pytest.mark.anyio
async def test_a_slow_visitor_makes_the_origin_wait():
    """A pipe holds a bounded number of bytes too."""
    written = 0

    async def script(reader, writer):
        nonlocal written
        await read_head(reader)
        writer.write(SWITCH + raw_frame(BINARY, masked=False, length=32 << 20))
        while written < 32 << 20:
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(kind=WS, manual=True) as stream:
            await stream.until(lambda: len(stream.sent) >= stream.high_water)
            assert await settled(lambda: written) < 16 << 20  # what the system holds between
            stream.manual = False
            stream.take()
        assert len(stream.sent) == 10 + (32 << 20)
