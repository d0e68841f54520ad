"""The seam behind which a QUIC implementation works (design.md §3).

An engine is one connection, either side, without socket or clock. It is pull-shaped: what is not
read is not credited, and what is not accepted by `write` stays with the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asgi_quicktunnel.errors import ConnectionLost

__all__ = [
    "ClientSettings",
    "Closed",
    "Connected",
    "EngineEvent",
    "EngineStatistics",
    "QuicAcceptor",
    "QuicEngine",
    "Readable",
    "ServerSettings",
    "StreamOpened",
    "StreamReset",
    "StreamStopped",
    "Writable",
]


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is complete; streams may be opened."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a bidirectional stream; no `Readable` tells of what it came with."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Readable:
    """`read` has something to give: data, or the end."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Writable:
    """A `write` that was cut short would now accept more."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer sent RESET_STREAM: nothing more can be read."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The peer sent STOP_SENDING: nothing more need be written."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over; the last event of an engine.

    Attributes:
        code: close code (RFC 9000 §20), or None for an idle timeout.
        reason: what the closing side said, or what happened.
        by_peer: whether the peer closed it.
        idle: whether silence ended it.
    """

    code: int | None
    reason: str
    by_peer: bool = False
    idle: bool = False

    def as_error(self) -> ConnectionLost:
        """What streams of the connection raise from now on."""
        if self.idle:
            message = "the peer went silent"
        elif self.by_peer:
            message = f"the peer closed the connection (code {self.code}, reason {self.reason!r})"
        elif self.code is not None and self.code:
            message = f"the connection failed (code {self.code:#x}, {self.reason!r})"
        else:
            message = "the connection was closed here"
        return ConnectionLost(message, code=self.code, idle=self.idle)


EngineEvent = Connected | StreamOpened | Readable | Writable | StreamReset | StreamStopped | Closed


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """A snapshot of one connection.

    Attributes:
        rtt: smoothed round-trip time in seconds, or None before the first sample.
        congestion_window: bytes that may be in flight.
        packets_lost: packets declared lost.
        bytes_sent: UDP payload bytes.
        bytes_received: UDP payload bytes.
    """

    rtt: float | None
    congestion_window: int
    packets_lost: int
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a connector's side of a connection needs (protocol.md §3 and §4).

    Attributes:
        server_name: SNI, and the name the certificate must cover.
        trust_roots: PEM certificates, concatenated. Verification can't be switched off.
        alpn: the one protocol offered.
        idle_timeout: seconds of silence that end the connection.
        stream_window: bytes a stream may hold that were not read.
        connection_window: bytes all streams together may hold that were not read.
        max_streams: bidirectional streams the peer may have open at once.
        send_high_water: bytes of one stream that `write` accepts beyond what was acknowledged.
    """

    server_name: str
    trust_roots: bytes = field(repr=False)
    alpn: str = "argotunnel"
    idle_timeout: float = 5.0
    stream_window: int = 1 << 20
    connection_window: int = 16 << 20
    max_streams: int = 1 << 20
    send_high_water: int = 256 << 10


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What an edge's side of its connections needs; windows and marks as in `ClientSettings`.

    Attributes:
        certificate_chain: PEM, leaf first.
        private_key: PEM (PKCS #8), the leaf's.
        max_streams: bidirectional streams a connector may have open at once.
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    alpn: str = "argotunnel"
    idle_timeout: float = 5.0
    stream_window: int = 1 << 20
    connection_window: int = 16 << 20
    max_streams: int = 128
    send_high_water: int = 256 << 10


class QuicEngine(Protocol):
    """One QUIC connection, either side; no socket, no clock.

    `now` is seconds on the caller's clock. Calls never block and, apart from misuse
    (`LocalProtocolError`), never raise: what goes wrong with the connection is the event `Closed`.
    """

    def receive_datagrams(self, datagrams: Sequence[bytes], *, now: float) -> None:
        """Take UDP payloads from the peer."""
        ...

    def datagrams_to_send(self, *, now: float) -> Sequence[bytes]:
        """UDP payloads to send now, possibly none."""
        ...

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due, on the caller's clock; None: never."""
        ...

    def handle_timeout(self, *, now: float) -> None:
        """Do what is due."""
        ...

    def poll_events(self, max_events: int) -> list[EngineEvent]:
        """The next events in their order, at most so many; fewer: there are no more now."""
        ...

    def open_stream(self) -> int:
        """Open a bidirectional stream; its id. Over the peer's limit its data waits."""
        ...

    def read(self, stream_id: int, max_bytes: int) -> tuple[bytes, bool]:
        """Data, and "that was the end"; grants the peer that much credit.

        Less than `max_bytes` means that nothing more is there now: `Readable` announces the next.
        """
        ...

    def write(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> int:
        """Bytes accepted. Fewer than given: the end was not taken either; wait for `Writable`."""
        ...

    def reset(self, stream_id: int, code: int) -> None:
        """Send RESET_STREAM; no effect once everything was acknowledged."""
        ...

    def stop(self, stream_id: int, code: int) -> None:
        """Send STOP_SENDING and drop what arrives; no effect once the peer's end was read."""
        ...

    def ping(self) -> None:
        """Send a PING, which keeps the connection from going idle."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close with an application code; the next `datagrams_to_send` says so to the peer."""
        ...

    def statistics(self) -> EngineStatistics:
        """A snapshot."""
        ...


class QuicAcceptor(Protocol):
    """The server side of one UDP address: whose a datagram is (RFC 9000 §5.2)."""

    def accept(
        self, datagram: bytes, address: tuple[str, int], *, now: float
    ) -> tuple[QuicEngine | None, bytes | None]:
        """Whose this datagram is.

        Returns:
            The connection, new or known, which has *not* yet received the datagram, or None for
            what belongs to none; and a datagram to send back at once (version negotiation), or
            None.
        """
        ...

    def forget(self, engine: QuicEngine) -> None:
        """Drop a closed connection."""
        ...
