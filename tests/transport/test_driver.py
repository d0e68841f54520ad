"""One engine on an event loop."""

import asyncio

import anyio
import pytest

from asgi_quicktunnel.errors import ConnectionLost

from tests_support.driver_pair import DriverPair, driver_pair

pytestmark = pytest.mark.anyio


async def _line(stream):
    """What comes up to a line's end; packets may cut it anywhere."""
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive()
    return line


async def test_a_thousand_open_streams_each_answer():
    """The edge opens 1,000 streams and ends none; each is answered."""
    async with driver_pair() as pair:

        async def answer():
            for _ in range(1000):
                stream = await pair.client_accepted.get()
                await stream.send(await _line(stream))

        streams = [pair.server.open_stream() for _ in range(1000)]
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(answer)
                for number, stream in enumerate(streams):
                    await stream.send(b"%d\n" % number)
                for number, stream in enumerate(streams):
                    assert await _line(stream) == b"%d\n" % number
        assert len(pair.client.streams) == 1000


async def test_silence_is_broken_by_a_ping_each_second():
    """A connection that nothing uses is still there after its idle timeout of 1.5 s."""
    idle = {"idle_timeout": 1.5}
    async with driver_pair(client=idle, server=idle) as pair:
        with anyio.move_on_after(3) as waited:
            await asyncio.shield(pair.client.closed)
        assert waited.cancelled_caught
        assert not pair.server.closed.done()


async def test_a_peer_that_falls_silent_is_noticed():
    """Without a packet for the idle timeout the connection is lost, and said to be idle."""
    idle = {"idle_timeout": 0.5}
    async with driver_pair(client=idle, server=idle) as pair:
        pair.cut = True
        with anyio.fail_after(5):
            closed = await asyncio.shield(pair.client.closed)
        assert closed.idle
        assert pair.client.lost.idle


async def test_a_failed_handshake_raises():
    """A server nobody trusts ends `wait_connected` with ConnectionLost and its TLS alert."""
    from tests_support.edge_certificates import issue

    pair = DriverPair(client={"trust_roots": issue(authority_name="other").authority})
    with anyio.fail_after(5), pytest.raises(ConnectionLost) as lost:
        await pair.client.wait_connected()
    assert 0x100 <= lost.value.code < 0x200
    pair.server.abandon()


async def test_without_a_taker_the_streams_of_the_peer_are_refused():
    """A side that takes no streams resets each."""
    async with driver_pair() as pair:
        pair.client._on_stream = None
        stream = pair.server.open_stream()
        await stream.send(b"hello")
        with anyio.fail_after(5):
            await stream.disconnected()


async def test_close_tells_the_peer_at_once():
    """`close` sends its packet in the same turn of the loop."""
    async with driver_pair() as pair:
        await anyio.wait_all_tasks_blocked()
        pair.sent.clear()
        pair.client.close(0, "client shutdown")
        assert len(pair.sent) == 1
        with anyio.fail_after(5):
            closed = await asyncio.shield(pair.server.closed)
        assert (closed.code, closed.reason, closed.by_peer) == (0, "client shutdown", True)


async def test_abandoning_says_nothing():
    """`abandon` ends the connection here without a packet."""
    async with driver_pair() as pair:
        await anyio.wait_all_tasks_blocked()
        pair.sent.clear()
        pair.client.abandon()
        assert pair.client.closed.done()
        assert pair.sent == []
