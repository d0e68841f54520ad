"""A tunnel that begins with the first request."""

import asyncio
import threading

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.first_request import LateTunnel
from asgi_quicktunnel.project import set_project
from asgi_quicktunnel.publication import Publication

from tests_support.fake_tunnel import FakeTunnel
from tests_support.lifespan_server import LifespanServer

pytestmark = pytest.mark.anyio


class Project:
    """One whose framework has no lifespan."""

    def __init__(self):
        self.starts_late = True
        self.tunnels = []

    def options(self):
        return {}

    def on_tunnel(self, tunnel):
        self.tunnels.append(tunnel)


@pytest.fixture
def project():
    project = Project()
    set_project(project)
    yield project
    set_project(None)


async def url(request):
    return JSONResponse(request.state.public_url)


def client(app):
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


async def until_published(client):
    with anyio.fail_after(30):
        while (found := (await client.get("/")).json()) is None:
            await asyncio.sleep(0.02)
    return found


async def test_the_first_requests_begin_one_tunnel(local_edge, project):
    """Several at once, and those after them; it is published as in a lifespan."""
    app = QuickTunnelASGI(Starlette(routes=[Route("/", url)]), local_edge.config(ha_connections=1))
    async with client(app) as neighbour:
        await asyncio.gather(*(neighbour.get("/") for _ in range(5)))
        public = await until_published(neighbour)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(public)).json() == public
        (tunnel,) = project.tunnels
        assert app.state.public_url == public
        await tunnel.aclose()
    assert len(local_edge.provisioning_requests) == 1


@pytest.mark.parametrize("reason", ["no project", "not wanted", "lifespan", "switched off"])
async def test_otherwise_requests_begin_none(local_edge, project, reason):
    """In a server with a lifespan, or where nobody asks for it."""
    options = {"enabled": False} if reason == "switched off" else {}
    config = local_edge.config(**options)
    app = QuickTunnelASGI(Starlette(routes=[Route("/", url)]), config)
    if reason == "no project":
        set_project(None)
    project.starts_late = reason != "not wanted"
    if reason == "lifespan":
        async with LifespanServer(app) as server:
            await server.startup()
            await server.shutdown()
        project.tunnels.clear()
    async with client(app) as neighbour:
        assert (await neighbour.get("/")).json() is None
    assert project.tunnels == []


async def test_a_wrapper_inside_another_leaves_it_to_that_one(local_edge, project):
    """Of two around one app one begins."""
    config = local_edge.config(ha_connections=1)
    app = QuickTunnelASGI(QuickTunnelASGI(Starlette(routes=[Route("/", url)]), config), config)
    async with client(app) as neighbour:
        await until_published(neighbour)
    assert len(project.tunnels) == 1
    await project.tunnels[0].aclose()


def test_it_is_closed_after_its_loop_has_stopped():
    """As daphne leaves it: in another thread, once."""
    tunnel = FakeTunnel()
    publication = Publication()

    async def begin():
        late = LateTunnel(tunnel, publication)
        await tunnel.started.wait()
        return late

    loop = asyncio.new_event_loop()
    late = loop.run_until_complete(begin())
    for _ in range(2):
        closing = threading.Thread(target=late.close)
        closing.start()
        closing.join(timeout=10)
        assert not closing.is_alive()
    assert tunnel.diary.count("tunnel closed") == 1
    assert publication.tunnel is None
    loop.close()
    late.close()  # nothing can be done any more, and nothing is raised


async def test_it_is_closed_while_its_loop_runs():
    """As where a server has its loop in a thread; a drain that takes long is cut short."""
    tunnel = FakeTunnel(drained=False)
    late = LateTunnel(tunnel, Publication())
    await tunnel.started.wait()
    with anyio.fail_after(10):
        await asyncio.to_thread(late.close)
    assert tunnel.diary[-2:] == ["drain cut short", "tunnel closed"]
