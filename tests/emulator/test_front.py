"""The front: what visitors of every kind get, with a connector in memory behind it."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.model import RequestKind

from tests_support.public_front import greet, public_front, read_to_end, read_until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def deadline():
    with anyio.fail_after(10):
        yield


async def echo(stream):
    """Answer with the request's body, in chunks as they come."""
    await stream.respond(200)
    while data := await stream.read():
        await stream.write(data)


async def refuse(stream):
    await stream.respond(502, error="connection refused")


async def test_a_get_is_answered():
    """A GET reaches the connector with its head, and the answer reaches the visitor."""
    async with deadline(), public_front() as front, front.client() as client:
        response = await client.get("/a/b?c=d&e", headers={"X-Thing": "1"})

        assert (response.status_code, response.text) == (200, "hello")
        assert response.headers["server"] == "cloudflare"
        assert "date" in response.headers
        head = front.connector.streams[0].head
        assert head.kind is RequestKind.HTTP
        assert head.method == "GET"
        assert head.dest == b"http://" + front.host + b"/a/b?c=d&e"
        assert head.host == front.host
        assert (b"X-Thing", b"1") in head.headers


async def test_a_connection_is_kept():
    """Many requests travel over one connection of the visitor."""
    async with deadline(), public_front() as front, await front.connect() as stream:
        for _ in range(3):
            await stream.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % front.host)
            assert await read_until(stream, b"hello")

        assert len(front.connector.streams) == 3


async def test_pipelined_requests_are_answered_in_order():
    """Requests sent without waiting are answered one after the other, in their order."""

    async def path(stream):
        await stream.respond(200)
        await stream.write(stream.head.dest.rpartition(b"/")[2])

    async with deadline(), public_front(path) as front:
        answers = await front.exchange(
            b"POST /one HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nab"
            b"GET /two HTTP/1.1\r\nHost: HOST\r\n\r\n"
            b"GET /three HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
        )

        assert answers.count(b"HTTP/1.1 200") == 3
        assert answers.index(b"one") < answers.index(b"two") < answers.index(b"three")


async def test_a_sized_body_arrives_whole():
    """A body with a length arrives whole; the request ends with it."""
    body = bytes(range(256)) * 4096
    async with deadline(), public_front(echo) as front, front.client() as client:
        response = await client.post("/", content=body)

        assert response.content == body
        stream = front.connector.streams[0]
        assert stream.ended.is_set()
        assert not stream.abandoned.is_set()


async def test_a_chunked_body_arrives_whole():
    """A chunked body arrives without its chunks' frames, announced by Transfer-Encoding alone."""

    async def pieces():
        for number in range(20):
            yield b"%d;" % number

    async with deadline(), public_front(echo) as front, front.client() as client:
        response = await client.post("/", content=pieces())

        assert response.content == b"".join([b"%d;" % number for number in range(20)])
        names = [name.lower() for name, _ in front.connector.streams[0].head.headers]
        assert b"transfer-encoding" in names
        assert b"content-length" not in names


async def test_body_and_answer_travel_at_once():
    """What the connector answers to one piece arrives before the visitor sends the next."""
    async with deadline(), public_front(echo) as front, await front.connect() as stream:
        await stream.send(
            b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % front.host
        )
        for piece in (b"first", b"second", b"third"):
            await stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await read_until(stream, piece)
        await stream.send(b"0\r\n\r\n")
        assert (await read_until(stream, b"0\r\n\r\n")).endswith(b"0\r\n\r\n")


async def test_expect_is_met():
    """A visitor that waits for 100 Continue gets it, and its body is passed on."""
    async with deadline(), public_front(echo) as front, await front.connect() as stream:
        await stream.send(
            b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
            % front.host
        )
        assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await stream.send(b"body")
        assert b"body" in await read_until(stream, b"body")


async def test_expect_without_interest():
    """A visitor that waits for 100 Continue may be answered at once; nobody is confused."""

    async def answer(stream):
        stream.stop()
        await greet(stream)

    async with deadline(), public_front(answer) as front:
        for _ in range(20):
            answers = await front.exchange(
                b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\n"
                b"Expect: 100-continue\r\nConnection: close\r\n\r\nx"
            )
            assert answers.count(b" 200 OK\r\n") == 1
            assert answers.endswith(b"hello")


async def test_a_visitor_that_pipelines_too_much_and_leaves():
    """Its leaving is noticed when the answer is written, if not before."""

    async def later(stream):
        await release.wait()
        await stream.respond(200)
        while True:
            await stream.write(b"x" * 65536)

    release = anyio.Event()
    async with deadline(), public_front(later) as front:
        async with await front.connect() as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % front.host)
            await stream.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
            while not front.connector.streams:
                await anyio.lowlevel.checkpoint()
        release.set()
        await front.connector.streams[0].abandoned.wait()


async def test_closing_over_tls_is_said():
    """Visitors of HTTP/1.0 over TLS can tell the end of an answer from a cut connection."""

    async def until_the_end(stream):
        await stream.respond(200)
        await stream.write(b"all of it")

    async with deadline(), public_front(until_the_end) as front:
        context = ssl.create_default_context(cadata=Authority.shared().certificate.decode())
        stream = await anyio.connect_tcp(
            "127.0.0.1", front.port, ssl_context=context, tls_hostname=front.tunnel.name
        )
        async with stream:  # `standard_compatible`: an end without close_notify raises
            await stream.send(b"GET / HTTP/1.0\r\nHost: %b\r\n\r\n" % front.host)
            assert (await read_to_end(stream)).endswith(b"all of it")


async def test_head_has_no_body_and_keeps_the_length():
    """HEAD shows the headers of GET, length included, and leaves the connection in order."""
    async with deadline(), public_front() as front:
        answers = await front.exchange(
            b"HEAD / HTTP/1.1\r\nHost: HOST\r\n\r\n"
            b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
        )

        first, second = answers.split(b"\r\n\r\n", 1)
        assert b"content-length: 5" in first
        assert second.startswith(b"HTTP/1.1 200")
        assert second.endswith(b"\r\n\r\nhello")


async def test_an_answer_without_length_is_chunked():
    """HTTP/1.1 visitors get chunks where the connector named no length."""
    async with deadline(), public_front(echo) as front:
        answer = await front.exchange(
            b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        )

        assert b"Transfer-Encoding: chunked" in answer
        assert answer.endswith(b"3\r\nabc\r\n0\r\n\r\n")


async def test_http_1_0_gets_a_closed_connection():
    """HTTP/1.0 visitors get a body without chunks, ended by closing."""
    async with deadline(), public_front(echo) as front:
        answer = await front.exchange(
            b"POST / HTTP/1.0\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc"
        )

        assert b"chunked" not in answer
        assert answer.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize("fin", ["held", "early"])
async def test_the_end_of_a_request_without_body(fin):
    """It is held back until the answer is complete, or comes with the head, as was asked for."""
    before_answer = []

    async def script(stream):
        before_answer.append((stream.ended_with_head, stream.ended.is_set()))
        await greet(stream)

    async with deadline(), public_front(script, fin=fin) as front, front.client() as client:
        await client.get("/")
        await client.post("/", content=b"")
        stream = front.connector.streams[0]
        await stream.ended.wait()

        early = fin == "early"
        assert before_answer == [(early, early), (early, early)]
        assert not stream.abandoned.is_set()


async def test_unknown_hosts_and_idle_tunnels_get_1033():
    """Without a registered connection visitors see status 530 with error code 1033."""
    async with deadline(), public_front() as front, front.client() as client:
        unknown = await client.get("/", headers={"host": "nobody.localhost"})
        front.tunnel.withdraw(front.connector)
        idle = await client.get("/")

        for response in (unknown, idle):
            assert response.status_code == 530
            assert "error code: 1033" in response.text
        assert front.connector.streams == []


async def test_an_error_reply_is_a_502():
    """An error reply is a 502 page, and the visitor's connection stays usable."""
    async with deadline(), public_front(refuse) as front, front.client() as client:
        assert (await client.post("/", content=b"x" * 100_000)).status_code == 502
        front.connector.script = greet
        assert (await client.get("/")).status_code == 200


async def test_a_reset_before_the_head_is_a_502():
    """A stream that is reset, or ends, before its answer began is a 502 page."""

    async def reset(stream):
        stream.reset()

    async def vanish(stream):
        pass

    for script in (reset, vanish):
        async with deadline(), public_front(script) as front, front.client() as client:
            assert (await client.get("/")).status_code == 502


@pytest.mark.parametrize("length", [(), ((b"content-length", b"100"),)])
async def test_a_reset_after_the_head_cuts_the_answer(length):
    """A visitor notices that an answer was cut."""

    async def script(stream):
        await stream.respond(200, *length)
        await stream.write(b"half")
        stream.reset()

    async with deadline(), public_front(script) as front:
        answer = await front.exchange(b"GET / HTTP/1.1\r\nHost: HOST\r\n\r\n")
        assert b"half" in answer
        assert not answer.endswith(b"0\r\n\r\n")
        with pytest.raises(anyio.BrokenResourceError):  # HTTP/1.0 would take a close for the end
            await front.exchange(b"GET / HTTP/1.0\r\nHost: HOST\r\n\r\n")


async def test_too_many_requests_in_flight():
    """Above the limit visitors see 429; once a request ends there is room again."""
    release = anyio.Event()

    async def slow(stream):
        await release.wait()
        await greet(stream)

    async with (
        deadline(),
        public_front(slow, max_in_flight=2) as front,
        front.client() as client,
        anyio.create_task_group() as tasks,
    ):
        statuses = []

        async def visit():
            statuses.append((await client.get("/")).status_code)

        for _ in range(2):
            tasks.start_soon(visit)
        while front.tunnel.in_flight < 2:
            await anyio.lowlevel.checkpoint()
        assert (await client.get("/")).status_code == 429
        release.set()
        while front.tunnel.in_flight:
            await anyio.lowlevel.checkpoint()
        assert (await client.get("/")).status_code == 200
    assert statuses == [200, 200]


async def test_requests_are_balanced():
    """Registered connections take requests in turn; one that is lost is skipped."""
    async with deadline(), public_front() as front, front.client() as client:
        other = type(front.connector)(front.tasks, greet)
        front.tunnel.register(other)
        for _ in range(10):
            await client.get("/")
        assert (len(front.connector.streams), len(other.streams)) == (5, 5)

        front.connector.lost = True
        for _ in range(4):
            assert (await client.get("/")).status_code == 200
        assert len(other.streams) == 9
        assert front.tunnel.serving == (other,)


async def test_a_visitor_that_leaves_is_noticed():
    """The stream is abandoned when the visitor hangs up before its answer, or within it."""

    async def silent(stream):
        await stream.abandoned.wait()

    async def endless(stream):
        await stream.respond(200)
        while True:
            await stream.write(b"x" * 65536)

    for script in (silent, endless):
        async with deadline(), public_front(script) as front:
            async with await front.connect() as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % front.host)
                while not front.connector.streams:
                    await anyio.lowlevel.checkpoint()
            await front.connector.streams[0].abandoned.wait()


async def test_a_visitor_that_leaves_within_its_body_is_noticed():
    """Half a body and then silence for ever is no complete request."""

    async def read(stream):
        await stream.read_all()

    async with deadline(), public_front(read) as front:
        async with await front.connect() as stream:
            await stream.send(
                b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 10\r\n\r\nhalf" % front.host
            )
            while not front.connector.streams:
                await anyio.lowlevel.checkpoint()
        answer = front.connector.streams[0]
        await answer.abandoned.wait()
        assert not answer.ended.is_set()


async def test_a_slow_visitor_slows_the_connector():
    """What a visitor does not read is not taken from the connector either."""
    written = 0

    async def endless(stream):
        nonlocal written
        await stream.respond(200)
        while True:
            await stream.write(b"x" * 65536)
            written += 65536

    async with deadline(), public_front(endless) as front, await front.connect() as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % front.host)
        await read_until(stream, b"xxx")
        before = -1
        while before != written:  # as long as the system's own buffers fill
            before = written
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        assert written < 32 << 20


async def test_a_body_that_the_connector_does_not_read_is_dropped():
    """An answer before the end of the body is passed on, and the connection stays usable."""

    async def early(stream):
        stream.stop()
        await greet(stream)

    async with deadline(), public_front(early) as front, front.client() as client:
        for _ in range(2):
            response = await client.post("/", content=b"x" * (4 << 20))
            assert response.text == "hello"
        await front.connector.streams[0].abandoned.wait()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET nonsense HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nBad Name: 1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: HOST\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
        (b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", 431),
    ],
)
async def test_bad_requests_are_refused(data, status):
    """What is no HTTP, or not for this edge, gets a refusal and a closed connection."""
    async with deadline(), public_front(echo) as front:
        answer = await front.exchange(data)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"onnection: close" in answer
        async with front.client() as client:  # and the front serves on
            assert (await client.post("/", content=b"on")).text == "on"


async def test_a_refused_method_is_told_what_is_allowed():
    """A 405 names the methods that the edge passes on (RFC 9110 §15.5.6)."""
    async with deadline(), public_front() as front:
        answer = await front.exchange(b"TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n")
    (allow,) = [line for line in answer.lower().splitlines() if line.startswith(b"allow:")]
    assert {b"get", b"post"} <= set(allow.removeprefix(b"allow:").replace(b" ", b"").split(b","))


async def test_large_heads_pass():
    """A head of 100 KB passes: the edge's own limit is 128 KB."""
    async with deadline(), public_front() as front, front.client() as client:
        response = await client.get("/", headers={"x-long": "y" * 100_000})
        assert response.status_code == 200
        assert (b"x-long", b"y" * 100_000) in front.connector.streams[0].head.headers


async def test_half_a_request_harms_nobody():
    """A visitor that stops within its head holds up nobody else."""
    async with deadline(), public_front() as front, await front.connect() as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHos")
        async with front.client() as client:
            assert (await client.get("/")).status_code == 200
        await stream.send(b"t: %b\r\nConnection: close\r\n\r\n" % front.host)
        assert (await read_to_end(stream)).endswith(b"hello")


async def test_absolute_targets_name_the_host():
    """A target that is a whole address counts for more than Host (RFC 9112 §3.2.2)."""
    async with deadline(), public_front() as front:
        answer = await front.exchange(
            b"GET http://HOST/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200")
        head = front.connector.streams[0].head
        assert (head.host, head.dest) == (front.host, b"http://%b/x?y" % front.host)


async def test_connections_that_are_opened_and_closed_harm_nobody():
    """A visitor may connect and say nothing, or hang up within a TLS handshake."""
    async with deadline(), public_front() as front:
        async with await front.connect():
            pass
        async with await front.connect() as stream:
            await stream.send(b"\x16\x03\x01")
        async with await front.connect() as stream:
            await stream.send(b"\x16\x03\x01\x00\x05hello")
            await read_to_end(stream)
        async with front.client() as client:
            assert (await client.get("/")).status_code == 200


async def test_curl(tmp_path):
    """curl finds the name by itself, in plain text and over TLS on the same port."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(Authority.shared().certificate)
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 3_000_000)

    async with deadline(), public_front(echo) as front:
        for scheme in ("http", "https"):
            url = f"{scheme}://{front.host.decode()}/upload"
            for arguments in (
                ["--data-binary", f"@{upload}"],
                ["-T", str(upload), "-H", "Transfer-Encoding: chunked"],
            ):
                result = await anyio.run_process(
                    ["curl", "-sS", "--cacert", str(ca_file), *arguments, url], check=False
                )
                assert (result.returncode, result.stderr) == (0, b"")
                assert result.stdout == upload.read_bytes()
                assert front.connector.streams[-1].head.dest == url.encode()


async def test_tls_is_the_same_front():
    """Over TLS the connector learns that the visitor used https."""
    async with deadline(), public_front() as front:
        context = ssl.create_default_context(cadata=Authority.shared().certificate.decode())
        async with front.client(verify=context) as client:
            response = await client.get(
                f"https://127.0.0.1:{front.port}/",
                extensions={"sni_hostname": front.tunnel.name},
            )
        assert response.text == "hello"
        head = front.connector.streams[0].head
        assert head.dest.startswith(b"https://")
        assert (b"Cf-Visitor", b'{"scheme":"https"}') in head.headers
        assert (b"X-Forwarded-Proto", b"https") in head.headers


async def test_violations_of_an_answer_are_reported():
    """What a connector sends too much is told of, and does not reach the visitor."""

    async def too_much(stream):
        await stream.respond(200, (b"content-length", b"2"), (b"connection", b"close"))
        await stream.write(b"okay")

    async with deadline(), public_front(too_much) as front, front.client() as client:
        response = await client.get("/")
        assert response.text == "ok"
        assert front.connector.streams[0].violations == [Rule.HOP_BY_HOP, Rule.BODY_LENGTH]
