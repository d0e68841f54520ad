"""Connections to an origin: made, kept, used again, given up."""

import asyncio
import os
import ssl
from contextlib import suppress

import pytest

from asgi_quicktunnel.errors import OriginError
from asgi_quicktunnel.origin.pool import OriginPool, PoolSettings, PoolStatistics, tls_context
from asgi_quicktunnel.origin_address import OriginAddress

from tests_support.certificates import CertificateAuthority
from tests_support.loops import LOOPS
from tests_support.programs import unavailable
from tests_support.raw_origin import Proxied, RawOrigin
from tests_support.server_process import free_port

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


async def until(condition):
    """Wait for what other tasks of this loop bring about; 5 s at most."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_one_connection_serves_one_request_after_the_other():
    """Ten requests, one connection; the statistics say so."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        for _ in range(10):
            assert (await proxied.visit()).sent == b"ok"

        assert origin.connections == 1
        assert proxied.origin.statistics() == PoolStatistics(open=1, idle=1, created=1, reused=9)


@pytest.mark.alone
async def test_the_latest_idle_connection_is_used_and_the_surplus_grows_old():
    """LIFO: after a burst of five, one connection does the work and the others expire."""
    gate = asyncio.Event()

    async def script(reader, writer):
        while True:
            asked = await origin.take(reader)
            if asked.line.startswith("GET /burst"):
                await gate.wait()
            writer.write(OK)

    async with RawOrigin(script) as origin, Proxied(origin.address, idle_timeout=0.3) as proxied:
        burst = [asyncio.create_task(proxied.visit(dest=b"/burst")) for _ in range(5)]
        await until(lambda: len(origin.asked) == 5)
        gate.set()
        await asyncio.gather(*burst)
        assert proxied.origin.statistics().idle == 5
        async with asyncio.timeout(5):
            while proxied.origin.statistics().open > 1:
                await proxied.visit()
                await asyncio.sleep(0.02)

        statistics = proxied.origin.statistics()
        assert (statistics.created, statistics.idle) == (5, 1)
        await until(lambda: proxied.origin.statistics().open == 0)


async def test_no_more_idle_connections_are_kept_than_asked_for():
    """The oldest makes way."""
    async with RawOrigin(OK) as origin, Proxied(origin.address, idle_connections=2) as proxied:
        await asyncio.gather(*(proxied.visit() for _ in range(6)))
        assert proxied.origin.statistics().idle == 2
        assert proxied.origin.statistics().open == 2


@pytest.mark.parametrize("settings", [{"idle_connections": 0}, {"idle_timeout": 0}])
async def test_none_is_kept_where_none_is_wanted(settings):
    """Each request then has a connection of its own."""
    async with RawOrigin(OK) as origin, Proxied(origin.address, **settings) as proxied:
        await proxied.visit()
        await proxied.visit()
        assert origin.connections == 2
        assert proxied.origin.statistics().open == 0


async def test_the_origin_says_how_long_it_keeps_a_connection():
    """Keep-Alive's timeout, less a margin, bounds ours; none is kept for a second or less."""
    answer = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n")
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        assert proxied.origin.statistics().idle == 0
    answer = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")
    async with RawOrigin(answer) as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        connection = proxied.pool.take_kept()
        left = connection.idle_until - asyncio.get_running_loop().time()
        assert 3 < left <= 4
        connection.abort()


async def test_an_idle_connection_that_the_origin_closes_is_forgotten():
    """At once, so that no request meets it."""
    async with RawOrigin(OK) as origin, Proxied(origin.address) as proxied:
        await proxied.visit()
        for task in tuple(origin._tasks):
            task.cancel()
        await until(lambda: proxied.origin.statistics().open == 0)
        assert (await proxied.visit()).sent == b"ok"
        assert proxied.origin.statistics().retried == 0


async def test_an_idle_connection_that_speaks_unasked_is_closed():
    """What it said can't become the answer to somebody else's request."""
    spoken = asyncio.Event()

    async def script(reader, writer):
        await origin.take(reader)
        writer.write(OK)
        await spoken.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        assert not await reader.read()

    async with RawOrigin(script) as origin, Proxied(origin.address) as proxied:
        assert (await proxied.visit()).sent == b"ok"
        assert proxied.origin.statistics().idle == 1
        spoken.set()
        await until(lambda: proxied.origin.statistics().open == 0)
        assert (await proxied.visit()).sent == b"ok"


async def test_closing_ends_idle_and_busy_connections():
    """Nothing is left, and the same pool can dial anew."""
    async with RawOrigin(OK) as origin:
        pool = OriginPool(OriginAddress.parse(origin.address), PoolSettings())
        busy = await pool.dial()
        busy.ask(b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
        pool.close()
        with pytest.raises(OriginError, match="closed"):
            await busy.wait_head()
        assert pool.statistics().open == 0
        (await pool.dial()).abort()


async def dial(address, *, tls=None, connect_timeout=5.0):
    pool = OriginPool(
        OriginAddress.parse(address), PoolSettings(connect_timeout=connect_timeout), tls=tls
    )
    try:
        connection = await pool.dial()
    finally:
        assert pool.statistics().created == pool.statistics().open
    connection.abort()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{port}", "connection refused; is the server running"),
        ("{port}", "connection refused; is the server running"),
        ("no-such-host.invalid:80", "no such host"),
        ("unix:/nowhere/at/all.sock", "no such file or directory"),
    ],
)
async def test_where_nothing_answers_is_said(address, words):
    """Refused, unknown or missing: status 502, with what was tried."""
    address = address.format(port=free_port())
    with pytest.raises(OriginError, match=words) as caught:
        await dial(address)
    assert caught.value.status == 502
    assert str(OriginAddress.parse(address)) in str(caught.value)


async def test_a_connection_that_takes_too_long_is_504():
    """A server that takes the connection and never speaks TLS uses the whole time up."""

    async def script(reader, writer):
        await reader.read()

    async with RawOrigin(script) as origin:
        address = origin.address.replace("127.0.0.1", "https://127.0.0.1")
        with pytest.raises(OriginError, match=r"within 0\.2 s") as caught:
            await dial(address, tls=tls_context(ca_file=None, verify=False), connect_timeout=0.2)
    assert caught.value.status == 504


async def test_a_socket_is_an_origin(tmp_path):
    """unix:/path, also through a URL's three slashes."""
    if not hasattr(asyncio, "start_unix_server"):
        unavailable("unix sockets", "this system has none")
    path = str(tmp_path / "origin.sock")
    async with RawOrigin(OK, path=path), Proxied(f"unix://{path}") as proxied:
        assert (await proxied.visit()).sent == b"ok"
    with suppress(FileNotFoundError):  # from Python 3.13 on its server has done so
        os.unlink(path)


async def test_an_https_origin_is_verified(tmp_path):
    """By our authority, or by none when that was asked for; else the error says what would do."""
    authority = CertificateAuthority(tmp_path)
    async with RawOrigin(OK, tls=authority.server_context("localhost")) as origin:
        trusted = tls_context(ca_file=authority.ca_file, verify=True)
        for tls in (trusted, tls_context(ca_file=None, verify=False)):
            async with Proxied(origin.address, tls=tls) as proxied:
                assert (await proxied.visit()).sent == b"ok"
                assert (await proxied.visit()).sent == b"ok"
                assert proxied.origin.statistics().reused == 1
        with pytest.raises(OriginError, match=r"not trusted.*origin_ca_file") as caught:
            await dial(origin.address, tls=tls_context(ca_file=None, verify=True))
        assert caught.value.status == 502
        by_ip = origin.address.replace("localhost", "127.0.0.1")
        with pytest.raises(OriginError, match="not trusted"):
            await dial(by_ip, tls=trusted)
    assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_http_and_https_mixed_up_are_told_apart(tmp_path):
    """Each side of the mistake has its own words."""

    async def script(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawOrigin(script) as origin:
        address = origin.address.replace("127.0.0.1", "https://127.0.0.1")
        with pytest.raises(OriginError, match="does not speak TLS"):
            await dial(address, tls=tls_context(ca_file=None, verify=False))
    tls = CertificateAuthority(tmp_path).server_context("localhost")
    async with RawOrigin(OK, tls=tls) as origin:
        async with Proxied(origin.address.removeprefix("https://")) as proxied:
            visit = await proxied.visit()
            assert visit.response.status == 502
            assert b"without an answer" in visit.sent or b"https://" in visit.sent
