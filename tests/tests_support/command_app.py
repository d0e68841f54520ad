"""Apps for `asgi-quicktunnel run`."""

import asyncio
import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from asgi_quicktunnel import QuickTunnelASGI


async def page(request):
    return PlainTextResponse(os.environ.get("GREETING", "hello"))


async def slow(request):
    async def parts():
        yield b"begun "
        await asyncio.sleep(float(request.query_params["seconds"]))
        yield b"done"

    return StreamingResponse(parts())


def create():
    return Starlette(routes=[Route("/", page), Route("/slow", slow)])


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"from WSGI"]


app = create()
wrapped = QuickTunnelASGI(create(), user_agent="given in code")
added = create()
added.add_middleware(QuickTunnelASGI)
