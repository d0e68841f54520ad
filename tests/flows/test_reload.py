"""A development server reloads while visitors hold connections open through the tunnel."""

import asyncio
import re
import time
from urllib.parse import urlsplit

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.alone]

APP = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from asgi_quicktunnel import QuickTunnelASGI

async def page(request):
    return PlainTextResponse("GENERATION")

async def events(request):
    async def forever():
        while True:
            yield "data: x\\n\\n"
            await asyncio.sleep(0.05)
    return StreamingResponse(forever(), media_type="text/event-stream")

async def talk(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

app = QuickTunnelASGI(Starlette(routes=[
    Route("/", page), Route("/events", events), WebSocketRoute("/ws", talk),
]))
"""


async def line_with(stream, pattern):
    """The next line of a stream that a pattern is found in: the match, and when it came."""
    while True:
        line = (await stream.readline()).decode()
        assert line, "the server ended"
        if found := re.search(pattern, line):
            return found, time.monotonic()


async def test_open_connections_do_not_hold_up_a_reload(tmp_path):
    """With a WebSocket and an event-stream open, the next process serves within 2 s of the change.

    The WebSocket closes with 1012, and the tunnel answers with the new code.
    """
    source = tmp_path / "reloaded_app.py"
    source.write_text(APP.replace("GENERATION", "one"))
    command = ("uvicorn", "reloaded_app:app", "--port", "0", "--reload")
    places = ("--app-dir", str(tmp_path), "--reload-dir", str(tmp_path))
    with anyio.fail_after(60):
        async with (
            LocalEdge() as edge,
            served(
                edge, *command, *places, stderr=asyncio.subprocess.PIPE, stop="terminate"
            ) as process,
        ):
            url = edge.url_for("")
            host, port = edge.address
            async with edge.httpx_client(base_url=url, timeout=None) as visitor:
                assert (await visitor.get("/")).text == "one"
                websocket = await connect(
                    f"ws://{urlsplit(url).netloc}/ws", host=host, port=port, proxy=None
                )
                async with visitor.stream("GET", "/events") as events:
                    parts = events.aiter_raw()
                    await anext(parts)
                    source.write_text(APP.replace("GENERATION", "two"))
                    _, detected = await line_with(process.stderr, "Reloading")
                    _, started = await line_with(process.stderr, "Application startup complete")
                    assert started - detected < 2
                    async for _ in parts:
                        pass  # the event-stream ended, whole
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
                assert websocket.close_code == 1012
            await edge.wait_for(lambda: len(edge.tunnels.values()) == 2)
            await edge.wait_for(lambda: bool(edge.tunnels.latest.serving))
            async with edge.httpx_client(base_url=edge.url_for("")) as visitor:
                assert (await visitor.get("/")).text == "two"
