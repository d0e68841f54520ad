"""One app, served through a tunnel or by uvicorn, and visitors that can't tell the difference."""

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httptools
import httpx
import uvicorn
from websockets.asyncio.client import connect

from tests_support.tunnelled import tunnelled

KINDS = ("tunnel", "uvicorn")


@dataclass
class Site:
    """An app that is being served.

    Attributes:
        kind: "tunnel" or "uvicorn".
        host: what the Host header of its visitors says.
        address: where to connect to: ip, port.
        visitor: an httpx client with the site as its base.
    """

    kind: str
    host: str
    address: tuple[str, int]
    visitor: httpx.AsyncClient
    _stopping: asyncio.Event
    _stopped: asyncio.Event

    def websocket(self, path="/", **options):
        """A WebSocket of a visitor; no name is looked up for it."""
        host, port = self.address
        defaults = {"max_size": None, "ping_interval": None, "close_timeout": 5, "proxy": None}
        return connect(f"ws://{self.host}{path}", host=host, port=port, **{**defaults, **options})

    @asynccontextmanager
    async def connection(self):
        """A TCP connection for requests that no decent client sends."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield RawVisitor(reader, writer, self.host)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def begin_shutdown(self):
        """Shut down gracefully: what is under way is finished."""
        self._stopping.set()

    async def refusing(self):
        """Wait until new visitors are turned away."""
        with contextlib.suppress(httpx.ConnectError):
            while (await self.visitor.get("/")).status_code != 530:
                await asyncio.sleep(0.01)

    async def stopped(self):
        """Wait until the server has gone."""
        await self._stopped.wait()


class RawVisitor:
    """A visitor that writes its requests byte by byte; `{host}` becomes the site's host."""

    def __init__(self, reader, writer, host):
        self.writer = writer
        self._reader = reader
        self._host = host.encode()
        self._parser = httptools.HttpResponseParser(self)
        self._head = []
        self._body = b""
        self._answers = []

    async def send(self, *lines, body=b""):
        """One request: its lines, the first of them the request line, then its body."""
        head = b"".join(line.encode("latin-1") + b"\r\n" for line in lines)
        await self.send_bytes(head.replace(b"{host}", self._host) + b"\r\n" + body)

    async def send_bytes(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        """The next answer: (status, headers as a list, body). ConnectionError if it is cut."""
        while not self._answers:
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionError("closed before the answer was complete")
            self._parser.feed_data(data)
        return self._answers.pop(0)

    async def closed(self):
        """Wait until the server closes; whatever it still says."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    def on_message_begin(self):
        self._head, self._body = [], b""

    def on_header(self, name, value):
        self._head.append((name.lower(), value))

    def on_body(self, body):
        self._body += body

    def on_message_complete(self):
        self._answers.append((self._parser.get_status_code(), self._head, self._body))


def serve(kind, app, **options):
    """`async with serve("tunnel", app) as site`: the app behind a tunnel, or served by uvicorn.

    Options, alike for both: `state` that every request finds, `ping_interval` and `ping_timeout`
    in seconds, `max_message_size` in bytes.
    """
    return {"tunnel": _serve_through_tunnel, "uvicorn": _serve_with_uvicorn}[kind](app, **options)


@asynccontextmanager
async def _serve_through_tunnel(app, *, state=None, **options):
    renamed = {f"websocket_{name}": value for name, value in options.items()}
    async with tunnelled(app, state=state, **renamed) as (edge, tunnel, visitor):
        stopping, stopped = asyncio.Event(), asyncio.Event()

        async def stop():
            await stopping.wait()
            await tunnel.aclose()
            stopped.set()

        stopper = asyncio.create_task(stop())
        url = httpx.URL(tunnel.url)
        yield Site("tunnel", f"{url.host}:{url.port}", edge.address, visitor, stopping, stopped)
        stopping.set()
        await stopper


@asynccontextmanager
async def _serve_with_uvicorn(app, *, state=None, **options):
    names = {"max_message_size": "ws_max_size"}
    renamed = {names.get(name, f"ws_{name}"): value for name, value in options.items()}
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _WithState(app, state) if state is not None else app,
        lifespan="off" if state is None else "on",
        ws="websockets-sansio",
        log_config=None,
        **renamed,
    )
    server = uvicorn.Server(config)
    stopping, stopped = asyncio.Event(), asyncio.Event()

    async def run():
        await server.serve(sockets=[listening])
        stopped.set()

    async def stop():
        await stopping.wait()
        server.should_exit = True

    address = listening.getsockname()
    with anyio.fail_after(60):
        running, stopper = asyncio.create_task(run()), asyncio.create_task(stop())
        host = f"localhost:{address[1]}"
        transport = _AlwaysAt(address)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as visitor:
            yield Site("uvicorn", host, address, visitor, stopping, stopped)
        stopping.set()
        await asyncio.gather(running, stopper)


class _WithState:
    """The app with a lifespan that fills the state."""

    def __init__(self, app, state):
        self._app = app
        self._state = state

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        scope["state"].update(self._state)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


class _AlwaysAt(httpx.AsyncHTTPTransport):
    """Connects to one address, whatever name the URL has."""

    def __init__(self, address):
        super().__init__()
        self._address = address

    async def handle_async_request(self, request):
        host, port = self._address
        url = request.url.copy_with(host=host, port=port)
        moved = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await super().handle_async_request(moved)
