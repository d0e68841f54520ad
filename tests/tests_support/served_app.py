"""An app for real servers in processes of their own; how it is wrapped is for the environment."""

import asyncio
import contextlib
import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.origin.base import from_tunnel


@contextlib.asynccontextmanager
async def lifespan(app):
    print("app starts", flush=True)
    yield {"pool": "open"}
    print("app stops", flush=True)


async def facts(request):
    return JSONResponse(
        {
            "public_url": request.state.public_url,
            "app_says": getattr(request.app.state, "public_url", None),
            "state": str(request.state.quicktunnel and request.state.quicktunnel.state.value),
            "pool": getattr(request.state, "pool", None),
            "from_tunnel": from_tunnel(request.scope),
        }
    )


async def endless(request):
    async def ticks():
        print("download begins", flush=True)
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks())


class Outside:
    """A middleware that leaves its trace on every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def traced(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-outside", b"seen")]
            await send(message)

        await self.app(scope, receive, traced)


async def without_lifespan(scope, receive, send):
    """As Django's handler: it raises where a lifespan is asked for."""
    if scope["type"] != "http":
        raise ValueError(f"this app can only handle HTTP, not {scope['type']}")
    await JSONResponse({"public_url": scope["state"]["public_url"]})(scope, receive, send)


def make():
    wrapping = os.environ["WRAPPING"]
    if wrapping == "no lifespan":
        return QuickTunnelASGI(without_lifespan)
    app = Starlette(
        routes=[Route("/", facts), Route("/endless", endless)],
        lifespan=lifespan,
    )
    if wrapping == "add_middleware":
        app.add_middleware(QuickTunnelASGI)
        app.add_middleware(Outside)
        return app
    return QuickTunnelASGI(app)


app = make()
