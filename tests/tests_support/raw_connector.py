"""A connector that does what the test says, byte for byte, over real QUIC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from asgi_quicktunnel.emulator.local import LocalEdge
from asgi_quicktunnel.emulator.tunnels import Tunnel
from asgi_quicktunnel.errors import StreamReset
from asgi_quicktunnel.model import Credentials, EdgeAddress, RequestHead, ResponseHead
from asgi_quicktunnel.protocol.datastream import OpeningReader, encode_response
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    RegistrationClient,
)
from asgi_quicktunnel.transport.driver import EngineDriver
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.quic_stream import QuicStream
from asgi_quicktunnel.transport.tls import QUIC_SERVER_NAME
from asgi_quicktunnel.transport.udp import UdpSocket

from tests_support.engines import engine

__all__ = ["RawConnector", "RawRequest", "greet", "raw_connector", "registered"]

IDENTITY = ClientIdentity(bytes(range(16)), "test/1", "linux_amd64", DEFAULT_FEATURES)


class RawRequest:
    """A request as it came, and the stream to answer on."""

    def __init__(self, head: RequestHead, stream: QuicStream) -> None:
        self.head = head
        self.stream = stream

    async def body(self) -> bytes:
        body = b""
        while data := await self.stream.receive():
            body += data
        return body

    async def answer(self, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
        await self.stream.send(encode_response(ResponseHead(status, headers)) + body)
        await self.stream.send_eof()


Serve = Callable[[RawRequest], Awaitable[None]]


async def greet(request: RawRequest) -> None:
    await request.answer(200, b"hello", (b"content-type", b"text/plain"))


class RawConnector:
    """One connection; `serve` is called for every request, and may be replaced.

    `on_stream`, when set, gets every stream that the edge opens before it is read.
    """

    def __init__(self, edge: LocalEdge, serve: Serve = greet) -> None:
        self.edge = edge
        self.serve = serve
        self.rpc = RegistrationClient()
        self.on_stream: Callable[[QuicStream], None] | None = None
        self.events: list = []
        self._tasks: set[asyncio.Task] = set()

    async def dial(self, index: int = 0, *, server_name: str = QUIC_SERVER_NAME) -> None:
        host, port = self.edge.config().edge_entries[index]
        roots = await anyio.to_thread.run_sync(Path(self.edge.ca_file).read_bytes)
        self.socket = UdpSocket(EdgeAddress(host, port))
        loop = asyncio.get_running_loop()
        self.driver = EngineDriver(
            engine().dial(ClientSettings(server_name, roots), now=loop.time()),
            send_datagrams=self.socket.send,
            on_stream=self._on_stream,
        )
        await self.socket.start(self.driver.datagrams_received)
        await self.driver.wait_connected()
        self.control = self.driver.open_stream()

    async def next_event(self):
        """Send what is due on the control stream, and wait for one event of it."""
        await self.control.send(self.rpc.data_to_send())
        while not self.events:
            data = await self.control.receive()
            assert data, "the edge ended the control stream"
            self.events += self.rpc.receive_data(data)
        return self.events.pop(0)

    async def register(self, credentials: Credentials, conn_index: int = 0, **options):
        """Register, and return what the edge said."""
        identity = options.pop("identity", IDENTITY)
        self.rpc.register(credentials, conn_index, identity, **options)
        return await self.next_event()

    async def aclose(self) -> None:
        self.driver.close()
        self.socket.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_stream(self, stream: QuicStream) -> None:
        if self.on_stream is not None:
            self.on_stream(stream)
            return
        task = asyncio.get_running_loop().create_task(self._take(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, stream: QuicStream) -> None:
        reader = OpeningReader()
        head = None
        with suppress(StreamReset):
            while head is None:
                head = reader.receive_data(await stream.receive())
            stream.push_back(reader.rest)
            await self.serve(RawRequest(head, stream))


@asynccontextmanager
async def raw_connector(edge: LocalEdge, index: int = 0, **options) -> AsyncIterator[RawConnector]:
    """A connector that dialled and did nothing else."""
    connector = RawConnector(edge)
    await connector.dial(index, **options)
    try:
        yield connector
    finally:
        await connector.aclose()


@asynccontextmanager
async def registered(
    edge: LocalEdge, serve: Serve = greet, *, tunnel: Tunnel | None = None
) -> AsyncIterator[RawConnector]:
    """A connector that is registered for a tunnel, a new one by default."""
    if tunnel is None:
        async with edge.httpx_client() as client:
            await client.post(edge.service_url + "/tunnel")
        tunnel = edge.tunnels.latest
    async with raw_connector(edge) as connector:
        connector.serve = serve
        await connector.register(tunnel.credentials)
        yield connector
