"""One edge server: a UDP port that connectors dial (protocol.md §3, §4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from asgi_quicktunnel.emulator.client_hello import ClientHello, HelloReader
from asgi_quicktunnel.emulator.connection import Dialled, EdgeConnection, EdgeServices
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.transport.engine import QuicAcceptor, QuicEngine
from asgi_quicktunnel.transport.tls import PROBE_SERVER_NAME, QUIC_SERVER_NAME
from asgi_quicktunnel.transport.udp import Address, UdpListener

__all__ = ["QuicEdge"]

logger = logging.getLogger(__name__)


class QuicEdge:
    """Accepts connections through the engine seam, and answers only to the right server name.

    Args:
        index: which edge server this is, from 0.
        host: literal address to bind; the port is the system's choice.
        acceptor: the engine's server side.
        services: shared with the other edge servers.
        on_connection: called with each connection that the edge answers.
    """

    def __init__(
        self,
        index: int,
        host: str,
        acceptor: QuicAcceptor,
        services: EdgeServices,
        on_connection: Callable[[EdgeConnection], None],
    ) -> None:
        self.index = index
        self._acceptor = acceptor
        self._services = services
        self._on_connection = on_connection
        self._newcomers: dict[QuicEngine, _Newcomer] = {}
        self._connections: dict[QuicEngine, EdgeConnection] = {}
        self._listener = UdpListener(host, 0, self._on_datagrams)

    @property
    def colo(self) -> str:
        """The site that this server stands for."""
        return COLOS[self.index % len(COLOS)]

    @property
    def port(self) -> int:
        """The UDP port that connectors dial."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to answer."""
        await self._listener.start()

    def close(self) -> None:
        """Close every connection, and the port."""
        for connection in tuple(self._connections.values()):
            connection.close()
        self._listener.close()

    def _on_datagrams(self, batch: list[tuple[bytes, Address]]) -> None:
        now = asyncio.get_running_loop().time()
        arrived: dict[QuicEngine, tuple[Address, list[bytes]]] = {}
        for data, address in batch:
            if not data:
                continue
            engine, reply = self._acceptor.accept(data, address[:2], now=now)
            if reply is not None:
                self._listener.send([reply], address)
            if engine is not None:
                arrived.setdefault(engine, (address, []))[1].append(data)
        for engine, (address, datagrams) in arrived.items():
            connection = self._connections.get(engine)
            if connection is not None:
                connection.datagrams_received(datagrams)
            else:
                self._greet(engine, address, datagrams)

    def _greet(self, engine: QuicEngine, address: Address, datagrams: list[bytes]) -> None:
        """Hold a newcomer's datagrams until its server name is known."""
        newcomer = self._newcomers.setdefault(engine, _Newcomer())
        hello = newcomer.receive(datagrams)
        if hello is None:
            if len(self._newcomers) > MAX_NEWCOMERS:
                oldest = next(iter(self._newcomers))
                del self._newcomers[oldest]
                self._acceptor.forget(oldest)
        elif hello.server_name in (QUIC_SERVER_NAME, PROBE_SERVER_NAME):
            del self._newcomers[engine]
            self._connect(engine, address, hello).datagrams_received(newcomer.datagrams)
        else:
            # The real edge goes silent (protocol.md §3), and stays so when the dial is repeated.
            newcomer.ignore()
            self._services.violations.record(Rule.SERVER_NAME, f"{hello.server_name!r} was dialled")
            self._services.changes.notify()

    def _connect(self, engine: QuicEngine, address: Address, hello: ClientHello) -> EdgeConnection:
        dialled = Dialled(
            number=next(self._services.numbers),
            edge_index=self.index,
            colo=self.colo,
            peer=(address[0], address[1]),
            server_name=hello.server_name or "",
            alpn=tuple(hello.alpn_protocols or ()),
        )
        connection = EdgeConnection(
            dialled,
            engine,
            partial(self._listener.send, address=address),
            self._services,
            on_closed=partial(self._forget, engine),
        )
        self._connections[engine] = connection
        self._on_connection(connection)
        logger.debug("connection %d came from %s", dialled.number, dialled.peer)
        return connection

    def _forget(self, engine: QuicEngine) -> None:
        self._connections.pop(engine, None)
        self._acceptor.forget(engine)


class _Newcomer:
    """A connection of which the edge does not know yet whether to answer it."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self._reader: HelloReader | None = HelloReader()

    def receive(self, datagrams: list[bytes]) -> ClientHello | None:
        """Take datagrams; what the client said, once it is complete."""
        for index, datagram in enumerate(datagrams):
            if self._reader is None or len(self.datagrams) >= MAX_HELLO_DATAGRAMS:
                return None
            self.datagrams.append(datagram)
            if (hello := self._reader.receive_datagram(datagram)) is not None:
                self.datagrams += datagrams[index + 1 :]
                return hello
        return None

    def ignore(self) -> None:
        """Listen no more."""
        self._reader = None
        self.datagrams.clear()


COLOS = ("lis01", "mad01", "fra01", "lhr01")
MAX_NEWCOMERS = 64  # connections whose first words are not complete
MAX_HELLO_DATAGRAMS = 16
