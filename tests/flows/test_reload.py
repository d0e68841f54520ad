"""A development server reloads while visitors use the tunnel: one URL, whatever is edited."""

import asyncio
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.programs import run_program
from tests_support.served import served

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.alone]

APP = """
import asyncio
import sys
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from asgi_quicktunnel import QuickTunnelASGI

async def page(request):
    return PlainTextResponse("GENERATION")

async def slow(request):
    await asyncio.sleep(0.5)
    return PlainTextResponse("GENERATION, slowly")

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

@asynccontextmanager
async def lifespan(app):
    sys.stderr.write("the app has started\\n")
    yield

app = QuickTunnelASGI(Starlette(lifespan=lifespan, routes=[
    Route("/", page), Route("/slow", slow), Route("/events", events), WebSocketRoute("/ws", talk),
]))
"""

IN_CODE = """
import sys, uvicorn
if __name__ == "__main__":
    uvicorn.run("reloaded_app:app", port=0, reload=True, reload_dirs=sys.argv[1:])
"""

APP_NAME = "reloaded_app:app"
SERVERS = {
    "uvicorn": ("uvicorn", APP_NAME, "--port", "0", "--reload", "--reload-dir", "{folder}"),
    "uvicorn.run(reload=True)": ("served_in_code", "{folder}"),
    "hypercorn": ("hypercorn", APP_NAME, "--bind", "127.0.0.1:0", "--reload"),
    "granian": (
        *("granian", APP_NAME, "--interface", "asgi", "--port", "0"),
        *("--reload", "--reload-paths", "{folder}"),
    ),
}


class Source:
    """A module that is edited; its page says how often it was."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "reloaded_app.py"
        self.generation = 0
        (folder / "served_in_code.py").write_text(IN_CODE)
        self.edit()

    def edit(self):
        self.generation += 1
        # In one step, from a folder that nobody watches: reloaders see one change, of a whole file.
        beside = self.folder.parent / f"{self.folder.name}.py"
        beside.write_text(APP.replace("GENERATION", str(self.generation)))
        beside.replace(self.path)

    def served(self, edge, server, **environ):
        return served(
            edge,
            *(word.format(folder=self.folder) for word in SERVERS[server]),
            connections=2,
            environ={"PYTHONPATH": str(self.folder), **environ},
            stderr=asyncio.subprocess.PIPE,
            stop="terminate",
        )


async def line_with(stream, pattern):
    """The next line of a stream that a pattern is found in: the match, and when it came."""
    while True:
        line = (await stream.readline()).decode()
        assert line, "the server ended"
        if found := re.search(pattern, line):
            return found, time.monotonic()


@pytest.mark.parametrize(
    ("server", "edits"), [(server, 2 if server == "uvicorn" else 1) for server in SERVERS]
)
async def test_the_url_stays_the_same_while_code_changes(tmp_path, server, edits):
    """Edit after edit the same URL is announced, within 1 s of the app's start.

    The edge forgets a name that has no connection, so there was one at any time. A request under
    way is answered; one that comes while no process is there is answered with 502, not later than
    the new process is; from its announcement on every request reaches the new code.
    """
    source = Source(tmp_path)
    with anyio.fail_after(90):
        async with LocalEdge(withdraw_names=True) as edge, source.served(edge, server) as process:
            found, _ = await line_with(process.stderr, r"public at (\S+)")
            url = edge.url_for("")
            assert found[1] == url
            async with edge.httpx_client(base_url=url, timeout=None) as visitor:
                for _ in range(edits):
                    assert (await visitor.get("/")).text == str(source.generation)
                    slow = asyncio.create_task(visitor.get("/slow"))
                    await edge.wait_for(
                        lambda: any(each.requests_open for each in edge.connections)
                    )
                    before = source.generation
                    source.edit()
                    _, started = await line_with(process.stderr, "the app has started")
                    meanwhile = asyncio.create_task(visitor.get("/"))
                    found, announced = await line_with(process.stderr, r"public at (\S+)")
                    assert found[1] == url
                    assert announced - started < 1
                    assert (await slow).text == f"{before}, slowly"
                    assert (await meanwhile).status_code in (200, 502)
                    answers = [(await visitor.get("/")).text for _ in range(4)]
                    assert answers == [str(source.generation)] * 4
            assert len(edge.provisioning_requests) == 1
            requests = [each.control.requests[0] for each in edge.connections]
            assert len({request.identity.connector_id for request in requests}) == 1
            assert [request.replace_existing for request in requests[2:]] == [True] * 2 * edits
            assert list(edge.violations) == []


async def test_open_connections_do_not_hold_up_a_reload(tmp_path):
    """With a WebSocket and an event-stream open, the next process serves within 2 s of the change.

    The WebSocket closes with 1012, the event-stream ends, and the tunnel answers with the new code.
    """
    source = Source(tmp_path)
    with anyio.fail_after(60):
        async with LocalEdge() as edge, source.served(edge, "uvicorn") as process:
            url = edge.url_for("")
            host, port = edge.address
            async with edge.httpx_client(base_url=url, timeout=None) as visitor:
                assert (await visitor.get("/")).text == "1"
                websocket = await connect(
                    f"ws://{urlsplit(url).netloc}/ws", host=host, port=port, proxy=None
                )
                await websocket.send("hello")
                assert await websocket.recv() == "hello"
                async with visitor.stream("GET", "/events") as events:
                    parts = events.aiter_raw()
                    await anext(parts)
                    source.edit()
                    _, detected = await line_with(process.stderr, "Reloading")
                    _, started = await line_with(process.stderr, "Application startup complete")
                    assert started - detected < 2
                    async for _ in parts:
                        pass  # the event-stream ended, whole
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
                assert websocket.close_code == 1012
                await line_with(process.stderr, "public at")
                assert (await visitor.get("/")).text == "2"


async def test_with_reuse_url_off_each_process_has_its_own(tmp_path):
    """And unregisters it: the edge that forgets names has forgotten the first."""
    source = Source(tmp_path)
    with anyio.fail_after(60):
        async with (
            LocalEdge(withdraw_names=True) as edge,
            source.served(edge, "uvicorn", QUICKTUNNEL_REUSE_URL="0") as process,
        ):
            first, _ = await line_with(process.stderr, r"public at (\S+)")
            source.edit()
            second, _ = await line_with(process.stderr, r"public at (\S+)")
            assert first[1] != second[1]
            assert len(edge.tunnels) == 1


async def test_the_demo_of_three_edits():
    """`scripts/demo reload` ends with one URL and status 0."""
    with anyio.fail_after(90):
        output = await run_program(sys.executable, ROOT / "scripts" / "lib" / "demo_reload.py")
    lines = output.decode().splitlines()
    assert lines[-1] == "ok: 3 edits, 1 URL"
    assert len([line for line in lines if "'edition" in line]) == 3
