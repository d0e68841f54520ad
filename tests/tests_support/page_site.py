"""An app with something for each view of the page, and what its visitors do."""

import struct
import zlib
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.emulator import LocalEdge

from tests_support.local_servers import uvicorn_at

# Each part would set `window.harmed`, were it ever more than text.
HOSTILE = (
    "<!doctype html><script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'>"
    "<svg onload='window.harmed = 3'><script>window.harmed = 4</script></svg>"
)
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" onload="window.harmed = 5">'
    "<script>window.harmed = 6</script></svg>"
)
NESTED = {"order": {"lines": [{"name": "tea", "price": 3.5}, {"name": "cup"}], "paid": True}}


def picture(width=24, height=16):
    """A PNG."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"".join(b"\0" + b"\x20\x53\xcc" * width for _ in range(height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


class Asked:
    """What reached the app, in order: `list` of (method, path with query, headers, body)."""

    def __init__(self):
        self.list = []

    async def answer(self, request):
        body = await request.body()
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.list.append((request.method, target, dict(request.headers), body))
        return JSONResponse({"number": len(self.list), "body": body.decode("latin-1")})

    def count(self, path):
        return sum(target.partition("?")[0] == path for _, target, _, _ in self.list)


async def echo_socket(websocket):
    """Sends each message back, as text or bytes, until "bye"."""
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "bye":
                await websocket.close(4001, "as you wish")
                return
            answer = {key: message[key] for key in ("text", "bytes") if key in message}
            await websocket.send({"type": "websocket.send", **answer})
    except WebSocketDisconnect:
        pass


def make_app(asked, *, stacked=False, **options):
    """The app, wrapped, or with the middleware in its stack and a CORS middleware around it."""

    def gives(content, media_type):
        return lambda request: Response(content, media_type=media_type)

    async def status(request):
        code = request.path_params["code"]
        await request.body()  # what nobody reads is not received
        return PlainTextResponse(f"answered {code}", status_code=code)

    app = Starlette(
        routes=[
            Route("/status/{code:int}", status, methods=["GET", "POST", "DELETE"]),
            Route("/json", lambda request: JSONResponse(NESTED)),
            Route("/hostile", gives(HOSTILE, "text/html")),
            Route("/svg", gives(SVG, "image/svg+xml")),
            Route("/picture", gives(picture(), "image/png")),
            Route("/bytes", gives(bytes(range(256)) * 20, "application/octet-stream")),
            Route("/asked/{rest:path}", asked.answer, methods=["GET", "POST", "PUT", "PATCH"]),
            WebSocketRoute("/socket", echo_socket),
        ]
    )
    if not stacked:
        return QuickTunnelASGI(app, **options)
    app.add_middleware(QuickTunnelASGI, **options)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    return app


class Site:
    """The app behind a tunnel, and the page about it.

    Attributes:
        edge: where the tunnel leads to.
        url: of the server at this machine.
        page: of the diagnostics.
        public: the public URL.
        visitor: an httpx client that comes through the tunnel.
        asked: what reached `/asked/...`.
    """

    def __init__(self, edge, app, url, asked, visitor, path="/_quicktunnel"):
        self.edge = edge
        self.app = app
        self.url = url
        self.page = f"{url}{path}"
        self.public = app.state.public_url
        self.visitor = visitor
        self.asked = asked

    @property
    def tunnel(self):
        return self.app.state.quicktunnel

    def connect(self, path):
        """A WebSocket of a visitor; its name is looked up by nobody."""
        host, port = self.edge.address
        uri = self.public.replace("http", "ws", 1) + path
        return connect(uri, host=host, port=port, proxy=None)


@asynccontextmanager
async def serving(edge, *, server=None, stacked=False, **options):
    """`async with serving(edge) as site`: uvicorn, the app and its tunnel to `edge`."""
    asked = Asked()
    options = {"ha_connections": 1, "wait_ready": True} | options
    app = make_app(asked, stacked=stacked, config=edge.config(**options))
    async with uvicorn_at(app, lifespan="on", **(server or {})) as address:
        async with edge.httpx_client(base_url=app.state.public_url) as visitor:
            path = options.get("diagnostics_path", "/_quicktunnel")
            yield Site(edge, app, f"http://{address}", asked, visitor, path)


@asynccontextmanager
async def served_site(**options):
    """`async with served_site() as site`, with an edge of its own."""
    async with LocalEdge() as edge, serving(edge, **options) as site:
        yield site


def row(page, path):
    """The newest row of the page's table about a path."""
    return page.locator(f'#rows tr:has(bdi.path:text-is("{path}"))').first


async def open_detail(page, path):
    """Open the newest request for a path by a click, and wait for what there is to see."""
    await row(page, path).click()
    await page.locator("#detail-title", has_text=path).wait_for()
