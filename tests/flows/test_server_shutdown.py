"""Real servers that stop: signals that come once and twice, and what is said last."""

import signal

import anyio
import pytest

from tests_support.server_process import ServerProcess, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.alone]

SERVERS = ["uvicorn", "uvicorn on uvloop", "hypercorn", "granian"]


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(40):
        yield


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", SERVERS)
async def test_an_idle_server_ends_within_two_seconds(local_edge, name, signum):
    """The tunnel is unregistered and closed, then the app stops, then the process ends."""
    async with ServerProcess(name, environment(local_edge)) as server:
        await server.public_url()
        began = anyio.current_time()
        server.interrupt(signum)
        await server.ended()
        assert anyio.current_time() - began < 2
    assert "app stops" in server.lines
    assert not [line for line in server.lines if "Traceback" in line]
    assert not local_edge.tunnels.latest.serving
    assert not list(local_edge.violations)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_second_signal_ends_the_drain(local_edge, name):
    """With a download open the first SIGINT drains; at the second the process is gone in 1 s."""
    async with ServerProcess(name, environment(local_edge)) as server:
        url = await server.public_url()
        async with (
            local_edge.httpx_client() as visitor,
            visitor.stream("GET", url + "/endless") as download,
        ):
            chunks = download.aiter_bytes()
            await anext(chunks)
            server.interrupt()
            # Unregistered, but the download goes on: that is the drain.
            await local_edge.wait_for(lambda: not local_edge.tunnels.latest.serving)
            await anext(chunks)
            assert "app stops" not in server.lines
            began = anyio.current_time()
            server.interrupt()
            await server.ended()
            assert anyio.current_time() - began < 1
    assert "app stops" in server.lines
