"""What uvicorn's own tests say of its HTTP protocols, asked of a tunnel and of uvicorn.

Left out is what has no counterpart at a tunnel: uvicorn's access log, its keep-alive timer and its
limit of concurrency (the visitor's connection ends at the edge), ASGI 2 apps, the h11-only limits,
`scope["http_version"]` of HTTP/1.0 visitors (the edge does not tell), `root_path` (a server's
setting; tests/origin covers ours), and that 100 Continue waits for the app (the edge sends it).
"""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse, Response

pytestmark = pytest.mark.anyio

GET = ("GET / HTTP/1.1", "Host: {host}")
HELLO = PlainTextResponse("Hello, world")


def saying(*messages):
    """An app that sends these messages, whatever it is asked."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


def start(status=200, headers=()):
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data=b"", more_body=False):
    return {"type": "http.response.body", "body": data, "more_body": more_body}


async def read(receive):
    """The whole body of a request."""
    content, more_body = b"", True
    while more_body:
        message = await receive()
        assert message["type"] == "http.request"
        content += message.get("body", b"")
        more_body = message.get("more_body", False)
    return content


async def echo(scope, receive, send):
    content = await read(receive)
    await Response(b"Body: " + content, media_type="text/plain")(scope, receive, send)


async def assert_cut(site):
    """The answer to a GET begins with 200 and breaks off, so that the visitor notices.

    At a tunnel it may not even begin: a reset overtakes what was sent shortly before it (RFC 9000
    §3.5), and the edge then says 502.
    """
    async with site.visitor.stream("GET", "/") as answer:
        if site.kind == "tunnel" and answer.status_code == 502:
            return
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


# --- answers


async def test_a_get_is_answered(served):
    """Status, type, length and body are the app's."""
    async with served(HELLO) as site:
        answer = await site.visitor.get("/")
    assert (answer.status_code, answer.text) == (200, "Hello, world")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "12"


@pytest.mark.parametrize("path", ["/", "/?foo", "/?foo=bar", "/?foo=bar&baz=1"])
async def test_paths_and_queries_reach_the_app(served, path):
    """Path and query are told apart, and nothing of them is lost."""

    async def app(scope, receive, send):
        text = f"{scope['path']} {scope['raw_path']} {scope['query_string']}"
        await PlainTextResponse(text)(scope, receive, send)

    async with served(app) as site:
        answer = await site.visitor.get(path)
    assert answer.text == f"/ {b'/'} {path.partition('?')[2].encode()}"


async def test_an_encoded_path_is_given_both_ways(served):
    """`path` is decoded, `raw_path` is as it came."""

    async def app(scope, receive, send):
        await PlainTextResponse(f"{scope['path']} {scope['raw_path']}")(scope, receive, send)

    async with served(app) as site:
        answer = await site.visitor.get("/one%2Ftwo%20%C3%BC")
    assert answer.text == f"/one/two ü {b'/one%2Ftwo%20%C3%BC'}"


@pytest.mark.parametrize("value", [b"<c>", b"<\t>", b"< >", "<µ>".encode()])
async def test_header_values_arrive_byte_for_byte(served, value):
    """Letters, tabs, spaces and bytes beyond ASCII may be in the values of an answer."""
    app = saying(start(headers=[(b"key", value)]), body(b"Hello"))
    async with served(app) as site:
        answer = await site.visitor.get("/")
    assert (answer.status_code, answer.content) == (200, b"Hello")
    assert (b"key", value) in answer.headers.raw


async def test_headers_may_be_an_iterator(served):
    """The headers of an answer need not be a list."""

    async def app(scope, receive, send):
        await send(start(headers=iter([(b"x-test-header", b"test value")])))
        await send(body())

    async with served(app) as site:
        assert (await site.visitor.get("/")).headers["x-test-header"] == "test value"


async def test_a_head_request_gets_no_body(served):
    """The answer to HEAD has the length of the body, and not the body."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send("HEAD / HTTP/1.1", "Host: {host}", "Connection: close")
        answer = await visitor.closed()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 12\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(served, status):
    """204 and 304 are sent without a body, and the connection serves on."""
    async with served(Response(status_code=status)) as site, site.connection() as visitor:
        for _ in range(2):
            await visitor.send(*GET)
            assert (await visitor.answer())[::2] == (status, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("content", [b"Hello, world!", b""])
async def test_an_app_that_asks_for_chunks(served, method, content):
    """An answer whose app names `Transfer-Encoding: chunked` itself arrives once and whole."""
    app = Response(content, headers={"transfer-encoding": "chunked"})
    del app.headers["content-length"]
    async with served(app) as site:
        for _ in range(2):
            answer = await site.visitor.request(method, "/")
            assert answer.status_code == 200
            assert answer.content == (b"" if method == "HEAD" else content)


async def test_an_answer_without_a_length_arrives_whole(served):
    """What the app sends in parts is joined in order."""
    app = saying(start(), *(body(b"%d." % number, True) for number in range(100)), body())
    async with served(app) as site:
        answer = await site.visitor.get("/")
    assert answer.text == "".join(f"{number}." for number in range(100))


async def test_an_app_that_wants_the_connection_closed(served):
    """`Connection: close` in an app's answer does no harm to the answer."""
    async with served(Response(status_code=204, headers={"connection": "close"})) as site:
        assert (await site.visitor.get("/")).status_code == 204


async def test_a_file_is_named_instead_of_sent(served, tmp_path):
    """http.response.pathsend, where it is offered, sends the file as the body."""
    file = tmp_path / "file.bin"
    file.write_bytes(b"pathsend-content" * 100_000)

    async def app(scope, receive, send):
        await send(start(headers=[(b"content-length", b"%d" % file.stat().st_size)]))
        if "http.response.pathsend" in scope["extensions"]:
            await send({"type": "http.response.pathsend", "path": str(file)})
        else:
            await send(body(await asyncio.to_thread(Path(file).read_bytes)))

    async def app_without_extensions(scope, receive, send):
        await app({**scope, "extensions": scope.get("extensions") or {}}, receive, send)

    async with served(app_without_extensions) as site:
        answer = await site.visitor.get("/")
    assert answer.content == file.read_bytes()


# --- requests


async def test_a_body_is_read(served):
    """The app gets the body of a POST."""
    async with served(echo) as site:
        answer = await site.visitor.post("/", json={"hello": "world"})
    assert answer.text == 'Body: {"hello":"world"}'


async def test_a_body_comes_after_connection_close(served):
    """A POST that asks for the connection to be closed is read and answered."""
    async with served(echo) as site, site.connection() as visitor:
        head = ("POST / HTTP/1.1", "Host: {host}", "Connection: close", "Content-Length: 5")
        await visitor.send(*head, body=b"hello")
        assert (await visitor.answer())[::2] == (200, b"Body: hello")
        assert await visitor.closed() == b""


async def test_a_body_that_the_app_does_not_read(served):
    """A body of 100 kB that nobody reads harms neither its answer nor the next request."""
    async with served(HELLO) as site:
        for _ in range(3):
            answer = await site.visitor.post("/", content=b"x" * 100_000)
            assert (answer.status_code, answer.text) == (200, "Hello, world")


async def test_an_answer_may_come_before_the_body(served):
    """An app answers before the body is there, and the connection serves on when it has come."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send("POST / HTTP/1.1", "Host: {host}", "Content-Length: 18")
        assert (await visitor.answer())[2] == b"Hello, world"
        await visitor.send_bytes(b'{"hello": "world"}')
        await visitor.send(*GET)
        assert (await visitor.answer())[2] == b"Hello, world"


async def test_a_visitor_that_asks_first_is_told_to_go_on(served):
    """`Expect: 100-continue` gets its 100 when the app reads, and then the answer."""
    async with served(echo) as site, site.connection() as visitor:
        await visitor.send(
            *("POST / HTTP/1.1", "Host: {host}", "Connection: close"),
            *("Expect: 100-continue", "Content-Length: 5"),
            body=b"hello",
        )
        answer = await visitor.closed()
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in answer
    assert answer.endswith(b"\r\n\r\nBody: hello")


async def test_a_request_may_come_in_pieces(served):
    """A head that arrives byte by byte is one request."""
    async with served(HELLO) as site, site.connection() as visitor:
        for byte in f"GET /?param={'q' * 10} HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode():
            await visitor.send_bytes(bytes([byte]))
        assert (await visitor.answer())[0] == 200


async def test_large_headers_pass(served):
    """64 kB of headers reach the app."""

    async def app(scope, receive, send):
        size = sum(len(value) for name, value in scope["headers"] if name.startswith(b"x-"))
        await PlainTextResponse(str(size))(scope, receive, send)

    headers = {"x-one": "1" * 32_000, "x-two": "2" * 32_000}
    async with served(app) as site:
        answer = await site.visitor.get("/", headers=headers)
        without = await site.visitor.get("/")
    assert int(answer.text) - int(without.text) == 64_000


@pytest.mark.parametrize(
    "line",
    ["G?T / HTTP/1.1", "GET /?x=y z HTTP/1.1", "GET / HTTP1.1"],
    ids=["method", "path", "version"],
)
async def test_what_is_no_request_is_refused(served, line):
    """A request line that HTTP does not allow gets 400, and the connection is closed."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send(line, "Host: {host}")
        assert (await visitor.answer())[0] == 400
        await visitor.closed()


async def test_what_is_not_http_is_cut_off(served):
    """200 kB that are no HTTP end the connection."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send_bytes(b"x" * 200_000)
        assert b" 200 " not in await visitor.closed()


@pytest.mark.parametrize("protocol", ["h2c", "not-websocket"])
async def test_an_upgrade_to_something_else_is_an_ordinary_request(served, protocol):
    """A visitor who would like another protocol is answered in this one."""
    async with served(HELLO) as site:
        headers = {"connection": "upgrade", "upgrade": protocol, "sec-websocket-version": "11"}
        answer = await site.visitor.get("/", headers=headers)
    assert (answer.status_code, answer.text) == (200, "Hello, world")


# --- the visitor's connection


async def test_a_connection_serves_many_requests(served):
    """Requests in a row, and requests sent ahead of the answers, are answered in order."""

    async def app(scope, receive, send):
        await PlainTextResponse(scope["path"])(scope, receive, send)

    async with served(app) as site, site.connection() as visitor:
        for number in range(3):
            await visitor.send(f"GET /{number} HTTP/1.1", "Host: {host}")
            assert (await visitor.answer())[2] == b"/%d" % number
        for number in range(3):
            await visitor.send(f"GET /{number} HTTP/1.1", "Host: {host}")
        for number in range(3):
            assert (await visitor.answer())[2] == b"/%d" % number


async def test_a_visitor_that_wants_the_connection_closed(served):
    """After `Connection: close` the answer comes, nothing after it is answered."""
    async with served(HELLO) as site, site.connection() as visitor:
        host = site.host.encode()
        first = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host
        await visitor.send_bytes(first + b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        status, headers, content = await visitor.answer()
        assert (status, content) == (200, b"Hello, world")
        assert (b"connection", b"close") in headers
        assert await visitor.closed() == b""


async def test_a_visitor_of_http_1_0(served):
    """HTTP/1.0 is answered, and the connection is closed."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send("GET / HTTP/1.0", "Host: {host}")
        answer = await visitor.closed()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nHello, world")


# --- apps that do it wrong


async def test_an_app_that_raises_is_a_500(served):
    """An exception before the answer is a plain 500; the next request is served."""

    async def app(scope, receive, send):
        if scope["path"] == "/":
            raise Exception("on purpose")
        await HELLO(scope, receive, send)

    async with served(app) as site:
        answer = await site.visitor.get("/")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await site.visitor.get("/next")).status_code == 200


async def test_an_app_that_does_not_answer_is_a_500(served):
    """Returning without an answer is a 500, and logged."""
    async with served(saying()) as site:
        assert (await site.visitor.get("/")).status_code == 500


async def test_an_app_that_raises_within_its_answer_cuts_it(served):
    """What has begun can't become a 500 any more: it breaks off."""

    async def app(scope, receive, send):
        await send(start())
        await send(body(b"1", more_body=True))
        raise Exception("on purpose")

    async with served(app) as site:
        await assert_cut(site)


async def test_an_app_that_returns_within_its_answer_cuts_it(served, caplog):
    """An answer that was never finished breaks off, and the log says why."""
    async with served(saying(start())) as site:
        await assert_cut(site)
    assert "ASGI callable returned without completing response." in caplog.text


async def test_a_second_start_cuts_the_answer(served):
    """http.response.start twice is an error of the app."""
    async with served(saying(start(), start())) as site:
        await assert_cut(site)


async def test_a_body_before_the_start_is_a_500(served):
    """http.response.body without a start is an error of the app."""
    async with served(saying(body())) as site:
        assert (await site.visitor.get("/")).status_code == 500


async def test_a_message_after_the_end_changes_nothing(served):
    """The answer was complete: the visitor has it."""
    app = saying(start(), body(b"whole"), body(b"more"))
    async with served(app) as site, site.connection() as visitor:
        await visitor.send(*GET)
        assert (await visitor.answer())[::2] == (200, b"whole")


async def test_an_app_that_returns_something(served, caplog):
    """The answer stands, and the log says that apps return None."""

    async def app(scope, receive, send):
        await send(start())
        await send(body())
        return 123

    async with served(app) as site:
        assert (await site.visitor.get("/")).status_code == 200
    assert "ASGI callable should return None, but returned" in caplog.text


async def test_an_answer_shorter_than_it_said_is_cut(served):
    """A body that ends before its Content-Length does not pass for whole."""
    app = saying(start(headers=[(b"content-length", b"10")]), body(b"xxx"))
    async with served(app) as site:
        await assert_cut(site)


async def test_an_answer_longer_than_it_said_ends_there(served, caplog):
    """No byte beyond the Content-Length reaches the visitor, and it is logged."""
    app = saying(start(headers=[(b"content-length", b"10")]), body(b"xxx" * 20))
    async with served(app) as site, site.connection() as visitor:
        await visitor.send(*GET, "Connection: close")
        answer = await visitor.closed()
    assert len(answer.partition(b"\r\n\r\n")[2]) <= 10
    assert "Response content longer than Content-Length" in caplog.text


async def test_headers_can_not_be_split(served):
    """A line break in a value never becomes another header."""
    app = Response(b"", headers={"key": "value\r\nCookie: smuggled=value"})
    async with served(app) as site, site.connection() as visitor:
        await visitor.send(*GET, "Connection: close")
        answer = await visitor.closed()
    assert b" 200 " not in answer
    assert b"smuggled" not in answer


# --- disconnects and shutdown


async def test_a_visitor_that_leaves_early_is_a_disconnect(served):
    """`receive` says http.disconnect when the visitor left before the answer."""
    seen = asyncio.Queue()

    async def app(scope, receive, send):
        while (message := await receive())["type"] != "http.disconnect":
            seen.put_nowait("request")
        seen.put_nowait(message)

    async with served(app) as site:
        async with site.connection() as visitor:
            await visitor.send(
                "POST / HTTP/1.1", "Host: {host}", "Content-Length: 5", body=b"hello"
            )
            assert await seen.get() == "request"
        while (message := await seen.get()) == "request":
            pass
    assert message == {"type": "http.disconnect"}


async def test_receive_after_the_answer_is_a_disconnect(served):
    """An app that asks for more after its answer is told that this was all."""
    seen = asyncio.Queue()

    async def app(scope, receive, send):
        await HELLO(scope, receive, send)
        seen.put_nowait(await receive())

    async with served(app) as site:
        assert (await site.visitor.post("/", content=b"hello")).status_code == 200
        assert await seen.get() == {"type": "http.disconnect"}


async def test_a_request_under_way_is_finished_at_shutdown(served):
    """A graceful shutdown waits for the answer."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            begun.set()
            await go_on.wait()
        await HELLO(scope, receive, send)

    async with served(app) as site:
        answer = asyncio.create_task(site.visitor.get("/slow"))
        await begun.wait()
        site.begin_shutdown()
        await site.refusing()
        go_on.set()
        assert (await answer).text == "Hello, world"
        await site.stopped()


async def test_an_idle_connection_does_not_hold_up_the_shutdown(served):
    """A visitor that merely stays connected is not waited for."""
    async with served(HELLO) as site, site.connection() as visitor:
        await visitor.send(*GET)
        assert (await visitor.answer())[0] == 200
        site.begin_shutdown()
        async with asyncio.timeout(5):
            await site.stopped()


# --- the scope


async def test_what_the_scope_says_of_asgi(served):
    """The versions are those that uvicorn speaks."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await HELLO(scope, receive, send)

    async with served(app) as site:
        await site.visitor.get("/")
        (scope,) = scopes
        port = site.host.partition(":")[2]
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
        assert (scope["type"], scope["http_version"]) == ("http", "1.1")
        assert (scope["method"], scope["scheme"], scope["root_path"]) == ("GET", "http", "")
        assert (b"host", site.host.encode()) in scope["headers"]
        assert isinstance(scope["headers"], list)
        assert scope["server"][1] == int(port)


async def test_the_state_is_copied_for_each_request(served):
    """A request may change the keys of its state, and not those of the next; values are shared."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["state"]["a"], list(scope["state"]["b"])))
        scope["state"]["a"] = 456
        scope["state"]["b"].append(2)
        await HELLO(scope, receive, send)

    async with served(app, state={"a": 123, "b": [1]}) as site:
        for _ in range(2):
            assert (await site.visitor.get("/")).status_code == 200
    assert seen == [(123, [1]), (123, [1, 2])]
