"""One connection to an origin, at the moments between requests."""

import asyncio

import pytest

from asgi_quicktunnel.errors import OriginError, StreamReset

from tests_support.loops import LOOPS
from tests_support.raw_origin import Proxied, RawOrigin, read_head

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"220 mail.test ESMTP\r\n", "spoke before it was asked"),
        (b"", "closed the connection before it was asked"),
    ],
)
async def test_what_happens_before_the_first_request_is_its_error(words, error):
    """An SMTP server that greets, and a server that hangs up at once, are told apart."""

    async def script(reader, writer):
        writer.write(words)

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        await until(lambda: not connection.is_usable)
        connection.ask(GET)
        with pytest.raises(OriginError, match=error):
            await connection.wait_head()
        assert not connection.has_answered
        assert not connection.is_reusable


async def test_exchanges_follow_each_other():
    """Head, body, end; then it is reusable, and the next answer is another."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        for _ in range(2):
            connection.ask(GET)
            assert not connection.is_reusable
            assert (await connection.wait_head()).status == 200
            assert await connection.read() == b"ok"
            assert await connection.read() == b""
            assert connection.is_reusable
        connection.close()
        await until(lambda: proxied.origin.statistics().open == 0)


async def test_an_answer_that_nobody_read_makes_it_unfit():
    """What is left over must not meet the next request."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        connection.ask(GET)
        await connection.wait_head()
        assert not connection.is_reusable
        proxied.pool.give_back(connection)
        assert proxied.origin.statistics().open == 0


async def test_a_cause_is_raised_for_who_waits_and_for_who_asks_later():
    """`abort` ends a wait at once."""

    async def script(reader, writer):
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        connection.ask(GET)
        waiting = asyncio.create_task(connection.wait_head())
        await asyncio.sleep(0)
        connection.abort(StreamReset("the visitor left"))
        for attempt in (waiting, connection.read()):
            with pytest.raises(StreamReset, match="the visitor left"):
                await attempt


async def test_writing_to_a_lost_connection_does_nothing():
    """Also for who waited for room when it was lost: what the origin said decides."""
    answered = asyncio.Event()

    async def script(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await answered.wait()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        connection.ask(GET)
        assert (await connection.wait_head()).status == 413
        writing = asyncio.create_task(connection.write(bytes(64 << 20)))
        await asyncio.sleep(0)
        answered.set()
        async with asyncio.timeout(5):
            await writing
            await until(lambda: not connection.is_usable)
            await connection.write(bytes(64 << 20))
        assert await connection.read() == b""


@pytest.mark.parametrize(
    ("answer", "may_send"),
    [
        (b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
        (b"HTTP/1.1 103 Hints\r\n\r\n", True),
        (OK, False),
        (b"garbage\r\n", False),
    ],
)
async def test_the_word_that_a_body_waits_for(answer, may_send):
    """100, or a time without it, lets the body go; an answer or a failure does not."""

    async def script(reader, writer):
        await read_head(reader)
        writer.write(answer)
        await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        connection = await proxied.pool.dial()
        connection.ask(GET)
        waits_in_vain = may_send and b"100" not in answer
        assert await connection.wait_go_ahead(0.2 if waits_in_vain else 30) is may_send
        connection.abort()
