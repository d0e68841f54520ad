"""From a server's start to a public app: real servers, a wrapped app, the embedded edge."""

from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.emulator.faults import ProvisioningFault

from tests_support.lifespan_server import LifespanServer
from tests_support.server_process import ServerProcess, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SERVERS = ["uvicorn", "uvicorn on uvloop", "hypercorn", "hypercorn with a worker", "granian"]


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(40):
        yield


@pytest.mark.parametrize("wrapping", ["wrapper", "add_middleware"])
@pytest.mark.parametrize("name", SERVERS)
async def test_the_app_is_public_under_every_server(local_edge, name, wrapping):
    """Visitors from outside and from here find the same app, its URL and its lifespan state."""
    async with ServerProcess(name, environment(local_edge, wrapping=wrapping)) as server:
        url = await server.public_url()
        async with local_edge.httpx_client() as visitor, httpx.AsyncClient() as neighbour:
            outside = await visitor.get(url)
            inside = await neighbour.get(server.url)
            diagnostics = await neighbour.get(server.url + "/_quicktunnel/status")
            forbidden = await visitor.get(url + "/_quicktunnel/status")
    expected = {"public_url": url, "app_says": url, "state": "ready", "pool": "open"}
    assert outside.json() == expected | {"from_tunnel": True}
    assert inside.json() == expected | {"from_tunnel": False}
    assert diagnostics.json()["url"] == url
    assert forbidden.status_code == 404
    # By add_middleware visitors enter outside of every middleware.
    assert ("x-outside" in outside.headers) is (wrapping == "add_middleware")
    assert not list(local_edge.violations)


@pytest.mark.parametrize("name", SERVERS)
async def test_an_app_without_a_lifespan_is_public(local_edge, name):
    """Django's handler refuses the lifespan; the tunnel has one all the same."""
    async with ServerProcess(name, environment(local_edge, wrapping="no lifespan")) as server:
        url = await server.public_url()
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(url)).json() == {"public_url": url}
        server.kill()
        assert await server.ended() in (0, -15)


async def test_a_server_without_lifespan_serves_the_app(local_edge):
    """Under daphne there is no tunnel, and the app says so instead of failing."""
    async with ServerProcess("daphne", environment(local_edge)) as server:
        await server.line("Listening on TCP")
        async with httpx.AsyncClient() as neighbour:
            answer = await neighbour.get(server.url)
            status = await neighbour.get(server.url + "/_quicktunnel/status")
    assert answer.json()["public_url"] is None
    assert status.json()["state"] == "stopped"


async def test_another_event_loop_is_one_clear_line(local_edge):
    """Under hypercorn's trio worker the app serves, and its operator reads why it is not public."""
    async with ServerProcess("hypercorn on trio", environment(local_edge)) as server:
        await server.line("Running on")
        async with httpx.AsyncClient() as neighbour:
            answer = (await neighbour.get(server.url)).json()
    assert (answer["public_url"], answer["pool"]) == (None, "open")
    assert len([line for line in server.lines if "asyncio" in line]) == 1


async def test_a_refused_tunnel_leaves_the_app_running(local_edge):
    """A service that hands out nothing costs the tunnel and nothing else, and is one line."""
    local_edge.faults.provisioning = ProvisioningFault()
    async with ServerProcess("uvicorn", environment(local_edge)) as server:
        await server.line("there is no tunnel")
        async with httpx.AsyncClient() as neighbour:
            assert (await neighbour.get(server.url)).json()["public_url"] is None
        server.kill()
        await server.ended()
    assert "app stops" in server.lines
    assert len([line for line in server.lines if "1015" in line]) == 1
    assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.parametrize(("name", "status"), [("uvicorn", 3), ("hypercorn", 1), ("granian", 1)])
async def test_with_strict_the_startup_fails(local_edge, name, status):
    """The server ends with its own status for that, the app having been stopped in order."""
    local_edge.faults.provisioning = ProvisioningFault()
    environ = environment(local_edge, strict=1)
    async with ServerProcess(name, environ) as server:
        assert await server.ended() == status
    assert [line for line in server.lines if "the tunnel did not start" in line]
    assert "app stops" in server.lines


async def test_a_server_that_can_not_bind_has_asked_for_no_tunnel(local_edge):
    """Provisioning waits until the port is bound: a second start by mistake wastes no tunnel."""
    environ = environment(local_edge)
    async with ServerProcess("uvicorn", environ) as first:
        await first.public_url()
        second = ServerProcess("uvicorn", environ)
        second._command[-1] = first.url.rpartition(":")[2]
        async with second:
            assert await second.ended() == 3
    assert len(local_edge.provisioning_requests) == 1


async def test_a_server_that_gives_no_lifespan_state(local_edge):
    """The names and the app's own state reach every request all the same."""

    async def index(request):
        return PlainTextResponse(f"{request.state.public_url} {request.state.pool}")

    @asynccontextmanager
    async def lifespan(app):
        yield {"pool": "open"}

    app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
    wrapper = QuickTunnelASGI(app, local_edge.config(), wait_ready=True)
    async with LifespanServer(wrapper) as server:
        await server.startup()
        url = app.state.public_url
        transport = httpx.ASGITransport(wrapper)
        async with (
            local_edge.httpx_client() as visitor,
            httpx.AsyncClient(transport=transport, base_url="http://test") as neighbour,
        ):
            assert (await visitor.get(url)).text == f"{url} open"
            assert (await neighbour.get("/")).text == f"{url} open"
        await server.shutdown()
        await server.task
    assert app.state.public_url is None


async def test_two_lifespans_one_after_the_other(local_edge):
    """A wrapper may be started again: each time there is a new tunnel, and none is left."""
    app = Starlette()
    wrapper = QuickTunnelASGI(app, local_edge.config(), wait_ready=True)
    urls = []
    for _ in range(2):
        async with LifespanServer(wrapper, state={}) as server:
            await server.startup()
            urls.append(app.state.public_url)
            await server.shutdown()
            await server.task
        assert app.state.quicktunnel is None
    assert len(set(urls)) == 2
