"""The project's application under servers, with and without a lifespan."""

import asyncio
import signal
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests_support.django_project import APPS, HOOK, SITE, WITH_DAPHNE, django_process

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

UVICORN = ("uvicorn", "asgi_quicktunnel.django:application", "--port", "{port}")


async def test_under_daphne_the_first_requests_begin_the_tunnel(local_edge):
    """One, although they come at once; it is unregistered when the server is stopped."""
    with anyio.fail_after(60):
        async with django_process(
            local_edge,
            *("daphne", "asgi_quicktunnel.django:application", "--port", "{port}"),
            site=WITH_DAPHNE,
            ha_connections=1,
        ) as server:
            await server.line("Listening on TCP")
            assert not local_edge.provisioning_requests
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as neighbour:
                answers = await asyncio.gather(*(neighbour.get("/") for _ in range(4)))
                assert [answer.status_code for answer in answers] == [200] * 4
            url = await server.public_url()
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/async")).json()["url"] == url
            (connection,) = local_edge.connections
            server.interrupt(signal.SIGINT)
            assert await server.ended() == 0
            await local_edge.wait_for(lambda: connection.control.is_unregistered)
    assert len(local_edge.provisioning_requests) == 1
    assert list(local_edge.violations) == []


async def test_neither_settings_nor_code_are_needed(local_edge):
    """`uvicorn asgi_quicktunnel.django:application`, also where INSTALLED_APPS lacks the app."""
    site = {"INSTALLED_APPS": APPS[1:-1], "ALLOWED_HOSTS": ["shop.example"], "DEBUG": False}
    with anyio.fail_after(60):
        async with django_process(local_edge, *UVICORN, site=site) as server:
            url = await server.public_url()
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/")).json()["host"] == url.partition("://")[2]
            async with httpx.AsyncClient() as neighbour:
                refused = await neighbour.get(server.url)
            assert refused.status_code == 400
            server.kill()
            await server.ended()
    assert len(local_edge.provisioning_requests) == 1


@pytest.mark.parametrize(
    "application",
    ["asgi_quicktunnel.django:application", f"{SITE}.wrapped_routed_asgi:application"],
)
async def test_channels_routing_inside_the_wrapper(local_edge, application):
    """HTTP and WebSockets through the tunnel, by the hook or by a wrapper in asgi.py.

    The WebSockets of a page at the public URL alone: another site's are refused, and so is who
    claims that page without having come through the tunnel.
    """
    routed = f"{SITE}.routed_asgi.application"
    site = {"QUICKTUNNEL": {"APPLICATION": routed, "HA_CONNECTIONS": 1}}
    with anyio.fail_after(60):
        async with django_process(
            local_edge, "uvicorn", application, "--port", "{port}", site=site
        ) as server:
            url = await server.public_url()
            host, port = local_edge.address
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/")).json()["from_tunnel"] is True
            through = {"uri": f"ws://{urlsplit(url).netloc}/ws", "host": host, "port": port}
            async with connect(**through, proxy=None, origin=url) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "echo hello"
            direct = {"uri": server.url.replace("http", "ws", 1) + "/ws"}
            for way, origin in (
                (through, "https://evil.example"),
                (through, None),
                (direct, url),
                (direct, "https://evil.example"),
            ):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(**way, proxy=None, origin=origin)
                assert refused.value.response.status_code == 403
    assert len(local_edge.provisioning_requests) == 1


async def test_channels_routing_outside_the_wrapper(local_edge):
    """No lifespan gets through, so the first request begins the tunnel; pages work."""
    command = ("uvicorn", f"{SITE}.wrapped_inside_asgi:application", "--port", "{port}")
    with anyio.fail_after(60):
        async with django_process(local_edge, *command) as server:
            await server.line("Uvicorn running on")
            async with httpx.AsyncClient() as neighbour:
                assert (await neighbour.get(server.url)).status_code == 200
            url = await server.public_url()
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/")).json()["from_tunnel"] is True
            server.kill()
            assert await server.ended() in (0, -signal.SIGTERM)
    assert (
        len([line for line in server.lines if "Traceback" in line]) == 1
    )  # the failing receiver's
    assert len(local_edge.provisioning_requests) == 1


@pytest.mark.parametrize(
    ("environ", "site", "sentence"),
    [
        ({"DJANGO_SETTINGS_MODULE": None}, {}, "DJANGO_SETTINGS_MODULE is not set"),
        ({"DJANGO_SETTINGS_MODULE": "nowhere.settings"}, {}, "there is no module 'nowhere'"),
        ({}, {"QUICKTUNNEL": {"STRICT": 1}}, 'QUICKTUNNEL["STRICT"]: strict=1 can\'t be used'),
        ({}, {"QUICKTUNNEL": {"APPLICATION": HOOK}}, "leads back to itself"),
        ({}, {"QUICKTUNNEL": {"APPLICATION": "a.b.c"}}, "there is no module 'a'"),
    ],
)
async def test_a_mistake_is_a_sentence_and_the_server_ends(local_edge, environ, site, sentence):
    """Before it serves anything."""
    process = django_process(local_edge, *UVICORN, site=site)
    for name, value in environ.items():
        process._environ.pop(name)
        if value is not None:
            process._environ[name] = value
    with anyio.fail_after(30):
        async with process as server:
            assert await server.ended() == 3
    output = "\n".join(server.lines)
    assert sentence in output
    assert "Traceback" not in output
