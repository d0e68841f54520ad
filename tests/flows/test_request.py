"""A request, from the visitor through the edge and the tunnel to the app and back."""

import asyncio
import hashlib
import os

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

pytestmark = pytest.mark.anyio


async def hello(request: Request):
    return PlainTextResponse("hello", headers={"x-twice": "1"})


async def facts(request: Request):
    scope = request.scope
    return JSONResponse(
        {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "scheme": scope["scheme"],
            "server": scope["server"],
            "client": scope["client"],
            "http_version": scope["http_version"],
            "headers": [[n.decode(), v.decode("latin-1")] for n, v in scope["headers"]],
            "url": str(request.url),
        }
    )


async def digest(request: Request):
    total = hashlib.sha256()
    length = 0
    async for chunk in request.stream():
        total.update(chunk)
        length += len(chunk)
    return JSONResponse({"length": length, "sha256": total.hexdigest()})


async def echo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more_body = True
    while more_body:
        message = await receive()
        more_body = message["more_body"]
        part = {"body": message["body"], "more_body": more_body}
        await send({"type": "http.response.body", **part})


async def early(request: Request):
    return PlainTextResponse("too early to read", status_code=403)


async def empty(request: Request):
    return Response(status_code=int(request.path_params["status"]))


async def broken(request: Request):
    raise RuntimeError("on purpose")


async def cookies(request: Request):
    response = PlainTextResponse("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def count(request: Request):
    async def body():
        for number in range(1000):
            yield f"{number}\n".encode()

    return StreamingResponse(body(), media_type="text/plain")


app = Starlette(
    routes=[
        Route("/", hello, methods=["GET", "HEAD"]),
        Route("/facts/{rest:path}", facts, methods=["GET", "POST", "OPTIONS"]),
        Route("/digest", digest, methods=["POST", "PUT"]),
        Route("/early", early, methods=["POST"]),
        Route("/empty/{status}", empty),
        Route("/broken", broken),
        Route("/cookies", cookies),
        Route("/count", count),
    ]
)


async def chunks(body, size):
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_ordinary_requests(tunnelled, fin):
    """GET, HEAD, 404, 204, 304 and repeated headers arrive as the app sent them."""
    async with tunnelled(app, fin=fin) as (_, _, visitor):
        page = await visitor.get("/")
        assert (page.status_code, page.text, page.headers["x-twice"]) == (200, "hello", "1")
        head = await visitor.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == "5"
        assert (await visitor.get("/nowhere")).status_code == 404
        for status in (204, 304):
            assert (await visitor.get(f"/empty/{status}")).status_code == status
        answer = await visitor.get("/cookies")
        assert answer.headers.get_list("set-cookie") == [
            "a=1; Path=/; SameSite=lax",
            "b=2; Path=/; SameSite=lax",
        ]


async def test_the_app_learns_who_asked_for_what(tunnelled, fin):
    """Path, query, host, scheme, server and the visitor's address are the public ones."""
    async with tunnelled(app, fin=fin) as (_, tunnel, visitor):
        url = httpx.URL(tunnel.url)
        answer = await visitor.get("/facts/a%2Fb%20c/%C3%A9?x=1&x=%20&empty", headers={"X-A": "1"})
        seen = answer.json()

        assert seen["path"] == "/facts/a/b c/é"
        assert seen["raw_path"] == "/facts/a%2Fb%20c/%C3%A9"
        assert seen["query"] == "x=1&x=%20&empty"
        assert seen["http_version"] == "1.1"
        assert seen["scheme"] == "http"
        assert seen["server"] == [url.host, url.port]
        assert seen["client"][0] not in ("127.0.0.1", "::1")
        names = [name for name, _ in seen["headers"]]
        assert names.count("host") == 1
        assert ["host", f"{url.host}:{url.port}"] in seen["headers"]
        assert ["x-a", "1"] in seen["headers"]
        assert not {"connection", "transfer-encoding", "upgrade"} & set(names)
        assert seen["url"].startswith(tunnel.url)


async def test_https_is_what_the_app_sees_of_a_visitor_over_tls(tunnelled):
    """A visitor over TLS makes the scheme https."""
    async with tunnelled(app, edge_options={"tls": True}) as (_, tunnel, visitor):
        assert tunnel.url.startswith("https://")
        assert (await visitor.get("/facts/x")).json()["scheme"] == "https"


@pytest.mark.parametrize("size", [0, 1, 65536, pytest.param(10 << 20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_bodies_arrive_whole(tunnelled, fin, size, chunked):
    """A body of any size arrives byte for byte, with a length or in chunks."""
    body = os.urandom(size)
    async with tunnelled(app, fin=fin) as (_, _, visitor):
        content = chunks(body, 50_000) if chunked else body
        answer = (await visitor.post("/digest", content=content)).json()

    assert answer == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}


async def test_bodies_stream_both_ways_at_once(tunnelled):
    """An app that answers while it reads gets its input and output moving together."""
    body = os.urandom(4 << 20)
    async with tunnelled(echo) as (_, _, visitor):
        answer = await visitor.post("/", content=chunks(body, 100_000))

    assert answer.content == body


async def test_a_body_that_nobody_reads_harms_nothing(tunnelled):
    """An answer before the body was read arrives, and the connection serves on."""
    async with tunnelled(app) as (_, tunnel, visitor):
        for _ in range(5):
            try:
                answer = await visitor.post("/early", content=chunks(bytes(4 << 20), 65536))
                assert answer.status_code == 403
            except (httpx.WriteError, httpx.ReadError):
                pass  # the front closes on a visitor that goes on sending, as servers do
        assert (await visitor.get("/")).text == "hello"
        assert tunnel.statistics().reconnects == 0


async def test_a_failing_app_answers_500_and_the_next_request_is_served(tunnelled):
    """An exception before the answer is a 500 of the app's framework, for that visitor alone."""
    async with tunnelled(app) as (_, _, visitor):
        assert (await visitor.get("/broken")).status_code == 500
        assert (await visitor.get("/")).status_code == 200


async def test_an_app_that_fails_within_its_answer_cuts_it(tunnelled):
    """The visitor sees an answer cut off rather than one that looks whole."""
    seen = asyncio.Event()

    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await seen.wait()
        raise RuntimeError("on purpose")

    async with tunnelled(half) as (_, tunnel, visitor):
        async with visitor.stream("GET", "/") as answer:
            parts = answer.aiter_raw()
            assert await anext(parts) == b"half"
            seen.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(parts)
        assert tunnel.statistics().reconnects == 0


async def test_a_hundred_visitors_at_once(tunnelled, fin):
    """100 requests in flight together each get their own answer."""
    async with tunnelled(app, fin=fin) as (_, _, visitor):
        bodies = [os.urandom(2000) for _ in range(100)]
        answers = await asyncio.gather(*(visitor.post("/digest", content=body) for body in bodies))

    for body, answer in zip(bodies, answers, strict=True):
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()


async def test_many_small_sends_keep_their_order(tunnelled):
    """1,000 small chunks arrive in order."""
    async with tunnelled(app) as (_, _, visitor):
        answer = await visitor.get("/count")

    assert answer.text.split() == [str(number) for number in range(1000)]


async def test_a_slow_visitor_makes_the_app_wait(tunnelled):
    """An app that sends without end is held after a bounded number of bytes."""
    sent = 0
    stopped = asyncio.Event()

    async def endless(scope, receive, send):
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                sent += 65536
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
                if (await _poll(receive)) == "http.disconnect":
                    return
        finally:
            stopped.set()

    async def _poll(receive):
        try:
            async with asyncio.timeout(0.0001):
                return (await receive())["type"]
        except TimeoutError:
            return None

    async with tunnelled(endless) as (_, _, visitor):
        async with visitor.stream("GET", "/") as answer:
            assert answer.status_code == 200
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 16 << 20
        await stopped.wait()


async def test_a_visitor_that_leaves_is_a_disconnect(tunnelled):
    """When the visitor goes away `receive` says http.disconnect, and later sends do nothing."""
    seen = asyncio.Queue()

    async def wait(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        seen.put_nowait(await receive())
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        seen.put_nowait("went on")

    async with tunnelled(wait) as (_, tunnel, visitor):
        async with visitor.stream("GET", "/") as answer:
            assert await anext(answer.aiter_raw()) == b"one"
        assert await seen.get() == {"type": "http.disconnect"}
        assert await seen.get() == "went on"
        assert tunnel.statistics().reconnects == 0


async def test_what_the_edge_asks_on_its_own_streams_is_answered(tunnelled):
    """A configuration push and a UDP session are declined politely; requests go on."""
    async with tunnelled(app) as (edge, _, visitor):
        (connection,) = edge.connections
        pushed = await connection.call(lambda client: client.update_configuration(7, b"{}"))
        assert pushed.version == -1
        assert pushed.error
        assert (await visitor.get("/")).text == "hello"


async def test_the_connector_says_who_it_is(tunnelled):
    """Identity, features, server name and local configuration are those of the protocol."""
    from asgi_quicktunnel.config import PACKAGE_VERSION

    async with tunnelled(app) as (edge, _, _):
        (connection,) = edge.connections
        request = connection.control.admitted.request
        assert request.identity.version == f"asgi-quicktunnel/{PACKAGE_VERSION}"
        assert "_" in request.identity.arch
        assert len(request.identity.connector_id) == 16
        assert "management_logs" not in request.identity.features
        assert "support_quic_eof" in request.identity.features
        assert request.conn_index == 0
        assert not request.replace_existing
        assert connection.dialled.server_name == "quic.cftunnel.com"
        assert connection.dialled.alpn == ("argotunnel",)
        assert connection.largest_datagram <= 1452  # what the path was proved to carry
        assert not list(edge.violations)
        with anyio.fail_after(5):
            await edge.wait_for(lambda: connection.control.configuration is not None)
