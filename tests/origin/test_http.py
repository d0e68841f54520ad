import asyncio
import logging

import anyio
import pytest

from tests_support.visit import Visit

pytestmark = pytest.mark.anyio

CHUNKED = [(b"transfer-encoding", b"chunked")]
REQUEST_END = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT = {"type": "http.disconnect"}


def start(status=200, headers=(), **more):
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data=b"", more_body=False):
    return {"type": "http.response.body", "body": data, "more_body": more_body}


def sends(*messages):
    """An app that sends these and is done."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


async def echo(scope, receive, send):
    """An app that answers with the body of the request, as it comes."""
    await send(start())
    while True:
        message = await receive()
        await send(body(message["body"], message["more_body"]))
        if not message["more_body"]:
            return


class Recorder:
    """An app that notes what it receives until it has `count` messages, then answers 200."""

    def __init__(self, count):
        self.count = count
        self.messages = []

    async def __call__(self, scope, receive, send):
        while len(self.messages) < self.count:
            self.messages.append(await receive())
        await send(start())
        await send(body())


# The request


@pytest.mark.parametrize("fin", [False, True])
async def test_a_request_without_length_has_no_body(fin):
    """Without Content-Length and chunked the body is empty at once, FIN or not."""
    app = Recorder(1)
    visit = Visit(app)
    if fin:
        visit.stream.feed_eof()
    with anyio.fail_after(5):
        await visit.run()

    assert app.messages == [REQUEST_END]
    assert visit.stream.consumed == 0
    assert visit.stream.complete


@pytest.mark.parametrize("fin", [False, True])
@pytest.mark.parametrize("step", [1, 3, 11])
async def test_a_body_with_length_ends_after_its_bytes(fin, step):
    """With Content-Length: n the body ends after n bytes, however cut, FIN or not."""
    data = b"hello world"
    visit = Visit(echo, "POST", headers=[(b"content-length", b"11")])
    async with visit.running() as stream:
        for i in range(0, len(data), step):
            stream.feed(data[i : i + step])
            await stream.until(lambda end=i + step: stream.consumed == min(end, len(data)))
        if fin:
            stream.feed_eof()

    assert visit.body == data
    assert visit.stream.complete
    assert (visit.done.received, visit.done.sent) == (11, 11)


async def test_the_last_bytes_come_with_the_end():
    """The message that completes a Content-Length says so: no empty one follows."""
    app = Recorder(1)
    await Visit(app, "POST", body=b"abc").run()

    assert app.messages == [{"type": "http.request", "body": b"abc", "more_body": False}]


async def test_content_length_zero_is_no_body():
    """Content-Length: 0 is a body that is over at once."""
    app = Recorder(1)
    visit = Visit(app, "POST", headers=[(b"content-length", b"0")])
    with anyio.fail_after(5):
        await visit.run()

    assert app.messages == [REQUEST_END]


async def test_a_chunked_body_ends_with_the_stream():
    """Chunked: parts as they come, and the end at FIN."""
    visit = Visit(echo, "POST", headers=CHUNKED)
    async with visit.running() as stream:
        for part in (b"one", b"two"):
            stream.feed(part)
            await stream.until(lambda part=part: stream.sent.endswith(part))
        assert not stream.ended
        stream.feed_eof()

    assert visit.body == b"onetwo"
    assert visit.stream.complete


@pytest.mark.parametrize("parts", [[b"abcdef"], [b"abc", b"def"]])
async def test_more_than_the_length_is_refused(parts, caplog):
    """A part that goes beyond the Content-Length resets the stream; the app sees a disconnect."""
    app = Recorder(len(parts))
    visit = Visit(app, "POST", headers=[(b"content-length", b"5")])
    async with visit.running() as stream:
        for part in parts:
            stream.feed(part)
            await stream.until(lambda: not stream._unread)

    assert app.messages[-1] == DISCONNECT
    assert visit.stream.reset_code == 0
    assert visit.done.status is None
    assert "longer than its Content-Length" in caplog.text


async def test_less_than_the_length_is_a_disconnect(caplog):
    """FIN before the Content-Length is reached: `http.disconnect`, and the stream is reset."""
    app = Recorder(2)
    visit = Visit(app, "POST", headers=[(b"content-length", b"5")])
    visit.stream.feed(b"abc")
    visit.stream.feed_eof()
    with anyio.fail_after(5):
        await visit.run()

    assert app.messages == [{"type": "http.request", "body": b"abc", "more_body": True}, DISCONNECT]
    assert visit.stream.reset_code == 0
    assert "shorter than its Content-Length" in caplog.text


async def test_a_body_that_nobody_reads_harms_no_answer():
    """The answer is whole, and the visitor got no credit for what was not read."""
    visit = Visit(sends(start(413), body(b"too much")), "POST", body=bytes(100_000))
    await visit.run()

    assert (visit.status, visit.body, visit.stream.complete) == (413, b"too much", True)
    assert visit.stream.consumed == 0


async def test_expect_is_the_edges_business():
    """The app sees the header and reads the body; no 100 goes out, since streams have one head."""
    seen = []

    async def app(scope, receive, send):
        seen.extend(scope["headers"])
        await echo(scope, receive, send)

    visit = Visit(app, "POST", headers=[(b"expect", b"100-continue")], body=b"abc")
    await visit.run()

    assert (b"expect", b"100-continue") in seen
    assert (visit.status, visit.body) == (200, b"abc")


async def test_credit_follows_what_the_app_asks_for():
    """Nothing is read ahead: an app that reads once takes one part, and an idle one nothing."""
    proceed = asyncio.Event()

    async def app(scope, receive, send):
        await proceed.wait()
        await receive()
        await proceed.wait()
        await sends(start(), body())(scope, receive, send)

    visit = Visit(app, "POST", headers=CHUNKED, window=200_000)
    async with visit.running() as stream:
        stream.feed(bytes(200_000))
        await anyio.wait_all_tasks_blocked()
        assert stream.consumed == 0
        proceed.set()

    assert visit.stream.consumed == 65536
    assert visit.stream.complete


async def test_a_large_upload_flows_through_a_small_window():
    """A body many times the window reaches the app whole."""
    data = bytes(range(256)) * 8192
    visit = Visit(echo, "POST", headers=CHUNKED, window=100_000)
    async with visit.running() as stream:
        await stream.feed_all(data)
        stream.feed_eof()

    assert visit.body == data


# The disconnect


async def wait_for_disconnect(scope, receive, send):
    await receive()
    assert await receive() == DISCONNECT
    scope["state"]["seen"].append(True)


@pytest.mark.parametrize("way", ["feed_reset", "stop", "lose"])
@pytest.mark.parametrize("headers", [[], CHUNKED], ids=["no body", "in the body"])
async def test_a_visitor_who_leaves_is_a_disconnect(way, headers):
    """RESET_STREAM, STOP_SENDING and a lost connection are `http.disconnect`, also mid-body."""
    visit = Visit(wait_for_disconnect, headers=headers)
    seen = visit.origin.state["seen"] = []
    async with visit.running() as stream:
        if headers:
            stream.feed(b"x")
        await anyio.wait_all_tasks_blocked()
        assert not seen
        getattr(stream, way)()

    assert seen == [True]
    assert visit.done.status is None
    assert visit.stream.reset_code is not None


async def test_the_end_of_the_body_is_no_disconnect():
    """After FIN an app that waits for a disconnect goes on waiting, until the answer is over."""
    received = []

    async def app(scope, receive, send):
        async def listen():
            received.append(await receive())

        assert await receive() == REQUEST_END
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            assert not received
            await send(start())
            await send(body(b"x", more_body=True))
            await anyio.wait_all_tasks_blocked()
            assert not received
            await send(body(b"y"))

    visit = Visit(app)
    visit.stream.feed_eof()
    with anyio.fail_after(5):
        await visit.run()

    assert received == [DISCONNECT]
    assert visit.body == b"xy"
    assert visit.stream.complete


async def test_the_end_of_the_answer_wakes_who_waits_for_the_body():
    """A task that waits for more of the body gets `http.disconnect` when another one answers."""
    received = []

    async def app(scope, receive, send):
        async def listen():
            received.append(await receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            await sends(start(), body(b"no need"))(scope, receive, send)

    visit = Visit(app, "POST", headers=CHUNKED)
    with anyio.fail_after(5):
        await visit.run()

    assert received == [DISCONNECT]
    assert visit.stream.complete


async def test_several_tasks_may_receive():
    """Parts go to whoever asks, in turn, and each task sees an end."""
    received = []

    async def app(scope, receive, send):
        async def listen():
            while (message := await receive())["type"] == "http.request":
                received.append(message["body"])
            received.append("left")

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(listen)

    visit = Visit(app, "POST", headers=CHUNKED)
    async with visit.running() as stream:
        for part in (b"a", b"b", b"c"):
            await anyio.wait_all_tasks_blocked()
            stream.feed(part)
            await stream.until(lambda: not stream._unread)
        stream.feed_eof()
        await anyio.wait_all_tasks_blocked()
        stream.stop()

    assert received == [b"a", b"b", b"c", b"", "left", "left", "left"]


async def test_a_cancelled_receive_can_be_repeated():
    """An app may poll for the disconnect with a timeout, as Starlette does."""
    answers = []

    async def app(scope, receive, send):
        await receive()
        for _ in range(3):
            with anyio.move_on_after(0):
                answers.append(await receive())
        answers.append("polled")
        answers.append(await receive())

    visit = Visit(app)
    async with visit.running() as stream:
        await anyio.wait_all_tasks_blocked()
        assert answers == ["polled"]
        stream.stop()

    assert answers == ["polled", DISCONNECT]


async def test_an_app_may_go_on_after_the_visitor_left(caplog):
    """What it sends is ignored without an error, and its own work is done."""
    worked = []

    async def app(scope, receive, send):
        await send(start())
        await send(body(b"a", more_body=True))
        assert (await receive()) == REQUEST_END
        assert (await receive()) == DISCONNECT
        assert (await receive()) == DISCONNECT
        await send(body(b"b", more_body=True))
        await send(body())
        worked.append(True)

    visit = Visit(app)
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        stream.stop()

    assert worked == [True]
    assert visit.body == b"a"
    assert visit.done.status == 200
    assert not caplog.records


@pytest.mark.parametrize("left_at", ["head", "body", "end"])
async def test_leaving_is_noticed_by_sending_alone(left_at, caplog):
    """An app that never listens is not disturbed when the visitor is gone at any point."""
    visit = Visit(None)

    async def app(scope, receive, send):
        if left_at == "head":
            visit.stream.stop()
        await send(start())
        if left_at == "body":
            visit.stream.stop()
        await send(body(b"x", more_body=True))
        if left_at == "end":
            visit.stream.stop()
        await send(body())

    visit.origin.app = app
    await visit.run()

    assert not visit.stream.ended
    assert visit.done.status == (None if left_at == "head" else 200)
    assert not caplog.records


async def test_leaving_at_the_very_end_is_one_end():
    """A visitor who leaves while the last message is sent does not make two reports of one."""
    visit = Visit(None)

    async def app(scope, receive, send):
        assert await receive() == REQUEST_END
        await send(start())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            visit.stream.stop()
            await send(body())

    visit.origin.app = app
    with anyio.fail_after(5):
        await visit.run()

    assert visit.done.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_sending_to_nobody_does_not_hold_the_event_loop(method):
    """An app that sends much to nobody, after a disconnect or to HEAD, lets other tasks run."""
    others = []
    ran = []

    async def app(scope, receive, send):
        await send(start())
        if method == "GET":
            visit.stream.stop()
        asyncio.get_running_loop().call_soon(others.append, True)
        for _ in range(10):
            await send(body(b"x", more_body=True))
        ran.extend(others)
        await send(body())

    visit = Visit(app, method)
    await visit.run()

    assert ran == [True]
    assert visit.body == b""


# The answer


async def test_the_head_goes_out_before_the_body():
    """`http.response.start` reaches the visitor at once, without waiting for the body."""

    async def app(scope, receive, send):
        await send(start(201, [(b"X-A", b"1")]))
        await receive()
        await receive()

    visit = Visit(app)
    async with visit.running() as stream:
        await stream.until(lambda: stream.response)
        assert stream.response.status == 201
        stream.stop()


async def test_parts_are_sent_as_they_come_and_then_the_end():
    """Each body message is sent at once; the last one ends the stream."""

    async def app(scope, receive, send):
        await send(start())
        for part in (b"a", b"b"):
            await send(body(part, more_body=True))
            assert bytes(visit.stream.sent).endswith(part)
        assert not visit.stream.ended
        await send(body(b"c"))
        assert visit.stream.ended

    visit = Visit(app)
    await visit.run()

    assert visit.body == b"abc"
    assert visit.done.sent == 3


async def test_a_slow_visitor_makes_send_wait():
    """Above the high-water mark the app's send waits until the visitor takes some."""
    parts = []

    async def app(scope, receive, send):
        await send(start())
        for _ in range(4):
            await send(body(bytes(100), more_body=True))
            parts.append(True)
        await send(body())

    visit = Visit(app, manual=True, high_water=150)
    async with visit.running() as stream:
        await anyio.wait_all_tasks_blocked()
        assert len(parts) == 1
        while not stream.ended:
            stream.take(100)
            await anyio.wait_all_tasks_blocked()

    assert len(visit.body) == 400


async def test_header_names_are_lowered_and_values_kept_byte_for_byte():
    """Order, repetition and every byte that HTTP allows in a value pass unchanged."""
    headers = [
        (b"Set-Cookie", b"a=1"),
        (b"X-Bytes", b"\t \x80\xff"),
        (b"set-cookie", b"b=2"),
        (b"X-Empty", b""),
    ]
    visit = await Visit(sends(start(headers=headers), body())).run()

    assert visit.stream.response.headers == [
        (b"set-cookie", b"a=1"),
        (b"x-bytes", b"\t \x80\xff"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
    ]


async def test_headers_may_be_missing_or_any_iterable():
    """`headers` is optional, and a generator of lists will do."""
    bare = await Visit(sends({"type": "http.response.start", "status": 200}, body())).run()
    headers = ([b"a", b"1"] for _ in range(1))
    lazy = await Visit(
        sends({"type": "http.response.start", "status": 200, "headers": headers}, body())
    ).run()

    assert bare.stream.response.headers == []
    assert lazy.stream.response.headers == [(b"a", b"1")]


@pytest.mark.parametrize(
    "name",
    [b"Connection", b"keep-alive", b"Proxy-Connection", b"te", b"trailer", b"upgrade"],
)
async def test_headers_of_the_hop_are_removed(name):
    """What describes a connection has no place in a stream."""
    visit = await Visit(sends(start(headers=[(name, b"x"), (b"a", b"1")]), body())).run()

    assert visit.stream.response.headers == [(b"a", b"1")]


async def test_transfer_encoding_is_removed_and_the_body_sent_as_it_is():
    """An app that says chunked gets its body through without any framing."""
    headers = [(b"transfer-encoding", b"chunked")]
    visit = await Visit(sends(start(headers=headers), body(b"abc"))).run()

    assert (visit.stream.response.headers, visit.body) == ([], b"abc")


async def test_nothing_is_added():
    """No date and no server header: those are the edge's."""
    visit = await Visit(sends(start(), body(b"x"))).run()

    assert visit.stream.response.headers == []


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ((b"na me", b"x"), "Invalid HTTP header name b'na me'."),
        ((b"", b"x"), "Invalid HTTP header name b''."),
        ((b"n\xc3", b"x"), "Invalid HTTP header name"),
        ((b"n", b"a\r\nb: c"), "Invalid HTTP header value: that of b'n' has a control in it."),
        ((b"n", b"\x00"), "Invalid HTTP header value"),
        ((b"connection", b"\n"), "Invalid HTTP header value"),
        ((b"content-length", b"x"), "Invalid HTTP header value: Content-Length is one number."),
        ((b"content-length", b"+1"), "Invalid HTTP header value: Content-Length is one number."),
    ],
)
async def test_a_malformed_header_is_an_error_in_the_app(header, sentence, caplog):
    """A name that is no token, or a value with a control, raises; the visitor sees a 500."""
    visit = await Visit(sends(start(headers=[header]), body())).run()

    assert visit.status == 500
    assert sentence in caplog.text


async def test_two_content_lengths_are_an_error_in_the_app(caplog):
    """A repeated Content-Length raises; the visitor sees a 500."""
    headers = [(b"content-length", b"1"), (b"content-length", b"1")]
    visit = await Visit(sends(start(headers=headers), body(b"x"))).run()

    assert visit.status == 500
    assert "Content-Length is one number" in caplog.text


@pytest.mark.parametrize("status", [0, 99, 100, 101, 103, 600, 1000, -1, "200", 200.0, None, True])
async def test_a_status_that_ends_no_request_is_an_error_in_the_app(status, caplog):
    """1xx and what is no status at all raise; the visitor sees a 500."""
    visit = await Visit(sends(start(status), body())).run()

    assert visit.status == 500
    assert f"Invalid HTTP status {status!r}" in caplog.text


async def test_bodies_may_be_any_bytes_like_object():
    """bytearray and memoryview are sent as the bytes they hold."""
    visit = await Visit(
        sends(start(), body(bytearray(b"ab"), more_body=True), body(memoryview(b"cd")))
    ).run()

    assert visit.body == b"abcd"


@pytest.mark.parametrize("wrong", ["text", 5, None])
async def test_a_body_that_is_not_bytes_is_an_error_in_the_app(wrong, caplog):
    """A body of another type raises, and the answer under way is reset."""
    visit = await Visit(sends(start(), body(wrong))).run()

    assert visit.stream.reset_code == 0
    assert "TypeError" in caplog.text


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)]
)
async def test_some_answers_have_no_body(method, status, caplog):
    """HEAD, 204 and 304: the head with its Content-Length, no body, no complaint."""
    headers = [(b"content-length", b"5")]
    visit = await Visit(
        sends(start(status, headers), body(b"hel", more_body=True), body(b"lo")), method
    ).run()

    assert (visit.status, visit.headers, visit.body) == (status, dict(headers), b"")
    assert visit.stream.complete
    assert not caplog.records


async def test_an_answer_may_be_as_long_as_it_likes():
    """Without Content-Length the body ends when the app says so."""
    visit = await Visit(sends(start(), *[body(b"x", more_body=True)] * 50, body())).run()

    assert visit.body == b"x" * 50


@pytest.mark.parametrize(
    "messages",
    [
        [body(b"hello world")],
        [body(b"hel", more_body=True), body(b"lo world", more_body=True), body(b"more")],
        [body(b"hello", more_body=True), body(b" world")],
    ],
)
async def test_an_answer_that_is_too_long_is_cut(messages, caplog):
    """What goes beyond Content-Length is cut off and logged; the answer is whole."""
    visit = await Visit(sends(start(headers=[(b"content-length", b"5")]), *messages)).run()

    assert visit.body == b"hello"
    assert visit.stream.complete
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == [
        "Response content longer than Content-Length: cut."
    ]


async def test_an_answer_that_is_too_short_is_reset(caplog):
    """An app that ends before Content-Length must not pass for a whole answer."""
    visit = await Visit(sends(start(headers=[(b"content-length", b"5")]), body(b"hell"))).run()

    assert visit.stream.reset_code == 0
    assert not visit.stream.ended
    assert "Response content shorter than Content-Length" in caplog.text


async def test_trailers_are_accepted_and_dropped(caplog):
    """`http.response.trailers` after the body does no harm; QUIC streams carry none."""
    trailers = {"type": "http.response.trailers", "headers": [(b"a", b"1")]}
    visit = await Visit(sends(start(trailers=True), body(b"x"), trailers)).run()

    assert visit.body == b"x"
    assert visit.stream.complete
    assert not [r for r in caplog.records if r.levelno > logging.DEBUG]


async def test_what_comes_after_the_end_is_ignored_with_a_debug_line(caplog):
    """Messages after the answer change nothing, and say so to who looks."""
    caplog.set_level(logging.DEBUG, "asgi_quicktunnel")
    visit = await Visit(sends(start(), body(b"x"), body(b"y"), start(500))).run()

    assert (visit.status, visit.body) == (200, b"x")
    assert [r.getMessage() for r in caplog.records] == [
        "ignored http.response.body: the response is over",
        "ignored http.response.start: the response is over",
    ]


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([body()], "Expected ASGI message 'http.response.start', but got 'http.response.body'."),
        (
            [{"type": "http.response.early_hint", "links": []}],
            "Expected ASGI message 'http.response.start', but got 'http.response.early_hint'.",
        ),
        (
            [start(), start()],
            "Expected ASGI message 'http.response.body', but got 'http.response.start'.",
        ),
        (
            [{"type": "http.response.pathsend", "path": "/x"}],
            "Expected ASGI message 'http.response.start', but got 'http.response.pathsend'.",
        ),
        (
            [start(), body(b"x", True), {"type": "http.response.pathsend", "path": "/x"}],
            "Expected ASGI message 'http.response.body', but got 'http.response.pathsend'.",
        ),
        (
            [start(), {"type": "http.response.debug", "info": {}}],
            "Expected ASGI message 'http.response.body', but got 'http.response.debug'.",
        ),
        (
            [start(), {"type": "http.response.trailers"}],
            "Expected ASGI message 'http.response.body', but got 'http.response.trailers'.",
        ),
    ],
)
async def test_messages_out_of_order_raise_into_the_app(messages, sentence):
    """Each illegal order is a RuntimeError with a sentence that names both messages."""
    caught = []

    async def app(scope, receive, send):
        try:
            await sends(*messages)(scope, receive, send)
        except RuntimeError as exc:
            caught.append(str(exc))
            raise

    visit = await Visit(app).run()

    assert caught == [sentence]
    if len(messages) == 1:
        assert visit.status == 500
    else:
        assert visit.stream.reset_code == 0


async def test_a_connection_lost_at_the_very_end_is_no_whole_answer():
    """An end that can't be sent is a reset, and one report."""
    visit = Visit(None)

    async def app(scope, receive, send):
        await send(start())
        await send(body(b"x", more_body=True))
        visit.stream.lose()
        await send(body())

    visit.origin.app = app
    await visit.run()

    assert not visit.stream.complete
    assert visit.done.status == 200


# Files


def file_sent(path):
    return {"type": "http.response.pathsend", "path": str(path)}


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
async def test_a_file_is_the_whole_body(tmp_path, size):
    """`http.response.pathsend` sends what is in the file and ends the answer."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (size // 250) + bytes(size % 250))
    visit = await Visit(sends(start(), file_sent(path))).run()

    assert visit.body == path.read_bytes()
    assert visit.stream.complete
    assert visit.done.sent == size


async def test_a_file_goes_out_as_fast_as_it_is_taken(tmp_path):
    """A slow visitor holds the reading back: no more than one part waits."""
    path = tmp_path / "file"
    path.write_bytes(bytes(2_000_000))
    visit = Visit(sends(start(), file_sent(path)), manual=True, high_water=1000)
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        await anyio.wait_all_tasks_blocked()
        assert len(stream.sent) < 300_000
        while not stream.ended:
            stream.take()
            await stream.until(lambda: stream.ended or len(stream.sent) > stream._taken)

    assert len(visit.body) == 2_000_000


@pytest.mark.parametrize(
    ("length", "complete"), [(500_000, True), (1_000_000, True), (1_000_001, False)]
)
async def test_a_file_is_held_to_its_length(tmp_path, length, complete, caplog):
    """One that grew is cut, one that shrank resets the stream; each is logged once."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 4000)
    headers = [(b"content-length", b"%d" % length)]
    visit = await Visit(sends(start(headers=headers), file_sent(path))).run()

    assert visit.body == path.read_bytes()[:length]
    assert visit.stream.complete is complete
    assert len(caplog.records) == (length != 1_000_000)


async def test_a_file_that_is_not_there_is_an_error_in_the_app(tmp_path, caplog):
    """The head was sent, so the stream is reset; the log says which file."""
    visit = await Visit(sends(start(), file_sent(tmp_path / "missing"))).run()

    assert visit.stream.reset_code == 0
    assert "missing" in caplog.text


async def test_a_file_in_answer_to_head_is_not_read(tmp_path):
    """HEAD gets the head."""
    headers = [(b"content-length", b"5")]
    visit = await Visit(sends(start(headers=headers), file_sent(tmp_path / "any")), "HEAD").run()

    assert (visit.headers, visit.body) == (dict(headers), b"")
    assert visit.stream.complete


async def test_a_visitor_who_leaves_ends_the_reading(tmp_path, caplog):
    """The rest of the file stays where it is, and the app is not disturbed."""
    path = tmp_path / "file"
    path.write_bytes(bytes(2_000_000))
    visit = Visit(sends(start(), file_sent(path)), manual=True, high_water=1000)
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        stream.stop()

    assert len(visit.body) < 300_000
    assert not caplog.records


# The app's failures


class Unwell(BaseException):
    """What only a careless app raises."""


@pytest.mark.parametrize("error", [ValueError, SystemExit, Unwell, asyncio.CancelledError])
async def test_an_app_that_raises_before_it_answers_is_a_500(error, caplog):
    """The visitor sees 500 in plain text, the log the traceback; nothing else is disturbed."""

    async def app(scope, receive, send):
        raise error("the reason")

    visit = await Visit(app).run()

    assert (visit.status, visit.body) == (500, b"Internal Server Error")
    assert visit.headers == {
        b"content-type": b"text/plain; charset=utf-8",
        b"content-length": b"21",
    }
    assert visit.stream.complete
    assert "Exception in ASGI application" in caplog.text
    assert "the reason" in caplog.text
    assert visit.done.status == 500


async def test_a_500_to_head_has_no_body():
    """The error page of a HEAD request is a head alone."""

    async def app(scope, receive, send):
        raise ValueError

    visit = await Visit(app, "HEAD").run()

    assert (visit.status, visit.body) == (500, b"")
    assert visit.stream.complete


async def test_an_app_that_raises_while_it_answers_is_a_reset(caplog):
    """An answer that was begun can't become a 500: the stream is reset."""

    async def app(scope, receive, send):
        await send(start())
        await send(body(b"part", more_body=True))
        raise ValueError("the reason")

    visit = await Visit(app).run()

    assert visit.stream.reset_code == 0
    assert (visit.done.status, visit.done.sent) == (200, 4)
    assert "the reason" in caplog.text


async def test_an_app_that_raises_after_its_answer_spoils_nothing(caplog):
    """The answer was complete: it stays so, and the traceback is logged."""

    async def app(scope, receive, send):
        await sends(start(), body(b"x"))(scope, receive, send)
        raise ValueError("the reason")

    visit = await Visit(app).run()

    assert visit.stream.complete
    assert "the reason" in caplog.text


async def test_an_app_that_does_not_answer_is_a_500(caplog):
    """Returning without a start is logged, and the visitor sees 500."""
    visit = await Visit(sends()).run()

    assert visit.status == 500
    assert "ASGI callable returned without starting response." in caplog.text


async def test_an_app_that_does_not_finish_is_a_reset(caplog):
    """Returning in the middle of an answer is logged, and the stream is reset."""
    visit = await Visit(sends(start(), body(b"x", more_body=True))).run()

    assert visit.stream.reset_code == 0
    assert "ASGI callable returned without completing response." in caplog.text


async def test_an_app_that_returns_something_is_told_so(caplog):
    """A callable that is no ASGI 3 app shows itself by what it returns."""

    async def app(scope, receive, send):
        return "a response"

    visit = await Visit(app).run()

    assert visit.status == 500
    assert "ASGI callable should return None, but returned 'a response'." in caplog.text


async def test_an_app_that_gives_up_on_a_visitor_who_left_is_not_blamed(caplog):
    """After the disconnect, returning without an answer is not an error."""

    async def app(scope, receive, send):
        await receive()
        await receive()

    visit = Visit(app)
    async with visit.running() as stream:
        await anyio.wait_all_tasks_blocked()
        stream.feed_reset()

    assert visit.status is None
    assert not caplog.records


@pytest.mark.parametrize("begun", [False, True])
async def test_cancellation_resets_what_is_under_way_and_passes(begun):
    """A cancelled serve resets the stream, ends as cancelled, and reports the request."""

    async def app(scope, receive, send):
        if begun:
            await send(start())
        await receive()
        await receive()

    visit = Visit(app)
    task = asyncio.create_task(visit.run())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert visit.stream.reset_code == 0
    assert visit.done.status == (200 if begun else None)


async def test_cancellation_after_the_answer_leaves_it_whole():
    """A background task of the app is cancelled; the visitor keeps the answer."""

    async def app(scope, receive, send):
        await sends(start(), body(b"x"))(scope, receive, send)
        await asyncio.Event().wait()

    visit = Visit(app)
    task = asyncio.create_task(visit.run())
    await visit.stream.until(lambda: visit.stream.ended)
    assert visit.done.status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert visit.stream.complete
    assert visit.done.status == 200


async def test_ctrl_c_in_an_app_is_not_swallowed():
    """KeyboardInterrupt passes, and the stream does not stay open."""

    async def app(scope, receive, send):
        raise KeyboardInterrupt

    visit = Visit(app)
    with pytest.raises(KeyboardInterrupt):
        await visit.run()

    assert visit.stream.reset_code == 0


async def test_no_task_is_left():
    """Waiting for a disconnect needs a task; it is gone when the request is."""

    async def app(scope, receive, send):
        await receive()
        with anyio.move_on_after(0):
            await receive()
        await sends(start(), body())(scope, receive, send)

    before = asyncio.all_tasks()
    await Visit(app).run()
    await anyio.wait_all_tasks_blocked()

    assert asyncio.all_tasks() == before
