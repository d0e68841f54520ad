import anyio
import pytest

from asgi_quicktunnel.errors import ConnectionLost, LocalProtocolError, StreamReset
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead

from tests_support.fake_stream import CHUNK, CreditExceeded, FakeStream

pytestmark = pytest.mark.anyio

OK = ResponseHead(200)


@pytest.fixture
def stream():
    return FakeStream(RequestHead(RequestKind.HTTP, b"/"), window=2 * CHUNK, high_water=10)


async def test_bytes_come_in_order_and_then_the_end(stream):
    """What the visitor sent is received whole, in parts of at most CHUNK, then b"" for ever."""
    stream.feed(b"a" * CHUNK)
    stream.feed(b"bc")
    stream.feed_eof()

    assert [await stream.receive() for _ in range(4)] == [b"a" * CHUNK, b"bc", b"", b""]


async def test_unread_bytes_are_limited_by_the_window(stream):
    """The visitor can't send beyond the window, and can again after a receive."""
    stream.feed(bytes(2 * CHUNK))
    with pytest.raises(CreditExceeded):
        stream.feed(b"x")

    await stream.receive()

    stream.feed(bytes(CHUNK))
    assert stream.consumed == CHUNK


async def test_feed_all_waits_for_credit(stream):
    """A body larger than the window arrives whole, and only as fast as it is read."""
    data = bytes(range(256)) * (4 * CHUNK // 256)
    received = b""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.feed_all, data)
            while len(received) < len(data):
                received += await stream.receive()
                assert stream.consumed == len(received)

    assert received == data


async def test_receive_waits_and_can_be_cancelled_without_loss(stream):
    """A receive that was cancelled took nothing."""
    with anyio.move_on_after(0):
        await stream.receive()

    stream.feed(b"x")

    assert await stream.receive() == b"x"


async def test_send_waits_above_the_high_water_mark(stream):
    """With a visitor that doesn't take the answer, send waits; taking some ends the wait."""
    stream.manual = True
    returned = []
    await stream.respond(OK)

    async def send():
        await stream.send(b"12345678901")
        returned.append(True)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await stream.until(lambda: len(stream.sent) == 11)
            assert not returned
            assert stream.take(1) == b"1"

    assert returned
    assert stream.take() == b"2345678901"


@pytest.mark.parametrize("leave", [FakeStream.feed_reset, FakeStream.stop])
async def test_a_visitor_who_left_is_noticed_everywhere(stream, leave):
    """After RESET_STREAM or STOP_SENDING each call raises StreamReset; disconnected returns."""
    leave(stream, 7)

    await stream.disconnected()
    for call in (stream.receive(), stream.respond(OK), stream.send(b"x")):
        with pytest.raises(StreamReset) as caught:
            await call
        assert caught.value.code == 7
    await stream.send_eof()
    assert not stream.complete


async def test_a_waiting_send_ends_when_the_visitor_leaves(stream):
    """A send that waits above the mark raises once the visitor left."""
    stream.manual = True
    await stream.respond(OK)

    async def send():
        with pytest.raises(StreamReset):
            await stream.send(bytes(11))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await stream.until(lambda: stream.sent)
            stream.stop()


async def test_two_readers_at_once_are_a_mistake(stream):
    """A second receive while one waits fails, since the real stream could not serve both."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(AssertionError, match="one reader"):
            await stream.receive()
        stream.feed_eof()


async def test_a_lost_connection_is_told_apart(stream):
    """After the loss of the connection calls raise ConnectionLost."""
    stream.lose()

    with pytest.raises(ConnectionLost):
        await stream.receive()
    await stream.disconnected()


async def test_stop_after_the_end_is_routine(stream):
    """STOP_SENDING after a complete answer is no disconnect."""
    await stream.respond(OK)
    await stream.send_eof()

    stream.stop()

    assert stream.complete
    assert stream.stopped_after_end
    with anyio.move_on_after(0) as scope:
        await stream.disconnected()
    assert scope.cancelled_caught


async def test_the_end_of_the_answer_ends_a_waiting_receive(stream):
    """Once the answer is over, what the visitor still sends is refused: receive gives b""."""
    await stream.respond(OK)
    await stream.send_eof()

    assert await stream.receive() == b""


async def test_a_reset_spoils_the_answer(stream):
    """A reset, even after the end, means that the visitor can't count on the answer."""
    await stream.respond(OK)
    await stream.send_eof()

    stream.reset(3)

    assert stream.reset_code == 3
    assert not stream.complete


async def test_misuse_is_refused(stream):
    """Data before the head, a second head and data after the end raise LocalProtocolError."""
    with pytest.raises(LocalProtocolError):
        await stream.send(b"x")
    with pytest.raises(LocalProtocolError):
        await stream.send_eof()
    await stream.respond(OK)
    with pytest.raises(LocalProtocolError):
        await stream.respond(OK)
    await stream.send_eof()
    with pytest.raises(LocalProtocolError):
        await stream.send(b"x")
