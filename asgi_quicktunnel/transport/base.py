"""What a transport offers: requests, not bytes (design.md §3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from asgi_quicktunnel.model import EdgeAddress, RequestHead, ResponseHead

__all__ = ["ByteStream", "EdgeTransport", "RequestStream", "TransportStatistics"]


@dataclass(frozen=True, slots=True)
class TransportStatistics:
    """A snapshot of one edge connection.

    Attributes:
        address: the edge address it was dialled to.
        engine: the QUIC engine that carries it, "native" or "aioquic".
        rtt: smoothed round-trip time in seconds, or None before the first sample.
        streams_open: request streams being served now.
        streams_total: request streams accepted since the dial.
        streams_refused: streams reset because their head was malformed or too large.
        bytes_received: UDP payload bytes in.
        bytes_sent: UDP payload bytes out.
        packets_lost: packets declared lost by loss recovery.
    """

    address: EdgeAddress
    engine: str
    rtt: float | None
    streams_open: int
    streams_total: int
    streams_refused: int
    bytes_received: int
    bytes_sent: int
    packets_lost: int


class ByteStream(Protocol):
    """Bytes both ways, with backpressure both ways."""

    async def receive(self) -> bytes:
        """The next bytes; b"" at the peer's end. What is taken is what the peer may send anew.

        Raises:
            StreamReset: the peer gave the stream up.
            ConnectionLost: the connection beneath ended.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Queue bytes; waits while more than the high-water mark is queued.

        Raises:
            StreamReset: the peer reads no more.
            ConnectionLost: the connection beneath ended.
        """
        ...

    async def send_eof(self) -> None:
        """Say that nothing more comes; the receiving half stays open."""
        ...

    def reset(self, code: int = 0) -> None:
        """Give up both halves at once; never waits, and is harmless on a stream that ended."""
        ...


class RequestStream(Protocol):
    """One visitor's request and its answer."""

    @property
    def head(self) -> RequestHead:
        """What the visitor asked for."""
        ...

    @property
    def raw_head(self) -> bytes | None:
        """The bytes that the head came in, for `protocol.datastream.read_request`.

        None where they are not at hand, or were others; keeping the head then means keeping `head`.
        """
        ...

    async def receive(self) -> bytes:
        """The next bytes of the body; b"" at the visitor's end. Grants credit for what is taken.

        Raises:
            StreamReset: the visitor left (RESET_STREAM, or STOP_SENDING and nothing more to take).
            ConnectionLost: the connection beneath ended.
        """
        ...

    async def respond(self, head: ResponseHead) -> None:
        """Send the head of the answer, once, before any `send`.

        With `head.error` the answer is complete: what follows is `send_eof` alone.

        Raises:
            StreamReset: the visitor left.
            ConnectionLost: the connection beneath ended.
            LocalProtocolError: it was sent before.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Queue bytes of the answer; waits above the high-water mark.

        Raises:
            StreamReset: the visitor left.
            ConnectionLost: the connection beneath ended.
            LocalProtocolError: before `respond` or after `send_eof`.
        """
        ...

    async def send_eof(self) -> None:
        """End the answer. What the visitor still sends is refused without harm to the answer."""
        ...

    def reset(self, code: int = 0) -> None:
        """Give up both halves at once; never waits, and is harmless on a stream that ended."""
        ...

    async def disconnected(self) -> None:
        """Return once nobody waits for the rest of the answer.

        That is RESET_STREAM, STOP_SENDING before the answer is complete, or the loss of the
        connection. A FIN is the end of a body and never a disconnect.
        """
        ...


class EdgeTransport(Protocol):
    """One dialled edge connection, whatever carries it."""

    async def control_stream(self) -> ByteStream:
        """The stream that carries the registration RPC; the same one at each call."""
        ...

    async def serve(self, on_requests: Callable[[Sequence[RequestStream]], None]) -> None:
        """Hand over requests until `aclose` is called.

        A call rather than an iteration: an iteration costs each request two turns of the loop.

        Args:
            on_requests: called with the requests that arrived together, and at once with those that
                came before; it must not block.

        Raises:
            ConnectionLost: the connection ended otherwise.
        """
        ...

    async def aclose(self, code: int = 0, reason: str = "") -> None:
        """Close the connection and free its socket. Harmless when repeated."""
        ...

    def statistics(self) -> TransportStatistics:
        """A snapshot."""
        ...
