"""One exchange after the other between visitors and a server behind a socket."""

import asyncio
import logging
import os
import socket
import threading

import pytest

from asgi_quicktunnel.events import RequestDone
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.pool import PoolStatistics
from asgi_quicktunnel.origin.tcp import ProxySettings
from asgi_quicktunnel.protocol.readiness import expected_answer, new_nonce, readiness_path

from tests_support.raw_origin import Proxied, RawOrigin, read_head, settled
from tests_support.server_process import free_port

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (b"transfer-encoding", b"chunked")


async def test_a_request_and_its_answer():
    """Head and body go both ways; one report with the figures."""
    answer = (
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nhello"
    )
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit("POST", b"https://x.test/a?secret", body=b"abc")

        (asked,) = origin.asked
        assert asked.line == "POST /a?secret HTTP/1.1"
        assert asked.body == b"abc"
        assert visit.response.status == 201
        assert visit.response.headers == [
            (b"content-length", b"5"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
        ]
        assert visit.sent == b"hello"
        assert visit.complete
        (done,) = proxied.events
        assert done == RequestDone(
            conn_index=1,
            method="POST",
            path="/a",
            status=201,
            elapsed=done.elapsed,
            received=3,
            sent=5,
        )


async def test_a_body_without_a_length_goes_on_in_chunks():
    """As it comes, and its end is the stream's."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=[CHUNKED]) as stream:
            stream.feed(b"hello ")
            await asyncio.sleep(0)
            stream.feed(b"world")
            stream.feed_eof()
        assert origin.asked[0].body == b"hello world"
        assert stream.complete
        assert proxied.origin.statistics().idle == 1


async def test_a_body_that_may_be_empty():
    """Chunked and ended at once: the origin hears of the end."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=[CHUNKED]) as stream:
            stream.feed_eof()
        assert origin.asked[0].body == b""
        assert stream.complete


@pytest.mark.parametrize("sent", [b"abc", b"abcdef"])
async def test_a_body_that_lies_about_its_length_reaches_nobody_whole(sent):
    """The origin's connection and the visitor's stream are given up."""
    ended = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        await read_head(reader)
        ended.set_result(await reader.read())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("PUT", headers=[(b"content-length", b"5")]) as stream:
            stream.feed(sent)
            stream.feed_eof()
        assert len(await ended) < 5
        assert stream.reset_code == 0
        assert proxied.origin.statistics() == PoolStatistics(created=1)


async def test_head_204_and_304_have_no_body_and_keep_the_connection():
    """Whatever length they declare."""

    async def script(reader, writer):
        while True:
            asked = await origin.take(reader)
            status = asked.line.split("/")[1].split()[0]
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n".encode())

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        head = await proxied.visit("HEAD", b"/200")
        assert head.response.headers == [(b"content-length", b"5")]
        for status in (204, 304):
            visit = await proxied.visit("GET", b"/%d" % status)
            assert (visit.response.status, visit.sent, visit.complete) == (status, b"", True)
        assert origin.connections == 1


async def test_answers_that_end_with_the_connection():
    """HTTP/1.0 and `Connection: close` arrive whole, and the next request dials."""

    async def script(reader, writer):
        await origin.take(reader)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        for _ in range(2):
            visit = await proxied.visit()
            assert (len(visit.sent), visit.complete) == (100_000, True)
        assert proxied.origin.statistics() == PoolStatistics(created=2)


async def test_1xx_is_read_over():
    """103 and 100 are not for a stream that has one head (protocol.md §6.2)."""
    answer = b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit()
        assert (visit.response.status, visit.sent) == (200, b"ok")
        assert proxied.origin.statistics().idle == 1


EXPECTS = [(b"expect", b"100-continue"), (b"content-length", b"5")]


async def test_a_body_waits_for_the_origins_word():
    """With Expect: 100-continue nothing of it is sent before."""
    asked = asyncio.Event()
    allowed = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        asked.set()
        await allowed.wait()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.write(OK)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=EXPECTS) as stream:
            stream.feed(b"hello")
            await asked.wait()
            await asyncio.sleep(0)
            assert stream.consumed == 0
            allowed.set()
        assert stream.sent == b"ok"


async def test_a_body_that_is_not_wanted_is_not_sent():
    """A final answer instead of 100: nothing of the body is read, and the connection goes."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        assert await reader.read() == b""

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=EXPECTS) as stream:
            stream.feed(b"hello")
        assert stream.response.status == 417
        assert stream.complete
        assert stream.consumed == 0
        assert proxied.origin.statistics().open == 0


@pytest.mark.alone
async def test_an_origin_that_ignores_expect_gets_the_body_after_a_second():
    """As cloudflared does (protocol.md §6.2)."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        started = asyncio.get_running_loop().time()
        async with proxied.serving("POST", headers=EXPECTS) as stream:
            stream.feed(b"hello")
        assert origin.asked[0].body == b"hello"
        assert 0.9 < asyncio.get_running_loop().time() - started < 3


async def test_an_answer_before_the_body_was_sent():
    """It arrives whole; the connection, on which the body is missing, is not used again."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=[(b"content-length", b"1000000")]) as stream:
            stream.feed(bytes(1000))
        assert (stream.response.status, stream.sent, stream.complete) == (413, b"no", True)
        assert proxied.origin.statistics().open == 0


async def test_bodies_move_both_ways_at_once():
    """An origin that echoes as it reads needs no end of the one before it begins the other."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            chunk = (await reader.readexactly(size + 2))[:-2]
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        writer.write(b"0\r\n\r\n")
        await reader.readline()
        await writer.drain()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving("POST", headers=[CHUNKED]) as stream:
            for part in (b"one", b"two", b"three"):
                before = len(stream.sent)
                stream.feed(part)
                await stream.until(
                    lambda before=before, part=part: len(stream.sent) >= before + len(part)
                )
            stream.feed_eof()
        assert stream.sent == b"onetwothree"


@pytest.mark.parametrize("framing", [b"Content-Length: 33554432", b"Connection: close"])
async def test_a_slow_visitor_makes_the_origin_wait(framing):
    """Of 32 MiB little more leaves the origin than the visitor takes; then the rest comes."""
    written = 0
    block = os.urandom(65536)

    async def script(reader, writer):
        nonlocal written
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(512):
            writer.write(block)
            await writer.drain()
            written += len(block)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving(manual=True) as stream:
            await stream.until(lambda: len(stream.sent) >= stream.high_water)
            assert await settled(lambda: written) < 16 << 20  # what the system holds between
            assert len(stream.sent) <= stream.high_water + (512 << 10)
            stream.manual = False
            stream.take()
        assert len(stream.sent) == 32 << 20
        assert stream.complete


async def test_a_slow_origin_makes_the_visitor_wait():
    """Of 32 MiB little more is taken from the visitor than the origin reads; then the rest goes."""
    go_on = asyncio.Event()
    received = 0

    async def script(reader, writer):
        nonlocal received
        await read_head(reader)
        await go_on.wait()
        while received < 32 << 20:
            received += len(await reader.read(1 << 20))
        writer.write(OK)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        length = [(b"content-length", b"%d" % (32 << 20))]
        async with proxied.serving("PUT", headers=length) as stream:
            feeding = asyncio.create_task(stream.feed_all(bytes(32 << 20)))
            assert await settled(lambda: stream.consumed) < 16 << 20  # what the system holds
            go_on.set()
            await feeding
        assert received == 32 << 20
        assert stream.sent == b"ok"


async def test_the_origin_learns_that_a_visitor_left_before_the_answer():
    """Its connection ends, and is not kept."""
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        asked.set()
        assert await reader.read() == b""
        gone.set()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving() as stream:
            await asked.wait()
            stream.feed_reset()
            await gone.wait()
        (done,) = proxied.events
        assert done.status is None
        assert proxied.origin.statistics() == PoolStatistics(created=1)


@pytest.mark.parametrize("leave", ["stop", "lose"])
async def test_the_origin_learns_that_a_visitor_left_within_the_answer(leave):
    """Also while it has nothing to send."""
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert await reader.read() == b""
        gone.set()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving() as stream:
            await stream.until(lambda: stream.sent == b"abc")
            getattr(stream, leave)()
            await gone.wait()
        assert proxied.origin.statistics().open == 0
        assert proxied.origin.statistics().failures == 0


async def test_a_cancelled_exchange_leaves_nothing_behind():
    """Stream and connection are given up, and the cancellation passes."""
    asked = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        asked.set()
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        stream = proxied.stream()
        serving = asyncio.create_task(proxied.serve(stream))
        await asked.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert stream.reset_code == 0
        assert proxied.origin.statistics().open == 0


class Dying(RawOrigin):
    """Answers each connection's first request and closes at the second, having read it."""

    def __init__(self, last_words=b""):
        super().__init__(self._script)
        self.last_words = last_words

    async def _script(self, reader, writer):
        asked = await self.take(reader)
        writer.write(OK.removesuffix(b"ok") if asked.line.startswith("HEAD") else OK)
        await self.take(reader)
        writer.write(self.last_words)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PUT"])
async def test_a_request_is_repeated_when_a_kept_connection_turns_out_dead(method):
    """Once, over a new connection; the visitor notices nothing."""
    async with Dying() as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        visit = await proxied.visit(method)

        assert visit.response.status == 200
        assert origin.connections == 2
        assert proxied.origin.statistics() == PoolStatistics(
            open=1, idle=1, created=2, reused=0, retried=1
        )


async def test_a_request_that_may_not_be_repeated_is_not():
    """A POST may have been carried out: the visitor decides."""
    async with Dying() as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        visit = await proxied.visit("POST")

        assert visit.response.status == 502
        assert b"without an answer" in visit.sent
        assert [asked.line.split()[0] for asked in origin.asked] == ["GET", "POST"]


async def test_a_connection_that_was_just_closed_gets_no_request_of_one_try():
    """An end that the event loop has not seen yet is looked for before a POST."""
    closing, closed = threading.Event(), threading.Event()

    def answer_two(listener):
        for number in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(OK)
                if number == 0:
                    closing.wait()
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_two, args=(listener,), daemon=True)
        thread.start()
        async with Proxied(f"127.0.0.1:{listener.getsockname()[1]}") as proxied:
            await proxied.visit()
            closing.set()
            closed.wait()  # the event loop is blocked meanwhile
            visit = await proxied.visit("POST")
            assert (visit.response.status, visit.sent) == (200, b"ok")
            assert proxied.origin.statistics().created == 2
        thread.join()


async def test_a_body_that_was_read_is_not_sent_again():
    """It is gone: a PUT whose body went to the dead connection is not repeated."""
    async with Dying() as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        visit = await proxied.visit("PUT", body=b"abc")

        assert visit.response.status == 502
        assert proxied.origin.statistics().retried == 0


async def test_a_body_that_nobody_read_yet_goes_to_the_new_connection():
    """A PUT whose body is still to come when the kept connection dies."""

    async def script(reader, writer):
        if origin.connections == 1:
            await origin.take(reader)
            writer.write(OK)
            await read_head(reader)
        else:
            await origin.take(reader)
            writer.write(OK)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        async with proxied.serving("PUT", headers=[CHUNKED]) as stream:
            async with asyncio.timeout(5):
                while proxied.origin.statistics().retried == 0:
                    await asyncio.sleep(0.005)
            stream.feed(b"hello")
            stream.feed_eof()
        assert origin.asked[-1].body == b"hello"
        assert stream.sent == b"ok"


async def test_an_answer_that_had_begun_is_not_asked_for_again():
    """A first byte means that the request was taken."""
    async with Dying(b"H") as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        assert (await proxied.visit()).response.status == 502
        assert len(origin.asked) == 2


async def test_a_new_connection_is_not_tried_twice():
    """An origin that closes on everybody is reported, not pestered."""

    async def script(reader, writer):
        await origin.take(reader)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        assert (await proxied.visit()).response.status == 502
        assert origin.connections == 1
        assert proxied.origin.statistics().failures == 1


async def test_refused_is_a_page_and_a_line_in_the_log(caplog):
    """Both say what was tried; the page is plain text for programs."""
    address = f"127.0.0.1:{free_port()}"
    async with Proxied(address) as proxied:
        visit = await proxied.visit(dest=b"/a?token=secret")

    assert visit.response.status == 502
    assert (b"content-type", b"text/plain; charset=utf-8") in visit.response.headers
    assert (b"cache-control", b"no-store") in visit.response.headers
    text = visit.sent.decode()
    assert f"http://{address} can't be reached: connection refused" in text
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"GET /a: http://{address} can't be reached")
    assert "secret" not in record.getMessage()
    (done,) = proxied.events
    assert (done.status, done.sent) == (502, len(text))


async def test_browsers_get_a_page_and_head_its_head():
    """HTML where it is taken; with a HEAD no body."""
    async with Proxied(f"127.0.0.1:{free_port()}") as proxied:
        visit = await proxied.visit(headers=[(b"accept", b"text/html,*/*;q=0.8")])
        assert visit.sent.startswith(b"<!doctype html>")
        assert b"connection refused" in visit.sent
        assert (b"content-length", b"%d" % len(visit.sent)) in visit.response.headers
        visit = await proxied.visit("HEAD")
        assert (visit.response.status, visit.sent) == (502, b"")
        visit = await proxied.visit(kind=RequestKind.WEBSOCKET)
        assert visit.response.status == 502


@pytest.mark.parametrize("request_", [{}, {"dest": b"/a b"}], ids=["refused", "malformed"])
async def test_a_page_for_nobody_is_no_failure_of_ours(request_, caplog):
    """The visitor left before it could be sent."""
    async with Proxied(f"127.0.0.1:{free_port()}") as proxied:
        stream = proxied.stream(**request_)
        stream.feed_reset()
        await proxied.serve(stream)
        assert "could not be served" not in caplog.text
        (done,) = proxied.events
        assert done.status is None


async def test_silence_is_504():
    """An origin that takes the request and says nothing is given up after `response_timeout`."""

    async def script(reader, writer):
        await origin.take(reader)
        await reader.read()

    settings = ProxySettings(response_timeout=0.3)
    async with RawOrigin(script) as origin, Proxied(origin.address, settings=settings) as proxied:
        visit = await proxied.visit()
        assert visit.response.status == 504
        assert b"began no answer within 0.3 s" in visit.sent
        assert proxied.origin.statistics() == PoolStatistics(created=1, failures=1)


@pytest.mark.alone
async def test_an_upload_under_way_is_no_silence():
    """The time counts from the last that the origin was told; a long answer is not timed."""

    async def script(reader, writer):
        await origin.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(b"ok")

    settings = ProxySettings(response_timeout=0.4)
    async with RawOrigin(script) as origin, Proxied(origin.address, settings=settings) as proxied:
        async with proxied.serving("POST", headers=[(b"content-length", b"6")]) as stream:
            for _ in range(6):
                stream.feed(b"x")
                await asyncio.sleep(0.12)
        assert (stream.response.status, stream.sent) == (200, b"ok")


BROKEN = {
    "nothing": b"",
    "garbage": b"what?\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "smuggling": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "NUL": b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "a long head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * (200 << 10) + b"\r\n\r\n",
    "a switch unasked": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_502_and_the_next_visitor_is_served(wire):
    """The connection is not used again; nothing of the answer is passed on."""

    async def script(reader, writer):
        asked = await origin.take(reader)
        writer.write(wire if asked.line.startswith("GET /broken") else OK)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit(dest=b"/broken")
        assert visit.response.status == 502
        assert b"The tunnel works" in visit.sent
        assert b"\0" not in visit.sent
        assert proxied.origin.statistics().open == 0
        assert (await proxied.visit()).sent == b"ok"
        assert origin.connections == 2


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_cut_short_does_not_pass_for_whole(wire, caplog):
    """What came is passed on, then the stream is reset, and a line tells the developer."""

    async def script(reader, writer):
        await origin.take(reader)
        writer.write(wire)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        visit = await proxied.visit()
        assert visit.sent in (b"abc", b"")
        assert visit.reset_code == 0
        assert not visit.ended
        assert proxied.origin.statistics().failures == 1
        assert "GET /: " in caplog.text


async def test_an_answer_longer_than_it_says_is_cut_and_ends_the_connection():
    """What is too much reaches neither this visitor nor the next."""
    async with RawOrigin(OK + b"poison") as origin, Proxied(origin.address) as proxied:
        for _ in range(2):
            visit = await proxied.visit()
            assert (visit.sent, visit.complete) == (b"ok", True)
        assert origin.connections == 2


async def test_an_origin_that_speaks_first_is_no_http_server():
    """An SSH or SMTP server says hello before it is asked."""

    async def script(reader, writer):
        writer.write(b"220 mail.test ESMTP\r\n")
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        assert (await proxied.visit()).response.status == 502


async def test_a_request_that_no_server_should_see_is_refused_here():
    """400, and the origin hears nothing."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        assert (await proxied.visit(dest=b"/a b")).response.status == 400
        visit = await proxied.visit(headers=[(b"content-length", b"x")])
        assert visit.response.status == 400
        assert (await proxied.visit(host=b"management.argotunnel.com")).response.status == 404
        visit = await proxied.visit(kind=RequestKind.TCP, dest=b"10.0.0.1:22")
        assert visit.response.error
        assert origin.connections == 0
        assert len(proxied.events) == 4


async def test_readiness_is_proved_here():
    """The origin need not be up for it, and nobody counts it."""
    async with Proxied(f"127.0.0.1:{free_port()}") as proxied:
        proxied.origin.readiness_nonce = nonce = new_nonce()
        visit = await proxied.visit(dest=readiness_path(nonce).encode())
        assert visit.sent == expected_answer(nonce)
        assert proxied.events == []


async def test_host_header_is_what_the_origin_sees():
    """With the public one in X-Forwarded-Host."""
    settings = ProxySettings(host_header="localhost:3000")
    async with RawOrigin(OK) as origin, Proxied(origin.address, settings=settings) as proxied:
        await proxied.visit(host=b"public.test")
        assert origin.asked[0].fields["host"] == "localhost:3000"
        assert origin.asked[0].fields["x-forwarded-host"] == "public.test"


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("late", [False, True])
async def test_a_drain_ends_event_streams_also_those_that_begin_later(late):
    """The visitor sees an end, the origin that the visitor left; other answers go on."""
    gone = asyncio.Event()
    begin = asyncio.Event()

    async def script(reader, writer):
        asked = await read_head(reader)
        await begin.wait()
        if asked.line.startswith("GET /events"):
            writer.write(EVENTS + b"9\r\ndata: a\n\n\r\n")
            assert await reader.read() == b""
            gone.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await gone.wait()
            writer.write(b"k")

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        async with proxied.serving() as ordinary, proxied.serving(dest=b"/events") as events:
            if not late:
                begin.set()
                await events.until(lambda: bool(events.sent))
                await ordinary.until(lambda: bool(ordinary.sent))
            await proxied.origin.drain()
            begin.set()
        assert events.complete
        assert ordinary.sent == b"ok"
        assert proxied.origin.statistics().failures == 0


async def test_event_streams_in_answer_to_get_are_warned_of_once(caplog):
    """Cloudflare holds them back (design.md §6)."""
    answer = EVENTS + b"0\r\n\r\n"
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        proxied.origin.public_url = "https://four-words.trycloudflare.com"
        for _ in range(2):
            await proxied.visit(dest=b"/events")
        await proxied.visit("POST", b"/post")
    (record,) = caplog.records
    assert "GET /events" in record.getMessage()
