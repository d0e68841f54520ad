"""One QUIC connection of a connector, as the edge sees it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from asgi_quicktunnel.emulator.background import Background
from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.control import ControlSession
from asgi_quicktunnel.emulator.edge_calls import CallAnswer, call_connector
from asgi_quicktunnel.emulator.quic_answer import QuicAnswer
from asgi_quicktunnel.emulator.registrar import Admitted, Registrar
from asgi_quicktunnel.emulator.violations import Rule, Violations
from asgi_quicktunnel.errors import ConnectionLost, TransportError
from asgi_quicktunnel.model import RequestHead
from asgi_quicktunnel.protocol.datastream import RPC_SIGNATURE, encode_request
from asgi_quicktunnel.protocol.registration import ConnectorServiceClient
from asgi_quicktunnel.transport.driver import EngineDriver
from asgi_quicktunnel.transport.engine import Closed, QuicEngine
from asgi_quicktunnel.transport.quic_stream import QuicStream
from asgi_quicktunnel.transport.tls import PROBE_SERVER_NAME

__all__ = ["ConnectionState", "Dialled", "EdgeConnection", "EdgeServices"]


class ConnectionState(enum.Enum):
    """How far a connection has come."""

    CONNECTED = "dialled, not registered"
    REGISTERED = "takes requests"
    UNREGISTERED = "finishes what it has"
    CLOSED = "over"


@dataclass(frozen=True, slots=True)
class Dialled:
    """What is known of a connection from the start.

    Attributes:
        number: running number over all edge servers, from 1.
        edge_index: which edge server was dialled, from 0.
        colo: that server's site.
        peer: (ip, port) of the connector.
        server_name: SNI.
        alpn: the protocols that were offered.
    """

    number: int
    edge_index: int
    colo: str
    peer: tuple[str, int]
    server_name: str
    alpn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EdgeServices:
    """What all connections of the edge share.

    Attributes:
        registrar: decides on registrations.
        violations: where they are recorded.
        changes: told of everything that is worth waiting for.
        background: where streams are served.
        numbers: gives each connection its own.
    """

    registrar: Registrar
    violations: Violations
    changes: Changes
    background: Background
    numbers: Iterator[int]


class EdgeConnection:
    """A connector's connection, from the dial to the close; `Serving` while it is registered.

    Args:
        dialled: what is known from the start.
        engine: its server side, which has received nothing yet.
        send_datagrams: to the peer.
        services: shared.
        on_closed: called when it is over.

    Attributes:
        dialled: what is known from the start.
        control: what came over the control stream.
        requests_total: requests sent to it.
        largest_datagram: bytes, of those received.
        closed: how it ended, or None while it lives.
    """

    def __init__(
        self,
        dialled: Dialled,
        engine: QuicEngine,
        send_datagrams: Callable[[Sequence[bytes]], None],
        services: EdgeServices,
        *,
        on_closed: Callable[[], None],
    ) -> None:
        self.dialled = dialled
        self.control = ControlSession(self, services.registrar)
        self.requests_total = 0
        self.largest_datagram = 0
        self.closed: Closed | None = None
        self._services = services
        self._forget = on_closed
        self._answers: set[QuicAnswer] = set()
        self._driver = EngineDriver(
            engine,
            send_datagrams=send_datagrams,
            on_stream=self._on_stream,
            keep_alive=None,  # the connector's to do: protocol.md §4
        )
        self._driver.closed.add_done_callback(self._on_closed)

    @property
    def edge_index(self) -> int:
        """Which edge server was dialled, from 0."""
        return self.dialled.edge_index

    @property
    def colo(self) -> str:
        """The site of that edge server."""
        return self.dialled.colo

    @property
    def conn_index(self) -> int | None:
        """0..3, or None before it was registered."""
        admitted = self.control.admitted
        return None if admitted is None else admitted.request.conn_index

    @property
    def requests_open(self) -> int:
        """Requests that are being answered now."""
        return len(self._answers)

    @property
    def state(self) -> ConnectionState:
        """How far it has come."""
        if self.closed is not None:
            return ConnectionState.CLOSED
        if self.control.is_unregistered:
            return ConnectionState.UNREGISTERED
        if self.control.admitted is not None and not self.control.is_over:
            return ConnectionState.REGISTERED
        return ConnectionState.CONNECTED

    async def open_request(self, head: RequestHead, *, end: bool) -> QuicAnswer:
        """See `Serving`."""
        beginning = encode_request(head)
        stream = self._driver.open_stream()
        self.requests_total += 1
        stream.send_nowait(beginning)
        if end:
            await stream.send_eof()
        answer = QuicAnswer(
            stream, ended=end, report=self._report_stream, on_over=self._on_answer_over
        )
        self._answers.add(answer)
        self._services.changes.notify()
        return answer

    def open_stream(self) -> QuicStream:
        """A stream for whatever a test wants to send to the connector.

        Raises:
            ConnectionLost: the connection ended.
        """
        return self._driver.open_stream()

    async def call(self, ask: Callable[[ConnectorServiceClient], int]) -> CallAnswer:
        """Call the connector, as the edge does to push a configuration.

        Args:
            ask: such as `lambda client: client.update_configuration(1, b"{}")`.

        Raises:
            TransportError, RemoteProtocolError, TimeoutError: see `call_connector`.
        """
        return await call_connector(self._driver.open_stream(), ask)

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close the connection; the connector sees it lost. Harmless when repeated."""
        self._driver.close(code, reason)

    async def wait_closed(self) -> Closed:
        """Wait until it is over, whoever ends it."""
        await self._services.changes.wait_for(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Take what the socket brought."""
        for datagram in datagrams:
            if len(datagram) > self.largest_datagram:
                self._check_size(datagram)
        self._driver.datagrams_received(datagrams)

    def report(self, rule: Rule, detail: str) -> None:
        """Record a violation of this connection."""
        self._report_stream(rule, detail, None)

    def serve(self, admitted: Admitted) -> None:
        """See `ControlOwner`."""
        if self.dialled.server_name == PROBE_SERVER_NAME:
            self.report(Rule.SERVER_NAME, f"a registration over {PROBE_SERVER_NAME}")
        admitted.tunnel.register(self)

    def retire(self, admitted: Admitted) -> None:
        """See `ControlOwner`."""
        admitted.tunnel.withdraw(self)

    def replaced(self) -> None:
        """See `Registrant`."""
        self.control.withdraw()
        self.close(0, "replaced")

    def _check_size(self, datagram: bytes) -> None:
        """Long headers are those of the handshake; later, larger ones may be probes of the path."""
        size = self.largest_datagram = len(datagram)
        initial = MAX_INITIAL_IPV6 if ":" in self.dialled.peer[0] else MAX_INITIAL_IPV4
        limit = initial if datagram[0] & _LONG_HEADER else MAX_DATAGRAM
        if size > limit:
            self.report(Rule.DATAGRAM_SIZE, f"{size} bytes; at most {limit}")

    def _report_stream(self, rule: Rule, detail: str, stream_id: int | None) -> None:
        self._services.violations.record(
            rule, detail, connection=self.dialled.number, stream_id=stream_id
        )
        self._services.changes.notify()

    def _on_stream(self, stream: QuicStream) -> None:
        serve = self._serve_control if stream.stream_id == 0 else self._decline
        self._services.background.spawn(serve(stream))

    async def _serve_control(self, stream: QuicStream) -> None:
        try:
            while not self.control.is_over and (data := await stream.receive()):
                if answer := self.control.receive_data(data):
                    await stream.send(answer)
                self._services.changes.notify()
            self.control.stream_ended()
            await stream.send_eof()
            stream.stop(0)
        except ConnectionLost:
            pass
        except TransportError:
            self.control.stream_ended()
            stream.reset(0)

    async def _decline(self, stream: QuicStream) -> None:
        """Connectors open streams beside 0 only to end UDP sessions, and here there are none."""
        beginning = b""
        try:
            while len(beginning) < len(RPC_SIGNATURE) and (data := await stream.receive()):
                beginning += data
        except TransportError:
            pass
        if not beginning.startswith(RPC_SIGNATURE):
            detail = f"stream {stream.stream_id} begins with {beginning[:8].hex(' ')!r}"
            self._report_stream(Rule.CLIENT_STREAM, detail, stream.stream_id)
        stream.reset(0)

    def _on_answer_over(self, answer: QuicAnswer) -> None:
        self._answers.discard(answer)
        self._services.changes.notify()

    def _on_closed(self, future: asyncio.Future[Closed]) -> None:
        closed = future.result()
        self._forget()
        self.control.withdraw()
        if closed.by_peer and not closed.code:
            for answer in self._answers:
                if not answer.is_answered:
                    answer.report(Rule.UNANSWERED, "the connection was closed before any answer")
        self.closed = closed
        self._services.changes.notify()


MAX_INITIAL_IPV4 = 1232  # bytes; protocol.md §4
MAX_INITIAL_IPV6 = 1252
MAX_DATAGRAM = 1452  # bytes, where the path proved it; protocol.md §4
_LONG_HEADER = 0x80  # RFC 9000 §17.2
