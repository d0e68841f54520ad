"""UDP sockets that read and write in batches (engine-notes.md §2)."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.transport.coalescing import CoalescingReceiver
from asgi_quicktunnel.transport.habit import BATCH
from asgi_quicktunnel.transport.segmentation import SegmentingSender

__all__ = ["Address", "UdpListener", "UdpSocket"]

Address = tuple[Any, ...]  # (ip, port), and two more for IPv6


class UdpSocket:
    """A connected UDP socket: the connector's end.

    Args:
        address: the edge's.
        local_port: the port to bind, 0 for any; taken ports fall back to any.
    """

    def __init__(self, address: EdgeAddress, *, local_port: int = 0) -> None:
        self._socket = _open(address.family)
        self._on_datagrams: Callable[[list[bytes]], None] = _ignore
        self._loop = asyncio.get_running_loop()
        self._receiver: CoalescingReceiver | None = None  # where the loop has `add_reader`
        self._sender = SegmentingSender(self._socket)
        self._unsent: list[bytes] = []
        self._endpoint: asyncio.DatagramTransport | None = None
        self.last_error: OSError | None = None
        try:
            self._bind(address.family, local_port)
            self._socket.connect((address.ip, address.port))
        except OSError:
            self._socket.close()
            raise

    @property
    def local_port(self) -> int:
        """The port that the socket is bound to."""
        return int(self._socket.getsockname()[1])

    @property
    def local_ip(self) -> str:
        """The address that packets to the edge leave from."""
        return str(self._socket.getsockname()[0])

    async def start(self, on_datagrams: Callable[[list[bytes]], None]) -> None:
        """Begin to receive.

        Args:
            on_datagrams: called with the payloads that one wake-up brought, some 64 at most.
        """
        self._on_datagrams = on_datagrams
        try:
            self._loop.add_reader(self._socket.fileno(), self._on_readable)
        except NotImplementedError:  # Windows' proactor loop
            self._endpoint, _ = await self._loop.create_datagram_endpoint(
                lambda: _Endpoint(lambda batch: on_datagrams([data for data, _ in batch])),
                sock=self._socket,
            )
        else:
            self._receiver = CoalescingReceiver(self._socket, self._on_error)

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Send each; what the kernel refuses is a lost packet, not a lost connection."""
        if self._endpoint is not None:
            for data in datagrams:
                self._endpoint.sendto(data)
            return
        if self._unsent:
            self._unsent.extend(datagrams)
            return
        sent = self._sender.send(datagrams, on_error=self._on_error)
        if sent < len(datagrams):
            self._unsent.extend(datagrams[sent:])
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def receive_stalled(self) -> list[bytes]:
        """Payloads that the kernel holds now, some 64 at most; safe in another thread.

        Empty where the loop has no `add_reader`: there the kernel writes into the loop's buffers.
        """
        return self._receiver.receive(all_of_it=True) if self._receiver is not None else []

    def send_stalled(self, datagrams: Sequence[bytes]) -> None:
        """Send without the loop; safe in another thread. What the kernel refuses is lost."""
        self._sender.send(datagrams)

    def close_stalled(self) -> None:
        """Free the socket of a loop that is closed."""
        self._socket.close()

    def close(self) -> None:
        """Free the socket; harmless when repeated."""
        if self._endpoint is not None:
            self._endpoint.close()
            return
        if self._socket.fileno() >= 0:
            if self._unsent:
                self._loop.remove_writer(self._socket.fileno())
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _bind(self, family: int, local_port: int) -> None:
        wildcard = "0.0.0.0" if family == 4 else "::"  # noqa: S104  # it is connected next
        try:
            self._socket.bind((wildcard, local_port))
        except OSError:
            if not local_port:
                raise
            self._socket.bind((wildcard, 0))

    def _on_readable(self) -> None:
        if self._receiver is not None and (batch := self._receiver.receive()):
            self._on_datagrams(batch)

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        unsent, self._unsent = self._unsent, []
        self.send(unsent)

    def _on_error(self, error: OSError) -> None:
        self.last_error = error


class UdpListener:
    """An unconnected UDP socket: the end of many connections.

    Args:
        host: a literal address to bind.
        port: 0 for any.
        on_datagrams: called with (payload, sender) of what one wake-up brought, at most 64.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_datagrams: Callable[[list[tuple[bytes, Address]]], None],
    ) -> None:
        self._socket = _open(6 if ":" in host else 4)
        self._sender = SegmentingSender(self._socket)
        self._on_datagrams = on_datagrams
        self._loop = asyncio.get_running_loop()
        self._endpoint: asyncio.DatagramTransport | None = None
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        """The port that the socket is bound to."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Begin to receive."""
        try:
            self._loop.add_reader(self._socket.fileno(), self._on_readable)
        except NotImplementedError:  # Windows' proactor loop
            self._endpoint, _ = await self._loop.create_datagram_endpoint(
                lambda: _Endpoint(self._on_datagrams), sock=self._socket
            )

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send each to one address; what the kernel refuses is a lost packet."""
        if self._endpoint is not None:
            for data in datagrams:
                self._endpoint.sendto(data, address)
            return
        self._sender.send(datagrams, address)

    def close(self) -> None:
        """Free the socket; harmless when repeated."""
        if self._endpoint is not None:
            self._endpoint.close()
        elif self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _on_readable(self) -> None:
        receive = self._socket.recvfrom
        batch: list[tuple[bytes, Address]] = []
        with suppress(OSError):  # nothing more, or an ICMP message about an earlier packet
            for _ in range(BATCH):
                batch.append(receive(_LARGEST_DATAGRAM))  # noqa: PERF401  # it ends by exception
        if batch:
            self._on_datagrams(batch)


class _Endpoint(asyncio.DatagramProtocol):
    """Collects what arrives in one turn of the loop."""

    def __init__(self, on_batch: Callable[[list[tuple[bytes, Address]]], None]) -> None:
        self._on_batch = on_batch
        self._batch: list[tuple[bytes, Address]] = []
        self._loop = asyncio.get_running_loop()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self._batch:
            self._loop.call_soon(self._deliver)
        self._batch.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        """An ICMP message or a refused send: a lost packet."""

    def _deliver(self) -> None:
        batch, self._batch = self._batch, []
        self._on_batch(batch)


def _ignore(_: list[bytes]) -> None:
    """Nobody listens yet."""


def _open(family: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        if sys.platform == "linux":
            # Don't fragment: a packet too long for the path is lost rather than cut (RFC 9000 §14).
            if family == 4:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _IP_PMTUDISC_DO)
    except OSError as exc:
        if exc.errno not in (errno.ENOPROTOOPT, errno.ENOBUFS, errno.EINVAL):
            sock.close()
            raise
    return sock


_LARGEST_DATAGRAM = 2048  # bytes; both engines announce that they take 1452 (protocol.md §4)
_SOCKET_BUFFER = 7 << 20  # bytes; engine-notes.md §2; the kernel lowers it to its own limit
_IP_MTU_DISCOVER = 10  # linux/in.h; the socket module has no name for these three
_IPV6_MTU_DISCOVER = 23  # linux/in6.h
_IP_PMTUDISC_DO = 2
