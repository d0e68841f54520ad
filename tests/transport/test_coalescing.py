"""Many UDP datagrams per call."""

import select
import socket
import sys
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.transport.coalescing import CoalescingReceiver
from asgi_quicktunnel.transport.segmentation import SegmentingSender


class CountingSocket:
    """A socket that counts reads, and may know no options."""

    def __init__(self, sock, *, knows_blocks=True):
        self.sock = sock
        self.knows_blocks = knows_blocks
        self.options = []
        self.reads = 0

    def setsockopt(self, *option):
        self.options.append(option)
        if not self.knows_blocks:
            raise OSError(92, "Protocol not available")
        self.sock.setsockopt(*option)

    def recv(self, size):
        self.reads += 1
        return self.sock.recv(size)

    def recvmsg_into(self, rooms, space):
        self.reads += 1
        return self.sock.recvmsg_into(rooms, space)


@contextmanager
def pair(**options):
    """A sender, and a receiver with its socket."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as there,
        socket.socket(type=socket.SOCK_DGRAM) as here,
    ):
        there.bind(("127.0.0.1", 0))
        here.bind(("127.0.0.1", 0))
        here.connect(there.getsockname())
        there.connect(here.getsockname())
        here.setblocking(False)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        counting = CountingSocket(here, **options)
        yield SegmentingSender(there), CoalescingReceiver(counting, _fail), counting


def _fail(error):
    raise error


def receive(receiver, counting, count):
    """As many datagrams as were sent, by as many wake-ups as it takes."""
    received = []
    while len(received) < count:
        readable, _, _ = select.select([counting.sock], [], [], 5)
        assert readable, f"{len(received)} of {count} arrived"
        received += receiver.receive()
    assert receiver.receive(all_of_it=True) == []
    return received


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each datagram is a call")
def test_what_was_sent_by_one_call_is_read_by_one():
    """Forty datagrams and a shorter one are one block, and a second read finds nothing."""
    sent = [bytes([number]) * 1232 for number in range(40)] + [b"the rest"]
    with pair() as (sender, receiver, counting):
        sender.send(sent)
        select.select([counting.sock], [], [], 5)
        assert receiver.receive() == sent
        assert counting.reads == 2


@pytest.mark.parametrize("knows_blocks", [True, False])
@given(st.lists(st.integers(1, 1452) | st.just(1232), max_size=80))
def test_datagrams_arrive_as_they_were_sent(knows_blocks, sizes):
    """Whatever their sizes, all arrive, whole, apart and in order, also where the kernel knows no
    blocks.
    """
    sent = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    with pair(knows_blocks=knows_blocks) as (sender, receiver, counting):
        sender.send(sent)
        assert receive(receiver, counting, len(sent)) == sent


def test_elsewhere_each_datagram_is_a_call(monkeypatch):
    """Where there is no such option the socket is not asked for it."""
    monkeypatch.setattr("sys.platform", "darwin")
    with pair() as (sender, receiver, counting):
        sender.send([bytes(100)] * 5)
        assert receive(receiver, counting, 5) == [bytes(100)] * 5
        assert counting.options == []
        assert counting.reads >= 5


def test_one_wake_up_is_bounded():
    """Of many blocks one call takes a batch and what the last block has above it."""
    with pair() as (sender, receiver, counting):
        for _ in range(10):
            sender.send([bytes(100)] * 30)
        select.select([counting.sock], [], [], 5)
        first = len(receiver.receive())
        assert first in (64, 90)
        assert len(receive(receiver, counting, 300 - first)) == 300 - first


def test_an_error_is_told_and_ends_nothing():
    """ICMP's word about an earlier packet is told; what arrives later is read."""
    errors = []
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        socket.socket(type=socket.SOCK_DGRAM) as gone,
    ):
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
        gone.close()
        sock.connect(address)
        sock.settimeout(0)
        receiver = CoalescingReceiver(sock, errors.append)
        sock.send(b"anyone?")
        select.select([sock], [], [], 5)
        assert receiver.receive() == []
        assert isinstance(errors[0], ConnectionRefusedError)
        with socket.socket(type=socket.SOCK_DGRAM) as back:
            back.bind(address)
            back.sendto(b"me", sock.getsockname())
            select.select([sock], [], [], 5)
            assert receiver.receive() == [b"me"]
