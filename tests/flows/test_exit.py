"""Interpreters that end without closing their tunnel."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BEGIN = """
import asyncio, multiprocessing, sys, time
from asgi_quicktunnel import QuickTunnel

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})

async def start():
    tunnel = QuickTunnel(app)
    await tunnel.start()
    await tunnel.wait_ready()
    print("ready", flush=True)
    return tunnel
"""

POLITE = {
    "the main coroutine returns": "asyncio.run(start())",
    "sys.exit in a coroutine": """
async def main():
    await start()
    sys.exit(3)
asyncio.run(main())
""",
    "an exception": """
async def main():
    await start()
    raise RuntimeError("on purpose")
asyncio.run(main())
""",
    "a cancelled main task": """
async def main():
    async with QuickTunnel(app) as tunnel:
        print("ready", flush=True)
        asyncio.current_task().cancel()
        await asyncio.sleep(60)
try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
""",
}

RUDE = {  # asyncio itself complains of the tasks that are left
    "a loop that is only stopped": """
loop = asyncio.new_event_loop()
tunnel = loop.run_until_complete(start())
""",
    "a loop closed while the process lives": """
loop = asyncio.new_event_loop()
tunnel = loop.run_until_complete(start())
loop.close()
sys.stdin.readline()
""",
}


@asynccontextmanager
async def program(edge, code):
    """Python code in a process of its own that has printed "ready"."""
    config = edge.config()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BEGIN + code,
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
            "QUICKTUNNEL_HA_CONNECTIONS": "1",
        },
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("how", [*POLITE, *RUDE])
async def test_the_edge_hears_of_the_end(how):
    """However the interpreter ends, it ends soon and the connection is closed, not left to idle."""
    with anyio.fail_after(30):
        async with LocalEdge() as edge, program(edge, (POLITE | RUDE)[how]) as process:
            with anyio.fail_after(8):
                closed = await edge.connections[0].wait_closed()
                process.stdin.close()
                _, errors = await process.communicate()
            assert closed.by_peer
            assert closed.code == 0
            if how in POLITE:
                assert b"Exception ignored" not in errors, errors.decode()
                assert b"was never retrieved" not in errors, errors.decode()


FORK = """
async def main():
    tunnel = await start()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1.5,))
    child.start()
    await asyncio.get_running_loop().run_in_executor(None, child.join)
    print("forked", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await tunnel.aclose()
asyncio.run(main())
"""


async def test_a_forked_child_leaves_the_connection_to_its_parent():
    """A child forked while the tunnel runs sends nothing, also at its end; the parent serves on."""
    with anyio.fail_after(30):
        async with LocalEdge() as edge, program(edge, FORK) as process:
            assert await process.stdout.readline() == b"forked\n"
            async with edge.httpx_client(base_url=edge.url_for("")) as visitor:
                for _ in range(3):
                    assert (await visitor.get("/")).text == "x"
            assert edge.connections[0].closed is None
            process.stdin.write(b"\n")
            assert await process.wait() == 0
