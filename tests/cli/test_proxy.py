"""`asgi-quicktunnel proxy`, as a user runs it."""

import asyncio
import json
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from asgi_quicktunnel.emulator.faults import ProvisioningFault

from tests_support.terminal import at_terminal, command, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(60):
        yield


@asynccontextmanager
async def site(**place):
    """A site of somebody else's: it says which Host it was asked for, sooner or later."""

    async def answer(reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        host = request.partition("host: ")[2].partition("\r\n")[0].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nasked as ")
        await writer.drain()
        if "get /slow" in request:
            await release.wait()
        writer.write(host)
        writer.close()

    release = asyncio.Event()
    if "path" in place:
        server = await asyncio.start_unix_server(answer, **place)
    else:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server, release
        release.set()


async def test_a_port_is_public_until_ctrl_c(local_edge):
    """The port alone is enough; the last open request is answered, and said to be awaited."""
    async with site() as (server, release):
        port = str(server.sockets[0].getsockname()[1])
        environ = environment(local_edge, ha_connections=1)
        async with command("proxy", port, environ=environ) as proxy:
            await proxy.until(lambda proxy: "forwards to" in proxy.out)
            url = local_edge.url_for("")
            assert f"public at {url}" in proxy.out
            assert f"forwards to: 127.0.0.1:{port}" in proxy.out
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/")).text == f"asked as {url.partition('://')[2]}"
                async with visitor.stream("GET", "/slow") as answer:
                    parts = answer.aiter_raw()
                    assert await anext(parts) == b"asked as "
                    proxy.interrupt()
                    await proxy.until(lambda proxy: "waiting for 1 open request" in proxy.out)
                    release.set()
                    assert [part async for part in parts]
            assert await proxy.ended() == 0
    assert "GET     / 200 " in proxy.out
    assert proxy.err == ""


async def test_what_came_through_can_be_looked_at(local_edge):
    """The diagnostics are on a port of this machine, and nowhere else: not through the tunnel."""
    async with site() as (server, _), httpx.AsyncClient() as here:
        port = str(server.sockets[0].getsockname()[1])
        arguments = (port, "--diagnostics-port", "0")
        environ = environment(local_edge, ha_connections=1)
        async with command("proxy", *arguments, environ=environ) as proxy:
            await proxy.until(lambda proxy: "diagnostics: http" in proxy.out)
            address = proxy.out.partition("diagnostics: ")[2].split()[0]
            status = (await here.get(f"{address}/status")).json()
            assert status["url"] == local_edge.url_for("")
            assert (await here.get(address.removesuffix("/_quicktunnel"))).status_code == 307
            assert (await here.get(f"{address}er")).status_code == 404
            async with local_edge.httpx_client(base_url=status["url"]) as visitor:
                answer = await visitor.get("/_quicktunnel/status")
                assert answer.text.startswith("asked as")
            proxy.interrupt()
            assert await proxy.ended() == 0


async def test_a_port_that_is_taken_is_an_error_if_it_was_asked_for(local_edge):
    """One line says which option, and what would do."""
    async with site() as (server, _):
        port = str(server.sockets[0].getsockname()[1])
        environ = environment(local_edge, ha_connections=1)
        async with command("proxy", port, "--diagnostics-port", port, environ=environ) as proxy:
            assert await proxy.ended() == 2
    assert proxy.err.startswith(f"error: --diagnostics-port {port} can't be used (")
    assert proxy.err.endswith("0 takes any free one\n")


async def test_a_second_ctrl_c_cuts_it_short(local_edge, tmp_path):
    """A Unix socket, at a terminal; the exit status says that something was cut off."""
    path = str(tmp_path / "site")
    async with site(path=path):
        environ = environment(local_edge, ha_connections=1)
        arguments = (f"unix:{path}", "--host-header", "inside.example")
        async with at_terminal("proxy", *arguments, environ=environ) as proxy:
            await proxy.until(lambda proxy: "╯" in proxy.shown)
            async with local_edge.httpx_client(base_url=local_edge.url_for("")) as visitor:
                assert (await visitor.get("/")).text == "asked as inside.example"
                async with visitor.stream("GET", "/slow") as answer:
                    parts = answer.aiter_raw()
                    await anext(parts)
                    proxy.interrupt()
                    await proxy.until(lambda proxy: "waiting for 1 open request" in proxy.shown)
                    proxy.interrupt()
                    assert await proxy.ended() == 130
    assert "cut off: 1 request" in proxy.shown
    assert "Traceback" not in proxy.out


async def test_json_lines(local_edge):
    """Nobody listens at the port: each request is told with the status that the visitor saw."""
    environ = environment(local_edge, ha_connections=1)
    async with command("proxy", "9", "--json", environ=environ) as proxy:
        await proxy.until(lambda proxy: '"ready"' in proxy.out)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(local_edge.url_for("/"))).status_code == 502
        await proxy.until(lambda proxy: '"request"' in proxy.out)
        proxy.interrupt()
        assert await proxy.ended() == 0
    events = [json.loads(line) for line in proxy.out.splitlines()]
    (request,) = (event for event in events if event["event"] == "request")
    assert (request["status"], request["country"]) == (502, "PT")


@pytest.mark.parametrize(
    ("target", "fault", "status", "named"),
    [
        ("70000", None, 2, "70000"),
        ("8000", ProvisioningFault(400, b"no"), 1, "answered 400"),
    ],
)
async def test_a_mistake_is_named_in_one_line(local_edge, target, fault, status, named):
    """Without a tunnel there is nothing to run for: the reason, and an exit status."""
    local_edge.faults.provisioning = fault
    async with command("proxy", target, environ=environment(local_edge)) as proxy:
        assert await proxy.ended() == status
    assert named in proxy.err
    assert len(proxy.err.splitlines()) == 1
