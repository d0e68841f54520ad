"""The server under test, a process of its own: uvicorn with the benchmarks' app, or a tunnel alone.

    python bench/server.py [--tunnel | --alone] [--app bare|fastapi] [--loop asyncio|uvloop]
    python bench/server.py --proxy HOST:PORT [--loop asyncio|uvloop]

Its first line on standard output is the TCP port it listens on, 0 for none. Options of the tunnel
are in the environment. This file imports nothing of its folder, so it also serves another revision
of the package (`scripts/bench --compare`).
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):
    sys.path.pop(0)  # its websockets.py would hide the library of that name

SMALL = b"x" * 100
BLOCK = b"d" * (64 << 10)
ENDLESS = b"%d" % (1 << 40)  # bytes; no transfer gets there


class BareApp:
    """As little app as can be, in ASGI alone; the load generator knows its paths."""

    def __init__(self) -> None:
        self._received = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await self._answer(scope["path"], receive, send)
        elif scope["type"] == "websocket":
            await self._echo(receive, send)
        else:
            await self._live(receive, send)

    async def _answer(self, path, receive, send):
        if path == "/small":
            await _respond(send, SMALL)
        elif path == "/received":
            await _respond(send, b"%d" % self._received)
        elif path == "/endless":
            await self._send_blocks(send, receive)
        elif path == "/sink":
            await self._sink(receive, send)
        elif path == "/idle":
            await _start(send, ENDLESS)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        elif path.startswith("/bytes/"):
            await _respond(send, b"d" * int(path.removeprefix("/bytes/")))
        else:
            await _respond(send, b"", status=404)

    async def _send_blocks(self, send, receive):
        """A block after the other until the visitor is gone."""
        await _start(send, ENDLESS)
        gone = asyncio.ensure_future(_gone(receive))
        message = {"type": "http.response.body", "body": BLOCK, "more_body": True}
        try:
            while not gone.done():
                await send(message)
                await asyncio.sleep(0)  # uvicorn's send waits for nothing once the visitor is gone
        except OSError:
            pass  # ASGI 2.4: sending to a visitor who is gone
        finally:
            gone.cancel()

    async def _sink(self, receive, send):
        more_body = True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self._received += len(message["body"])
            more_body = message.get("more_body", False)
        await _respond(send, SMALL)

    async def _echo(self, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    async def _live(self, receive, send):
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})


async def _gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send, length, status=200):
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _respond(send, body, status=200):
    await _start(send, b"%d" % len(body), status)
    await send({"type": "http.response.body", "body": body})


def make_fastapi():
    """A JSON endpoint with a path parameter, a query parameter and a response model."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    app = FastAPI()

    class Item(BaseModel):
        number: int
        name: str
        tags: list[str]
        price: float | None = None

    # The return type can't say it: annotations are texts here, and this class is local.
    @app.get("/items/{number}", response_model=Item)
    async def item(number: int, name: str = "a thing"):
        return Item(number=number, name=name, tags=["new", "blue"], price=12.5)

    return app


def serve(app, loop: str) -> None:
    """Run uvicorn as the one answering port of this process."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        app, loop=loop, http="httptools", access_log=False, log_level="warning", lifespan="on"
    )
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


async def tunnel_alone(origin) -> None:
    """A tunnel to an app, or to another server's port, with no server around it."""
    from asgi_quicktunnel import QuickTunnel

    async with QuickTunnel(origin):
        print(0, flush=True)
        await asyncio.Event().wait()  # whoever started this process ends it


def run(main, loop: str) -> None:
    """Run a coroutine on that loop."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--app", choices=("bare", "fastapi"), default="bare")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--tunnel", action="store_true", help="with QuickTunnelASGI around it")
    parser.add_argument("--alone", action="store_true", help="in a QuickTunnel, without uvicorn")
    parser.add_argument("--proxy", metavar="HOST:PORT", help="a tunnel to this server instead")
    options = parser.parse_args()
    if options.proxy:
        run(tunnel_alone(options.proxy), options.loop)
        return
    app = BareApp() if options.app == "bare" else make_fastapi()
    if options.alone:
        run(tunnel_alone(app), options.loop)
        return
    if options.tunnel:
        from asgi_quicktunnel import QuickTunnelASGI

        app = QuickTunnelASGI(app)
    serve(app, options.loop)


if __name__ == "__main__":
    main()
