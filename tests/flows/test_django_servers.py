"""The Django example under every server that people start a project with."""

import signal

import anyio
import httpx
import pytest

from asgi_quicktunnel.demo.guestbook import GuestbookVisitor
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.emulator.front import VISITOR_ADDRESS

from tests_support.guestbook_site import ADMINISTRATOR, SERVERS, WITH_DAPHNE

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

# In development Django serves the static files of these, and so with DEBUG alone.
DEVELOPMENT = ("tunnel", "runserver", "runserver --noreload", "runserver with daphne")
RELOADED = ("tunnel", "runserver", "runserver with daphne")
WSGI = ("runserver", "runserver --noreload")
ALL = (*SERVERS, "runserver with daphne")
# A project without Channels, whose asgi.py is as Django makes it.
PLAIN = """
ASGI_APPLICATION = "plain_asgi.application"
QUICKTUNNEL = {"APPLICATION": "plain_asgi.application"}
"""
PLAIN_ASGI = """
from django.core.asgi import get_asgi_application

application = get_asgi_application()
"""
WITHOUT_TUNNEL = {
    "migrate": ("migrate",),
    "check": ("check",),
    "shell": ("shell", "--command", "print('in the shell')"),
    "test": ("test", "entries"),
}


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(90):
        yield


@pytest.fixture
async def edge():
    async with LocalEdge(tls=True) as edge:
        yield edge
        assert not list(edge.violations)


def served(site, edge, name, **options):
    """The site under a server of ALL; with daphne its settings are others."""
    if name == "runserver with daphne":
        site = site.variant(WITH_DAPHNE)
        name = "runserver"
    return site.served(edge, name, **options)


async def public_url(server, name):
    """The URL that the server announces: daphne, which has no lifespan, after the first request."""
    if name == "daphne":
        await server.line("Listening on")
        assert await status_for_host(server, "localhost") == 200
    return await server.public_url()


async def all_over(edge, server, name):
    """Wait until no process and no connection is left, and the edge was told of the end.

    A reloader's child can't know that there is no next one to leave its connections to; the edge
    gives these up.
    """
    await server.ended()
    await server.left()
    for connection in edge.connections:
        closed = await connection.wait_closed()
        assert name in RELOADED or (closed.by_peer, closed.code) == (True, 0)


def unexplained(server):
    """How many tracebacks there are, beside those that Django logs of a foreign host."""
    return sum("Traceback" in line for line in server.lines) - sum(
        "exceptions.DisallowedHost:" in line for line in server.lines
    )


async def status_for_host(server, host):
    """What a visitor of this machine gets who names this host."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(server.url + "/facts", headers={"Host": host})).status_code


@pytest.mark.parametrize("name", ALL)
async def test_the_project_is_public(edge, guestbook, name):
    """Each part of it works through the tunnel, and only there under the tunnel's name.

    It sees https, the public host and the visitor's own address. Ctrl-C ends all of it: the edge is
    told, and no process is left.
    """
    async with served(guestbook, edge, name, debug=name in DEVELOPMENT) as server:
        url = await public_url(server, name)
        async with edge.httpx_client(base_url=url, timeout=30) as client:
            say = server.lines.append
            visitor = GuestbookVisitor(client, edge.address, say, ca_file=edge.ca_file)
            assert await visitor.write() is None
            assert await visitor.forge() is None
            assert await visitor.administer(*ADMINISTRATOR) is None
            if name not in WSGI:  # which has no WebSockets, and collects async streams
                assert await visitor.listen() is None
                assert await visitor.watch() is None
            facts = (await client.get("/facts")).json()
            page = await client.get("/")
        assert f'This site is public at <a href="{url}"' in page.text
        assert facts["url"] == url + "/facts"
        assert facts["secure"] is True
        assert facts["visitor"] == VISITOR_ADDRESS
        assert await status_for_host(server, "localhost") == 200
        assert await status_for_host(server, "elsewhere.example") == 400
        assert await status_for_host(server, httpx.URL(url).netloc.decode()) == 400
        assert len(edge.provisioning_requests) == 1
        server.interrupt(signal.SIGINT)
        await all_over(edge, server, name)
    assert unexplained(server) == 0, "\n".join(server.lines)


@pytest.mark.parametrize("name", ALL)
async def test_a_process_manager_ends_it(edge, guestbook, name):
    """SIGTERM to the process that was started ends all of it: no process and no tunnel is left."""
    async with served(guestbook, edge, name) as server:
        await public_url(server, name)
        server.kill(signal.SIGTERM)
        await all_over(edge, server, name)
    assert unexplained(server) == 0, "\n".join(server.lines)


@pytest.mark.parametrize("debug", [True, False], ids=["debug", "no debug"])
@pytest.mark.parametrize("name", DEVELOPMENT)
async def test_static_files_come_with_debug(edge, guestbook, name, debug):
    """Of a project that does not serve them itself they are public in DEBUG, and only then."""
    site = guestbook.variant(PLAIN)
    (site.folder / "plain_asgi.py").write_text(PLAIN_ASGI)
    async with served(site, edge, name, debug=debug) as server:
        url = await public_url(server, name)
        async with edge.httpx_client(base_url=url, timeout=30) as client:
            assert (await client.get("/admin/login/")).status_code == 200
            styles = await client.get("/static/admin/css/base.css")
        assert styles.status_code == (200 if debug else 404)


@pytest.mark.parametrize("name", WITHOUT_TUNNEL)
async def test_other_commands_have_no_tunnel(edge, guestbook, name):
    """Commands that serve nothing do their work and ask for no tunnel."""

    def run():
        return guestbook.manage(*WITHOUT_TUNNEL[name], edge=edge)

    done = await anyio.to_thread.run_sync(run)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert not edge.provisioning_requests
