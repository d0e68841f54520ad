"""A server with several workers: one tunnel, one line in the log, a connection each."""

import asyncio
import os
import re
import signal

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

APP = """
import json, os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from asgi_quicktunnel import QuickTunnelASGI

async def page(request):
    return JSONResponse({"pid": os.getpid(), "url": request.state.public_url})

app = QuickTunnelASGI(Starlette(routes=[Route("/", page)]))
"""

SERVERS = {
    "uvicorn": (
        *("uvicorn", "worked_app:app", "--port", "0", "--workers", "4"),
        *(
            "--timeout-worker-healthcheck",
            "60",
        ),  # s; it kills a worker that a busy machine holds up
    ),
    "gunicorn": (
        *("gunicorn", "worked_app:app", "--bind", "127.0.0.1:0", "--workers", "4"),
        *("--worker-class", "uvicorn_worker.UvicornWorker"),
    ),
}


async def lines_of(stream, lines):
    while line := await stream.readline():
        lines.append(line.decode())


async def workers_seen(visitor):
    """The pids that answer a dozen requests, once all of them know the URL."""
    url = str(visitor.base_url).rstrip("/")
    while True:
        answers = [(await visitor.get("/")).json() for _ in range(12)]
        if {answer["url"] for answer in answers} == {url}:
            return {answer["pid"] for answer in answers}


@pytest.mark.parametrize("server", SERVERS)
async def test_four_workers_share_one_tunnel(tmp_path, server):
    """Requests reach all of them; one that is killed has its connection taken over.

    At the end every connection is unregistered.
    """
    (tmp_path / "worked_app.py").write_text(APP)
    lines = []
    with anyio.fail_after(90):
        async with (
            LocalEdge(edges=4, withdraw_names=True) as edge,
            served(
                edge,
                *SERVERS[server],
                connections=4,
                environ={"PYTHONPATH": str(tmp_path), "QUICKTUNNEL_HA_CONNECTIONS": "2"},
                stderr=asyncio.subprocess.PIPE,
                stop="terminate",
            ) as process,
        ):
            reading = asyncio.create_task(lines_of(process.stderr, lines))
            tunnel = edge.tunnels.latest
            async with edge.httpx_client(base_url=tunnel.url, timeout=None) as visitor:
                pids = await workers_seen(visitor)
                assert len(pids) == 4
                assert "".join(lines).count("public at") == 1
                victim = min(pids)
                before = edge.connections
                os.kill(victim, signal.SIGKILL)
                await edge.wait_for(lambda: len(edge.connections) > len(before))
                successor = edge.connections[-1]
                await edge.wait_for(lambda: successor.conn_index is not None)
                assert successor.control.requests[0].replace_existing
                await edge.wait_for(lambda: len(tunnel.serving) == 4)
                indexes = sorted(each.conn_index for each in tunnel.serving)
                assert indexes == [0, 1, 2, 3]
                pids_now = await workers_seen(visitor)
                assert pids_now - pids
                assert victim not in pids_now
            process.terminate()
            await process.wait()
            await reading
            assert len(edge.provisioning_requests) == 1
            connector_ids = {
                request.identity.connector_id
                for each in edge.connections
                for request in each.control.requests
            }
            assert len(connector_ids) == 1
            assert tunnel.serving == ()
            assert list(edge.violations) == []
    urls = re.findall(r"public at (\S+)", "".join(lines))
    # The one that was killed may have led: then the next to lead is a worker that knew the URL,
    # which says nothing, or the new process, which says it once more.
    assert set(urls) == {tunnel.url}
    assert len(urls) <= 2
