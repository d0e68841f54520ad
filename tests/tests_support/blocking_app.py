"""An app whose handlers block the event loop, served in a process of its own."""

import time

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from asgi_quicktunnel import QuickTunnelASGI


async def hello(request):
    return PlainTextResponse("hello")


async def sleep(request):
    time.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("slept")


async def compute(request):
    end = time.monotonic() + float(request.path_params["seconds"])
    total = 0
    while time.monotonic() < end:
        total += sum(range(1000))
    return PlainTextResponse("computed")


async def stop(request):
    breakpoint()  # it is what this app is for
    return PlainTextResponse("went on")


async def reconnects(request):
    statistics = request.state.quicktunnel.statistics()
    return JSONResponse(
        {"reconnects": statistics.reconnects, "connections": len(statistics.connections)}
    )


app = QuickTunnelASGI(
    Starlette(
        routes=[
            Route("/", hello),
            Route("/sleep/{seconds}", sleep),
            Route("/compute/{seconds}", compute),
            Route("/stop", stop),
            Route("/reconnects", reconnects),
        ]
    )
)
