"""Proxy mode: from the visitor through the edge to a server of somebody else's, and back."""

import asyncio
import hashlib
import os

import anyio
import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from asgi_quicktunnel import ConfigError, QuickTunnel, QuickTunnelASGI
from asgi_quicktunnel.diagnostics.status import describe
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.origin.pool import PoolStatistics

from tests_support.certificates import CertificateAuthority
from tests_support.client_site import make_site
from tests_support.local_servers import http_server_at, hypercorn_at, uvicorn_at
from tests_support.raw_origin import RawOrigin, read_head, settled
from tests_support.server_process import free_port

pytestmark = pytest.mark.anyio

SERVERS = {"uvicorn": uvicorn_at, "hypercorn": hypercorn_at}


def visit(edge, tunnel, path="/ws", **options):
    """A WebSocket to the tunnel; its name is looked up by nobody."""
    host, port = edge.address
    uri = tunnel.url.replace("http", "ws", 1) + path
    return connect(uri, host=host, port=port, proxy=None, **options)


async def parts(body, size=50_000):
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def facts(scope, receive, send):
    """Says what the server made of the request; a body's digest too."""
    digest = hashlib.sha256()
    size = 0
    more_body = True
    while more_body:
        message = await receive()
        digest.update(message["body"])
        size += len(message["body"])
        more_body = message["more_body"]
    lines = [f"{scope['method']} {scope['raw_path'].decode()}?{scope['query_string'].decode()}"]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in scope["headers"]]
    lines += ["", f"{size} {digest.hexdigest()}"]
    await PlainTextResponse("\n".join(lines))(scope, receive, send)


@pytest.mark.parametrize("server", SERVERS)
async def test_any_asgi_server_is_reached(tunnelled, fin, server):
    """Requests of every kind, over one kept connection, as the visitor sent them."""
    async with (
        SERVERS[server](facts) as address,
        tunnelled(address, fin=fin) as (_, tunnel, visitor),
    ):
        page = await visitor.get("/a%2Fb?x=%20", headers={"X-A": "1", "X-Forwarded-For": "9.9.9.9"})
        lines = page.text.splitlines()
        assert lines[0] == "GET /a%2Fb?x=%20"
        assert f"host: {httpx.URL(tunnel.url).netloc.decode()}" in lines
        assert "x-a: 1" in lines
        assert "x-forwarded-for: 9.9.9.9,203.0.113.7" in lines
        assert "x-forwarded-proto: http" in lines
        assert "cf-connecting-ip: 203.0.113.7" in lines
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"):
            assert (await visitor.request(method, "/")).text.startswith(f"{method} /?")
        head = await visitor.head("/")
        assert (head.status_code, head.content) == (200, b"")
        body = os.urandom(1 << 20)
        for content in (body, parts(body)):
            answer = await visitor.post("/", content=content)
            assert answer.text.endswith(f"{len(body)} {hashlib.sha256(body).hexdigest()}")

        pool = tunnel.statistics().pool
        assert pool == PoolStatistics(open=1, idle=1, created=1, reused=9)
        assert describe(tunnel)["pool"] == {
            "open": 1, "idle": 1, "created": 1, "reused": 9, "retried": 0, "failures": 0,
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
async def test_websockets_go_through(tunnelled, server):
    """Subprotocols, compression, large messages, refusals and close codes are the server's own."""
    async with (
        SERVERS[server](make_site()) as address,
        tunnelled(address) as (edge, tunnel, visitor),
    ):
        async with visit(edge, tunnel, subprotocols=["chat", "echo"], max_size=None) as socket:
            assert socket.subprotocol == "echo"
            assert [extension.name for extension in socket.protocol.extensions] == [
                "permessage-deflate"
            ]
            for message in ("", "grüße", b"\x00\xff", os.urandom(1 << 20), "я" * 200_000):
                await socket.send(message)
                assert await socket.recv() == message
            assert await (await socket.ping(b"there?")) >= 0
            await socket.send("bye")
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await socket.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")
        with pytest.raises(websockets.InvalidStatus) as refused:
            await visit(edge, tunnel, "/nowhere")
        assert refused.value.response.status_code == 403
        assert (await visitor.get("/facts")).status_code == 200
        assert tunnel.statistics().pool.failures == 0


async def test_pythons_own_server_is_reached(tunnelled, tmp_path):
    """HTTP/1.0: files, HEAD, 304 and 404, each over a connection of its own."""
    content = os.urandom(3 << 20)
    (tmp_path / "file.bin").write_bytes(content)
    async with http_server_at(tmp_path) as address, tunnelled(address) as (_, tunnel, visitor):
        page = await visitor.get("/file.bin")
        assert page.content == content
        assert (await visitor.head("/file.bin")).headers["content-length"] == str(len(content))
        since = {"If-Modified-Since": page.headers["last-modified"]}
        assert (await visitor.get("/file.bin", headers=since)).status_code == 304
        assert (await visitor.get("/none")).status_code == 404
        assert (await visitor.post("/file.bin", content=b"x")).status_code == 501
        pool = tunnel.statistics().pool
        assert (pool.created, pool.reused, pool.failures) == (5, 0, 0)


async def test_a_unix_socket_is_reached(tunnelled, tmp_path):
    """unix:/path, as `uvicorn --uds` makes it."""
    async with (
        uvicorn_at(facts, uds=str(tmp_path / "app.sock")) as address,
        tunnelled(address) as (_, _, visitor),
    ):
        assert (await visitor.get("/x")).text.startswith("GET /x?")


async def test_an_https_server_is_reached_and_verified(tunnelled, tmp_path):
    """With its authority; without, the visitor reads that it is not trusted and what would help."""
    authority = CertificateAuthority(tmp_path)
    async with uvicorn_at(facts, tls=authority.server_context("localhost")) as address:
        options = {"origin_ca_file": authority.ca_file}
        async with tunnelled(address, **options) as (_, tunnel, visitor):
            body = os.urandom(1 << 20)
            answer = await visitor.post("/x", content=body)
            assert answer.text.endswith(hashlib.sha256(body).hexdigest())
            assert (await visitor.get("/x")).status_code == 200
            assert tunnel.statistics().pool.created == 1
        async with tunnelled(address, origin_tls_verify=False) as (_, _, visitor):
            assert (await visitor.get("/x")).status_code == 200
        async with tunnelled(address) as (_, tunnel, visitor):
            answer = await visitor.get("/x")
            assert answer.status_code == 502
            assert "not trusted" in answer.text
            assert "origin_ca_file" in answer.text
            assert tunnel.statistics().pool.failures == 1


async def test_a_server_that_comes_later(tunnelled):
    """Until it listens visitors read what was tried; then they are served, by the same tunnel."""
    port = free_port()
    async with tunnelled(f"127.0.0.1:{port}") as (_, tunnel, visitor):
        answer = await visitor.get("/", headers={"Accept": "text/html"})
        assert answer.status_code == 502
        assert f"127.0.0.1:{port} can&#x27;t be reached: connection refused" in answer.text
        async with uvicorn_at(facts) as address:
            assert address != f"127.0.0.1:{port}"
        server = await asyncio.start_server(_hello, "127.0.0.1", port)
        async with server:
            assert (await visitor.get("/")).text == "hello"
        assert tunnel.statistics().pool.failures == 1


async def _hello(reader, writer):
    await read_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    await writer.drain()
    writer.close()


async def test_an_origin_that_closes_in_the_middle_cuts_the_answer(tunnelled):
    """The visitor notices, and the next one is served by the same connection to the edge."""
    seen = asyncio.Event()

    async def script(reader, writer):
        asked = await origin.take(reader)
        if asked.line.startswith("GET /half"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await seen.wait()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")

    async with RawOrigin(script) as origin, tunnelled(origin.address) as (_, tunnel, visitor):
        async with visitor.stream("GET", "/half") as answer:
            parts = answer.aiter_raw()
            assert await anext(parts) == b"half"
            seen.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(parts)
        assert (await visitor.get("/")).text == "whole"
        assert tunnel.statistics().reconnects == 0
        assert tunnel.statistics().pool.failures == 1


async def test_large_headers_go_both_ways(tunnelled):
    """60 KiB of cookies up and down."""
    value = "x" * 60_000

    async def script(reader, writer):
        asked = await origin.take(reader)
        head = (
            f"HTTP/1.1 200 OK\r\nSet-Cookie: {asked.fields['cookie']}\r\nContent-Length: 0\r\n\r\n"
        )
        writer.write(head.encode())

    async with RawOrigin(script) as origin, tunnelled(origin.address) as (_, _, visitor):
        answer = await visitor.get("/", headers={"Cookie": value})
        assert answer.headers["set-cookie"] == value


async def test_a_slow_visitor_makes_the_origin_wait(tunnelled):
    """A server that sends without end is held after a bounded number of bytes."""
    written = 0

    async def script(reader, writer):
        nonlocal written
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536

    async with RawOrigin(script) as origin, tunnelled(origin.address) as (_, _, visitor):
        async with visitor.stream("GET", "/") as answer:
            assert answer.status_code == 200
            assert await settled(lambda: written) < 24 << 20


async def test_a_slow_origin_makes_the_visitor_wait(tunnelled):
    """A visitor that sends without end is held after a bounded number of bytes."""
    sent = 0
    answer_now = asyncio.Event()

    async def body():
        nonlocal sent
        while not answer_now.is_set():
            yield bytes(65536)
            sent += 65536

    async def script(reader, writer):
        await read_head(reader)
        await answer_now.wait()
        received = 0
        while size := int(await reader.readline(), 16):
            received += len(await reader.readexactly(size + 2)) - 2
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%8d" % received)

    async with RawOrigin(script) as origin, tunnelled(origin.address) as (_, _, visitor):
        # The visitor is held on purpose: for as long as the other end takes its time.
        asking = asyncio.create_task(visitor.post("/", content=body(), timeout=None))
        assert await settled(lambda: sent) < 24 << 20
        answer_now.set()
        assert int((await asking).text) == sent


async def test_a_visitor_that_leaves_ends_the_origins_connection(tunnelled):
    """So a server that produces without end stops."""
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        assert await reader.read() == b""
        gone.set()

    async with RawOrigin(script) as origin, tunnelled(origin.address) as (_, tunnel, visitor):
        async with visitor.stream("GET", "/") as answer:
            assert await anext(answer.aiter_raw()) == b"one"
        await gone.wait()
        assert tunnel.statistics().pool.open == 0


async def test_shutdown_closes_websockets_ends_event_streams_and_lets_the_rest_finish():
    """As in process; and the connections to the origin are closed too."""
    begun = asyncio.Queue()
    finish = asyncio.Event()
    ends = asyncio.Queue()

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            begun.put_nowait("websocket")
            ends.put_nowait((await receive())["code"])
            return
        kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        begun.put_nowait(scope["path"])
        if scope["path"] == "/events":
            assert (await receive())["type"] == "http.request"
            ends.put_nowait((await receive())["type"])
        else:
            await finish.wait()
            await send({"type": "http.response.body", "body": b"whole"})

    with anyio.fail_after(30):
        async with uvicorn_at(app) as address, LocalEdge() as edge:
            tunnel = QuickTunnel(address, edge.config(ha_connections=1))
            await tunnel.start()
            await tunnel.wait_ready()
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                asking = [asyncio.create_task(visitor.get(path)) for path in ("/events", "/other")]
                async with visit(edge, tunnel) as socket:
                    for _ in range(3):
                        await begun.get()
                    closing = asyncio.create_task(tunnel.aclose())
                    await socket.wait_closed()
                    assert socket.close_code == 1012
                assert (await asking[0]).text == "data: 1\n\n"
                assert {await ends.get(), await ends.get()} == {1001, "http.disconnect"}
                assert not closing.done()
                finish.set()
                assert (await asking[1]).text == "data: 1\n\nwhole"
                await closing
            assert tunnel.statistics().pool.open == 0


async def test_host_header_is_what_the_server_sees(tunnelled):
    """For development servers that answer one Host alone; the public one is forwarded."""
    async with (
        uvicorn_at(facts) as address,
        tunnelled(address, host_header="localhost:3000") as (_, tunnel, visitor),
    ):
        lines = (await visitor.get("/")).text.splitlines()
        assert "host: localhost:3000" in lines
        assert f"x-forwarded-host: {httpx.URL(tunnel.url).netloc.decode()}" in lines


async def test_the_wrapped_app_runs_its_lifespan_while_the_origin_answers():
    """`QuickTunnelASGI(app, mode="proxy", origin=...)` sends visitors through the server's port.

    So what stands in front of the app, such as the server's own access log, sees them; the
    diagnostics still know that they are not local, also when Host is made to say so.
    """
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
    port = free_port()
    with anyio.fail_after(30):
        async with LocalEdge() as edge:
            config = edge.config(
                ha_connections=1,
                mode="proxy",
                origin=f"127.0.0.1:{port}",
                host_header=f"127.0.0.1:{port}",
                wait_ready=True,
            )
            wrapped = QuickTunnelASGI(app, config)
            async with uvicorn_at(wrapped, lifespan="on", port=port):
                async with edge.httpx_client(base_url=app.state.public_url) as visitor:
                    assert (await visitor.get("/")).text == "hello"
                    assert (await visitor.get("/_quicktunnel/status")).status_code == 404
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as local:
                    status = (await local.get("/_quicktunnel/status")).json()
                assert status["pool"]["reused"] == 1
                assert status["pool"]["failures"] == 0
            assert list(edge.violations) == []


@pytest.mark.parametrize("origin", ["localhost", "127.0.0.1:0", "http://a/b", "unix:x"])
def test_an_origin_that_is_none_is_refused_at_once(origin):
    """By keyword or by position; the error shows what would do."""
    with pytest.raises(ConfigError, match=r"origin=.*127"):
        QuickTunnel(origin)
    with pytest.raises(ConfigError, match=r"origin=.*127"):
        QuickTunnelASGI(facts, origin=origin)
