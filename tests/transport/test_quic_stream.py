"""One stream as a coroutine sees it."""

import anyio
import pytest

from asgi_quicktunnel.errors import ConnectionLost, LocalProtocolError, StreamReset

from tests_support.driver_pair import driver_pair
from tests_support.engines import engine

pytestmark = pytest.mark.anyio
KIB = 1024
SMALL = {"stream_window": 64 * KIB, "connection_window": 1024 * KIB, "send_high_water": 64 * KIB}


async def read_all(stream):
    """What comes until the end."""
    parts = []
    while data := await stream.receive():
        parts.append(data)
    return b"".join(parts)


async def test_bytes_travel_both_ways_and_end():
    """Each side reads what the other sent, then b"" for ever."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await ours.send(b"answer")
        await ours.send_eof()
        await theirs.send(b"body")
        await theirs.send_eof()
        with anyio.fail_after(5):
            assert await read_all(ours) == b"body"
            assert await read_all(theirs) == b"answer"
            assert await ours.receive() == b""
            assert ours.receive_ended


async def test_what_one_turn_sends_travels_together():
    """Head, body and end that are sent without a pause arrive as one frame."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await ours.send(b"head")
        await ours.send(b"body")
        await ours.send_eof()
        with anyio.fail_after(5):
            assert await theirs.receive() == b"headbody"
        assert theirs.receive_ended


async def test_a_reader_that_stops_stops_the_writer():
    """Against a peer that does not read, `send` waits with a bounded amount queued."""
    async with driver_pair(client=SMALL, server=SMALL) as pair:
        theirs, ours = await pair.stream()
        sent = 0
        with anyio.move_on_after(0.3):
            while sent < 10_000 * KIB:
                await ours.send(bytes(16 * KIB))
                sent += 16 * KIB
        assert 64 * KIB <= sent <= 256 * KIB

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(ours.send, b"more")
                received = b""
                while not received.endswith(b"more"):
                    received = received[-3:] + await theirs.receive()


async def test_a_large_chunk_arrives_whole():
    """One `send` of 5 MiB arrives byte for byte."""
    body = bytes(range(256)) * (20 * KIB)
    async with driver_pair(client=SMALL, server=SMALL) as pair:
        theirs, ours = await pair.stream()

        async def write():
            await ours.send(body)
            await ours.send_eof()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(write)
                assert await read_all(theirs) == body


async def test_a_reset_wakes_reader_writer_and_watcher():
    """RESET_STREAM and STOP_SENDING end every wait with the code the peer gave."""
    async with driver_pair(client=SMALL, server=SMALL) as pair:
        theirs, ours = await pair.stream()
        codes = []

        async def wait(call):
            try:
                await call()
            except StreamReset as exc:
                codes.append(exc.code)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(wait, ours.receive)
                group.start_soon(wait, lambda: ours.send(bytes(1024 * KIB)))
                group.start_soon(ours.disconnected)
                await anyio.wait_all_tasks_blocked()
                theirs.reset(9)
        assert codes == [9, 9]
        assert ours.is_disconnected


async def test_stop_sending_after_the_end_is_no_disconnect():
    """A peer that stops reading after our end was queued has not left."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await ours.send(b"all")
        await ours.send_eof()
        theirs.stop(0)
        await theirs.send(b"still here")
        with anyio.fail_after(5):
            assert await ours.receive() == b"still here"
        assert not ours.is_disconnected


async def test_stop_sending_before_the_end_is_a_disconnect():
    """A peer that reads no more makes the next `send` fail."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await ours.send(b"begin")
        theirs.stop(3)
        with anyio.fail_after(5):
            await ours.disconnected()
        with pytest.raises(StreamReset):
            await ours.send(b"more")


async def test_the_loss_of_the_connection_ends_every_wait():
    """Readers, writers and watchers of a lost connection see ConnectionLost at once."""
    async with driver_pair() as pair:
        _, ours = await pair.stream()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(ours.disconnected)
                await anyio.wait_all_tasks_blocked()
                pair.server.close(7, "gone")
        with pytest.raises(ConnectionLost) as lost:
            await ours.receive()
        assert lost.value.code == 7
        with pytest.raises(ConnectionLost):
            await ours.send(b"x")
        with pytest.raises(ConnectionLost):
            pair.client.open_stream()


async def test_sending_after_the_end_is_our_mistake():
    """`send` after `send_eof` is refused."""
    async with driver_pair() as pair:
        _, ours = await pair.stream()
        await ours.send_eof()
        with pytest.raises(LocalProtocolError):
            await ours.send(b"late")


async def test_what_is_pushed_back_comes_first():
    """`push_back` returns bytes to the front, also behind the peer's end."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await theirs.send(b"abcdef")
        await theirs.send_eof()
        with anyio.fail_after(5):
            data = await ours.receive()
            ours.push_back(data[3:])
            assert await ours.receive(2) == b"de"
            assert not ours.receive_ended
            assert await ours.receive() == b"f"
            assert await ours.receive() == b""


async def test_a_stream_that_is_over_is_forgotten():
    """Once both halves ended the driver keeps nothing of it."""
    async with driver_pair() as pair:
        for _ in range(20):
            theirs, ours = await pair.stream()
            await theirs.send_eof()
            await ours.send_eof()
            with anyio.fail_after(5):
                assert await ours.receive() == b""
                assert await theirs.receive() == b""
        await anyio.wait_all_tasks_blocked()
        assert pair.client.streams == {}
        assert pair.server.streams == {}
        if engine().name == "aioquic":
            assert pair.client._engine._streams == {}


async def test_a_reader_may_give_up_when_nobody_listens():
    """With `while_heard` a reader that waits ends at STOP_SENDING, after what had arrived."""
    async with driver_pair() as pair:
        theirs, ours = await pair.stream()
        await theirs.send(b"first")
        theirs.stop(4)
        with anyio.fail_after(5):
            assert await ours.receive(while_heard=True) == b"first"
            with pytest.raises(StreamReset):
                await ours.receive(while_heard=True)
        await theirs.send(b"second")
        with anyio.fail_after(5):
            assert await ours.receive() == b"second"
