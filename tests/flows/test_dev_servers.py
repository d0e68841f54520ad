"""How people start an app while they write it: a factory, and FastAPI's own command."""

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.served import served
from tests_support.server_process import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FILE = """
from fastapi import FastAPI
from asgi_quicktunnel import QuickTunnelASGI

app = FastAPI()

@app.get("/")
async def page() -> str:
    return "from a file"

app = QuickTunnelASGI(app)
"""


async def page_at(edge, server):
    """What a visitor of the tunnel sees at the root."""
    async with server:
        tunnel = await edge.wait_registered()
        async with edge.httpx_client() as client:
            with anyio.fail_after(30):
                answer = await client.get(tunnel.credentials.url + "/")
        assert answer.status_code == 200
        return answer.json()


async def test_a_factory_is_called_and_its_app_is_public():
    """`uvicorn --factory` serves what the factory returns, tunnel included."""
    factory = ("uvicorn", "--factory", "tests_support.factory_app:create_app", "--port", "0")
    async with LocalEdge() as edge:
        assert await page_at(edge, served(edge, *factory)) == "made on demand"
        assert not list(edge.violations)


@pytest.mark.parametrize("command", ["dev", "run"])
async def test_the_command_of_fastapi_finds_the_wrapped_app(command, tmp_path):
    """`fastapi dev` and `fastapi run` look for a FastAPI instance, and take the wrapper for one."""
    path = tmp_path / "main.py"
    path.write_text(FILE)
    words = ("fastapi", command, str(path), "--host", "127.0.0.1", "--port", str(free_port()))
    async with LocalEdge() as edge:
        server = served(edge, *words, stop="terminate")
        assert await page_at(edge, server) == "from a file"
