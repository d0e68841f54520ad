"""Many datagrams in one system call."""

import errno
import socket

import pytest

from asgi_quicktunnel.transport.segmentation import SegmentingSender

LINUX = pytest.mark.skipif("sys.platform != 'linux'", reason="UDP_SEGMENT is Linux's")


class CountingSocket:
    """A socket that counts its calls; it may refuse to segment, or be full after so many."""

    def __init__(self, sock=None, *, refuses=None, full_after=None):
        self.sock = sock
        self.refuses = refuses
        self.full_after = full_after
        self.calls = []

    def send(self, data):
        self._count(1)
        return self.sock.send(data) if self.sock else len(data)

    def sendto(self, data, address):
        self._count(1)
        return self.sock.sendto(data, address) if self.sock else len(data)

    def sendmsg(self, buffers, ancdata, flags, address):
        if self.refuses:
            self.calls.append(0)
            raise OSError(self.refuses, "no segments here")
        self._count(len(buffers))
        return self.sock.sendmsg(buffers, ancdata, flags, address) if self.sock else 0

    def _count(self, datagrams):
        if self.full_after is not None and sum(self.calls) + datagrams > self.full_after:
            raise BlockingIOError
        self.calls.append(datagrams)


@pytest.fixture
def ends():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as there,
        socket.socket(type=socket.SOCK_DGRAM) as here,
    ):
        there.bind(("127.0.0.1", 0))
        there.settimeout(5)
        here.connect(there.getsockname())
        yield here, there


def numbered(*sizes):
    return [bytes([number]) * size for number, size in enumerate(sizes)]


@LINUX
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([1200], [1]),
        ([1200] * 5, [5]),
        ([1200] * 5 + [7], [6]),
        ([7] + [1200] * 5, [1, 5]),
        ([1200, 1200, 7, 1200, 1200], [3, 2]),
        ([1200, 1452, 1200], [1, 2]),
        ([1200] * 60, [54, 6]),
        ([100] * 70, [64, 6]),
        ([40_000, 40_000], [1, 1]),
        ([1200, 0, 1200], [1, 1, 1]),
    ],
)
def test_datagrams_of_one_size_travel_in_one_call(ends, sizes, calls, connected):
    """All but the last of a call have one size; each arrives as it was, in order."""
    here, there = ends
    counting = CountingSocket(here)
    datagrams = numbered(*sizes)
    address = None if connected else there.getsockname()
    sender = SegmentingSender(counting)
    assert sender.send(datagrams, address) == len(datagrams)
    assert counting.calls == calls
    assert sender.segmenting
    assert [there.recv(65535) for _ in datagrams] == datagrams


@LINUX
@pytest.mark.parametrize(
    "refusal", [errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP]
)
def test_a_kernel_that_refuses_is_asked_once(ends, refusal):
    """What it refused goes singly, and so does everything after it."""
    here, there = ends
    counting = CountingSocket(here, refuses=refusal)
    sender = SegmentingSender(counting)
    datagrams = numbered(1200, 1200, 1200)
    assert sender.send(datagrams) == 3
    assert sender.send(datagrams) == 3

    assert counting.calls == [0, 1, 1, 1, 1, 1, 1]
    assert [there.recv(65535) for _ in range(6)] == datagrams * 2


def test_another_failure_is_not_held_against_it():
    """An ICMP error reported by a call loses nothing but that call."""
    counting = CountingSocket(refuses=errno.ECONNREFUSED)
    sender = SegmentingSender(counting, segmenting=True)
    assert sender.send(numbered(9, 9)) == 2
    assert sender.segmenting
    assert counting.calls == [0, 1, 1]


@pytest.mark.parametrize("segmenting", [True, False])
@pytest.mark.parametrize("refuses", [None, errno.EIO])
def test_a_full_socket_says_how_many_it_took(segmenting, refuses):
    """The rest is for the caller to send when there is room."""
    counting = CountingSocket(refuses=refuses, full_after=3)
    sender = SegmentingSender(counting, segmenting=segmenting)
    sizes = [9, 8, 10, 10, 10]
    taken = sender.send(numbered(*sizes))
    assert taken == sum(counting.calls) == (2 if segmenting and not refuses else 3)


def test_refusals_are_told(ends):
    """A datagram that is too long is lost alone, and `on_error` hears of it."""
    here, there = ends
    errors = []
    sender = SegmentingSender(here)
    assert sender.send([b"before", bytes(70_000), b"after"], on_error=errors.append) == 3
    assert [there.recv(100), there.recv(100)] == [b"before", b"after"]
    assert [error.errno for error in errors] == [errno.EMSGSIZE]
