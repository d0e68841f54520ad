"""The demo of `reuse_url`: uvicorn reloads after each of three edits, and the URL stays the same.

The embedded edge forgets a name that has no connection, so the name had one at any time.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import httpx

from asgi_quicktunnel.emulator import LocalEdge

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from asgi_quicktunnel import QuickTunnelASGI

async def page(request):
    return PlainTextResponse("edition NUMBER")

app = QuickTunnelASGI(Starlette(routes=[Route("/", page)]))
"""
EDITS = 3
PATIENCE = 30.0  # s for each edition to appear


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "demo_reload_app.py"
        _edit(source, 1)
        async with LocalEdge(withdraw_names=True) as edge:
            server = await _serve(edge, folder)
            try:
                await asyncio.wait_for(edge.wait_registered(2), PATIENCE)
                return await _show(edge, source)
            except (TimeoutError, httpx.HTTPError) as exc:
                print(f"FAILED: {type(exc).__name__}: {exc}")
                return 1
            finally:
                server.terminate()
                await server.wait()


async def _show(edge: LocalEdge, source: Path) -> int:
    url = edge.url_for("/")
    async with edge.httpx_client() as visitor:
        print(f"edition 1 is public at {url}")
        for number in range(2, EDITS + 2):
            _edit(source, number)
            print(f"edited the app: now edition {number}")
            async with asyncio.timeout(PATIENCE):
                while (answer := await visitor.get(url)).text != f"edition {number}":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            print(f"  {answer.text!r} at {url}")
    tunnels = len(edge.provisioning_requests)
    print(f"{'ok' if tunnels == 1 else 'FAILED'}: {EDITS} edits, {tunnels} URL")
    return 0 if tunnels == 1 else 1


async def _serve(edge: LocalEdge, folder: str) -> asyncio.subprocess.Process:
    config = edge.config()
    command = ("uvicorn", "demo_reload_app:app", "--port", "0", "--log-level", "warning")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--reload", "--reload-dir", folder, "--app-dir", folder),
        env={
            **os.environ,
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge or "",
            "QUICKTUNNEL_CA_FILE": config.ca_file or "",
        },
    )


def _edit(source: Path, number: int) -> None:
    source.write_text(APP.replace("NUMBER", str(number)))


sys.exit(asyncio.run(main()))
