"""A server on loopback that does what a script says, byte for byte, and visits to it."""

from __future__ import annotations

import asyncio
import contextlib

from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.pool import OriginPool, PoolSettings
from asgi_quicktunnel.origin.tcp import ProxySettings, TcpOrigin
from asgi_quicktunnel.origin_address import OriginAddress

from tests_support.fake_stream import FakeStream

FACTS = ConnectionFacts(conn_index=1, colo="bog01")
HOST = b"four-random-test-words.trycloudflare.com"


class Asked:
    """A request as it arrived: `line`, `pairs` of headers, the same as `fields`, and `body`."""

    def __init__(self, head: bytes) -> None:
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.pairs = [tuple(line.split(": ", 1)) for line in lines if line]
        self.fields = dict(self.pairs)
        self.body = b""


async def read_head(reader) -> Asked:
    """The head of the next request; IncompleteReadError when there is none."""
    return Asked((await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n"))


async def read_body(reader, asked) -> bytes:
    """The body of a request, however it is framed."""
    if asked.fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(asked.fields.get("content-length", "0")))


async def settled(count) -> int:
    """What `count()` is once it has grown and grows no longer: its maker has to wait."""
    samples = [0]
    while len(samples) < 5 or samples[-5] != samples[-1]:
        await asyncio.sleep(0.1)
        if now := count():
            samples.append(now)
    return samples[-1]


class RawOrigin:
    """`async with RawOrigin(script) as origin`; `script(reader, writer)` has each connection.

    A connection is closed when its script returns. A script that is text or bytes is sent in answer
    to each request, whose body is read.

    Attributes:
        address: "127.0.0.1:port", "https://localhost:port" or "unix:path".
        asked: the requests that `script` took by `origin.take`.
        connections: how many were made.
    """

    def __init__(self, script, *, tls=None, path=None) -> None:
        self.script = self._answer if isinstance(script, bytes) else script
        self.asked: list[Asked] = []
        self.connections = 0
        self._bytes = script
        self._tls = tls
        self._path = path
        self._tasks = set()

    async def __aenter__(self):
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
            self.address = f"unix:{self._path}"
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
            port = self._server.sockets[0].getsockname()[1]
            self.address = f"https://localhost:{port}" if self._tls else f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc_info) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, reader) -> Asked:
        """The next request, with its body."""
        asked = await read_head(reader)
        asked.body = await read_body(reader, asked)
        self.asked.append(asked)
        return asked

    async def _answer(self, reader, writer) -> None:
        while True:
            await self.take(reader)
            writer.write(self._bytes)

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        self._tasks.add(task := asyncio.current_task())
        try:
            # CancelledError too: asyncio's streams would report it as a failure.
            with contextlib.suppress(
                asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError
            ):
                await self.script(reader, writer)
                await writer.drain()
        finally:
            self._tasks.discard(task)
            writer.close()


class Proxied:
    """A `TcpOrigin` for one address, and visitors to it through streams in memory."""

    def __init__(self, address, *, tls=None, settings=None, **pool_settings) -> None:
        parsed = OriginAddress.parse(address)
        self.pool = OriginPool(parsed, PoolSettings(**pool_settings), tls=tls)
        self.events = []
        self.origin = TcpOrigin(
            self.pool, emit=self.events.append, settings=settings or ProxySettings()
        )

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self.origin.aclose()

    def stream(
        self,
        method="GET",
        dest=b"/",
        headers=(),
        *,
        body=None,
        kind=RequestKind.HTTP,
        host=HOST,
        **options,
    ) -> FakeStream:
        """A request; with `body` it has a Content-Length, all of the body, and the end."""
        headers = list(headers)
        if body is not None:
            headers.append((b"content-length", b"%d" % len(body)))
        head = RequestHead(kind=kind, dest=dest, method=method, host=host, headers=headers)
        stream = FakeStream(head, **options)
        if body is not None:
            stream.feed(body)
            stream.feed_eof()
        return stream

    async def serve(self, stream) -> FakeStream:
        """Have a request answered; 30 s at most."""
        async with asyncio.timeout(30):
            await self.origin.serve(stream, FACTS)
        return stream

    async def visit(self, *args, **kwargs) -> FakeStream:
        """A request, answered; arguments as of `stream`."""
        return await self.serve(self.stream(*args, **kwargs))

    @contextlib.asynccontextmanager
    async def serving(self, *args, **kwargs):
        """`async with proxied.serving() as stream`: the block plays the visitor; 30 s at most."""
        stream = self.stream(*args, **kwargs)
        async with asyncio.timeout(30):
            task = asyncio.create_task(self.origin.serve(stream, FACTS))
            try:
                yield stream
                await task
            finally:
                task.cancel()
