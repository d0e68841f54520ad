"""The public front with a connector in memory behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.front import Front, FrontSettings
from asgi_quicktunnel.emulator.listen import serve_tcp
from asgi_quicktunnel.emulator.tunnels import Tunnel, Tunnels
from asgi_quicktunnel.emulator.visitor_tls import VisitorTls

from tests_support.scripted_connector import Script, ScriptedConnector, ScriptedStream

__all__ = ["PublicFront", "greet", "public_front"]


async def greet(stream: ScriptedStream) -> None:
    """Answer "hello" with a length."""
    await stream.respond(200, (b"content-length", b"5"), (b"content-type", b"text/plain"))
    if stream.head.method != "HEAD":
        await stream.write(b"hello")


@dataclass
class PublicFront:
    port: int
    tunnel: Tunnel
    tunnels: Tunnels
    connector: ScriptedConnector
    tasks: anyio.abc.TaskGroup

    @property
    def host(self) -> bytes:
        return f"{self.tunnel.name}:{self.port}".encode()

    def client(self, **options) -> httpx.AsyncClient:
        """A client that sends the tunnel's Host to the front."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"host": self.host.decode()},
            trust_env=False,
            **options,
        )

    async def connect(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes (HOST stands for the tunnel's) and read until the front closes."""
        async with await self.connect() as stream:
            await stream.send(data.replace(b"HOST", self.host))
            return await read_to_end(stream)


async def read_to_end(stream: anyio.abc.ByteStream) -> bytes:
    received = b""
    while True:
        try:
            received += await stream.receive()
        except anyio.EndOfStream:
            return received


async def read_until(stream: anyio.abc.ByteStream, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        received += await stream.receive()
    return received


@asynccontextmanager
async def public_front(script: Script = greet, **settings) -> AsyncIterator[PublicFront]:
    authority = await anyio.to_thread.run_sync(Authority.shared)
    tunnels = Tunnels(Changes())
    front = Front(tunnels, VisitorTls(authority), FrontSettings(**settings))
    async with anyio.create_task_group() as tasks:
        port = await serve_tcp("127.0.0.1", 0, front.handle, tasks)
        tunnel = tunnels.create(scheme="http", port=port)
        connector = ScriptedConnector(tasks, script)
        tunnel.register(connector)
        yield PublicFront(port, tunnel, tunnels, connector, tasks)
        tasks.cancel_scope.cancel()
