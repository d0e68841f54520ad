"""UDP sockets that read and write in batches."""

import asyncio
import socket

import anyio
import pytest

from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.transport.udp import UdpListener, UdpSocket

pytestmark = pytest.mark.anyio


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """An event loop that, like Windows' proactor, offers no `add_reader`."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    def add_writer(self, fd, callback, *args):
        raise NotImplementedError


async def _exchange(host):
    """A datagram there, 100 back; what arrived."""
    heard, answers = [], []
    done = asyncio.Event()

    def answer(batch):
        for data, sender in batch:
            heard.append(data)
            listener.send([b"%d" % number for number in range(100)], sender)

    def collect(batch):
        answers.extend(batch)
        if len(answers) >= 100:
            done.set()

    listener = UdpListener(host, 0, answer)
    await listener.start()
    client = UdpSocket(EdgeAddress(host, listener.port))
    await client.start(collect)
    client.send([b"hello"])
    with anyio.fail_after(5):
        await done.wait()
    client.close()
    client.close()
    listener.close()
    return heard, answers


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_travel_both_ways(host):
    """What is sent arrives, over IPv4 and IPv6."""
    heard, answers = await _exchange(host)

    assert heard == [b"hello"]
    assert answers == [b"%d" % number for number in range(100)]


def test_a_loop_without_readers_works_too():
    """Where the loop has no `add_reader` a datagram endpoint takes its place."""
    loop = LoopWithoutReaders()
    try:
        heard, answers = loop.run_until_complete(_exchange("127.0.0.1"))
    finally:
        loop.close()

    assert heard == [b"hello"]
    assert len(answers) == 100


async def test_what_is_more_than_usual_arrives_too():
    """After many wake-ups with one datagram each, a hundred at once all arrive, in order."""
    arrived = []
    heard = asyncio.Event()

    def collect(batch):
        arrived.extend(batch)
        heard.set()

    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        client = UdpSocket(EdgeAddress(*peer.getsockname()))
        await client.start(collect)
        sent = [b"%d" % number for number in range(150)]
        with anyio.fail_after(5):
            for data in sent[:50]:
                peer.sendto(data, ("127.0.0.1", client.local_port))
                await heard.wait()
                heard.clear()
            for data in sent[50:]:
                peer.sendto(data, ("127.0.0.1", client.local_port))
            while len(arrived) < len(sent):
                await heard.wait()
                heard.clear()
        client.close()
    assert arrived == sent


async def test_a_datagram_longer_than_announced_is_no_other_s_end():
    """What no peer may send is one datagram, whole or cut, and those around it are as they were."""
    arrived = []
    done = asyncio.Event()

    def collect(batch):
        arrived.extend(batch)
        if len(arrived) >= 3:
            done.set()

    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        client = UdpSocket(EdgeAddress(*peer.getsockname()))
        await client.start(collect)
        for data in (b"a" * 1200, b"x" * 4000, b"b" * 1200):
            peer.sendto(data, ("127.0.0.1", client.local_port))
        with anyio.fail_after(5):
            await done.wait()
        client.close()
    assert [arrived[0], arrived[2]] == [b"a" * 1200, b"b" * 1200]
    assert arrived[1] == b"x" * len(arrived[1])
    assert len(arrived[1]) in (2048, 4000)


async def test_a_datagram_too_long_for_the_path_is_lost_alone():
    """EMSGSIZE loses that datagram; the others arrive and the socket lives."""
    arrived = []
    done = asyncio.Event()

    def collect(batch):
        arrived.extend(data for data, _ in batch)
        if b"after" in arrived:
            done.set()

    listener = UdpListener("127.0.0.1", 0, collect)
    await listener.start()
    client = UdpSocket(EdgeAddress("127.0.0.1", listener.port))
    await client.start(lambda batch: None)
    client.send([b"before", bytes(70_000), b"after"])
    with anyio.fail_after(5):
        await done.wait()

    assert arrived == [b"before", b"after"]
    assert client.last_error is not None
    client.close()
    listener.close()


async def test_a_port_where_nobody_listens_is_a_lost_packet():
    """ICMP "port unreachable" is remembered and ends nothing."""
    unused = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unused.bind(("127.0.0.1", 0))
    address = EdgeAddress("127.0.0.1", unused.getsockname()[1])
    unused.close()
    client = UdpSocket(address)
    await client.start(lambda batch: None)
    with anyio.fail_after(5):
        while client.last_error is None:
            client.send([b"anyone?"])
            await asyncio.sleep(0)

    assert isinstance(client.last_error, ConnectionRefusedError)
    client.close()


async def test_a_taken_port_falls_back_to_any():
    """The wanted local port is used when it is free, another when it is not."""
    listener = UdpListener("127.0.0.1", 0, lambda batch: None)
    await listener.start()
    address = EdgeAddress("127.0.0.1", listener.port)
    first = UdpSocket(address)
    second = UdpSocket(address, local_port=first.local_port)
    assert second.local_port != first.local_port
    wanted = first.local_port
    first.close()
    third = UdpSocket(address, local_port=wanted)
    assert third.local_port == wanted
    assert third.local_ip == "127.0.0.1"
    second.close()
    third.close()
    listener.close()
