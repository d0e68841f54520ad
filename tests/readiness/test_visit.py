"""The one request to the public URL, over real sockets and real TLS."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import pytest
from anyio.abc import SocketAttribute

from asgi_quicktunnel.protocol.readiness import expected_answer, readiness_path
from asgi_quicktunnel.readiness.base import NotProved, Step
from asgi_quicktunnel.readiness.visit import Target, visit

from tests_support.certificates import CertificateAuthority
from tests_support.scripted_http import HANG_UP, SILENCE, ScriptedService, response

pytestmark = pytest.mark.anyio

NONCE = "00112233445566778899aabbccddeeff"
NAME = "red-fox.quicktunnel.test"
PROOF = response(200, expected_answer(NONCE))


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path)


def url_of(service, name=NAME):
    return f"{service.url.partition(':')[0]}://{name}:{service.port}"


async def visit_at(service, addresses=("127.0.0.1",), *, name=NAME, context=None):
    await visit(
        Target.of(url_of(service, name)),
        addresses,
        NONCE,
        context=context,
        user_agent="tests/1",
    )


async def failure(service, *args, **options):
    with pytest.raises(NotProved) as caught:
        await visit_at(service, *args, **options)
    assert caught.value.step is Step.REQUEST
    return caught.value


# What a URL says.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Red-Fox.example", ("red-fox.example", 443, "Red-Fox.example", True, ())),
        ("http://red-fox.example.:81/", ("red-fox.example", 81, "red-fox.example.:81", False, ())),
        ("http://localhost", ("localhost", 80, "localhost", False, ("127.0.0.1", "::1"))),
        ("https://a.localhost:1", ("a.localhost", 1, "a.localhost:1", True, ("127.0.0.1", "::1"))),
        ("http://notlocalhost", ("notlocalhost", 80, "notlocalhost", False, ())),
        ("http://192.0.2.7:8", ("192.0.2.7", 8, "192.0.2.7:8", False, ("192.0.2.7",))),
        ("https://[2001:DB8::7]:8", ("2001:db8::7", 8, "[2001:DB8::7]:8", True, ("2001:db8::7",))),
    ],
)
def test_a_url_tells_the_way(url, expected):
    """Host, port, Host header, TLS, and the addresses that need no DNS."""
    target = Target.of(url)
    assert (
        target.host,
        target.port,
        target.authority,
        target.is_secure,
        target.addresses,
    ) == expected


@pytest.mark.parametrize("url", ["", "red-fox.example", "ftp://a", "https://", "https://a:99999"])
def test_a_url_that_leads_nowhere(url):
    """It is named, and not tried."""
    with pytest.raises(NotProved, match="is no usable URL") as caught:
        Target.of(url)
    assert caught.value.is_final


# The request.


async def test_the_request_is_that_of_a_visitor():
    """Path, Host and user agent are what the service expects; one connection, closed after."""
    async with ScriptedService(PROOF) as service:
        await visit_at(service)

    (request,) = service.requests
    assert (request.method, request.target) == ("GET", readiness_path(NONCE))
    assert request.headers == {
        "host": f"{NAME}:{service.port}",
        "user-agent": "tests/1",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def test_tls_is_with_the_name_and_not_the_address(authority):
    """SNI names the host, and the certificate is verified against it."""
    tls = authority.server_context(NAME)
    context = ssl.create_default_context(cafile=authority.ca_file)
    async with ScriptedService(PROOF, tls=tls) as service:
        await visit_at(service, context=context)

    assert service.server_names == [NAME]
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("certified", "is_trusted", "why"),
    [
        ("other.quicktunnel.test", True, "Hostname mismatch"),
        ("127.0.0.1", True, "Hostname mismatch"),
        (NAME, False, "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_is_not_the_hosts(authority, certified, is_trusted, why):
    """Another name, the bare address, an unknown authority: nothing is sent, and that is that."""
    context = ssl.create_default_context(cafile=authority.ca_file if is_trusted else None)
    async with ScriptedService(PROOF, tls=authority.server_context(certified)) as service:
        found = await failure(service, context=context)

    assert found.is_final
    assert found.reason.startswith(
        f"the certificate that 127.0.0.1 showed for {NAME} can't be verified ({why}"
    )
    assert service.requests == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(530, "error code: 1033"), "was answered with status 530; the edge knows no"),
        (response(503), "was answered with status 503"),
        (response(404, "Not Found"), "was answered with status 404"),
        (response(302, b"", Location="https://parked.example/"), "was answered with status 302"),
        (response(404, expected_answer(NONCE)), "was answered with status 404"),
        (response(200, readiness_path(NONCE).encode()), "was answered, but not by this connector"),
        (response(200, expected_answer(NONCE) + b" "), "was answered, but not by this connector"),
        (response(200, b"x" * 100_000), "was answered, but not by this connector"),
        (response(200), "was answered, but not by this connector"),
        (HANG_UP, "got no answer ("),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\nshort", "got no answer ("),
        (b"\x15\x03\x01\x00\x02\x02", "got no answer ("),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "got no answer ("),
    ],
)
async def test_an_answer_that_is_not_ours(answer, reason):
    """Whatever else comes back is no proof, is told, and may be different in a moment."""
    async with ScriptedService(answer) as service:
        found = await failure(service)

    assert f"a request for {NAME}:{service.port} at 127.0.0.1 {reason}" in found.reason
    assert not found.is_final


async def test_an_informational_answer_comes_before_the_real_one():
    """A 103 is not the answer."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with ScriptedService(early + PROOF) as service:
        await visit_at(service)


async def test_the_next_address_is_tried_when_one_takes_no_connection():
    """An address family that this machine lacks does not matter."""
    async with ScriptedService(PROOF, host="::1") as service:
        await visit_at(service, ["127.0.0.1", "::1"])

    assert len(service.requests) == 1


async def test_one_request_is_made_whatever_it_brings():
    """The next address is not asked what this one has answered."""
    async with ScriptedService(response(530)) as service:
        await failure(service, ["127.0.0.1", "127.0.0.1"])

    assert len(service.requests) == 1


async def test_no_connection_at_all():
    """Each address is named with its reason, four at most; a proxy may be the cause."""
    async with ScriptedService(PROOF) as service:
        pass
    found = await failure(service, ["127.0.0.1"] * 5)

    assert found.reason.startswith(f"no connection to port {service.port} of ")
    assert found.reason.count("127.0.0.1 (Connection refused)") == 4
    assert "a network that lets only a proxy out" in found.reason
    assert not found.is_final


async def test_a_server_that_breaks_off_the_tls_handshake(authority):
    """What speaks no TLS is no connection."""

    async def hang_up(stream):
        await stream.receive()
        await stream.aclose()

    async with raw_server(hang_up) as service:
        found = await failure(service, context=ssl.create_default_context())
    assert "127.0.0.1 (it was closed in the TLS handshake)" in found.reason

    async def speak_http(stream):
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(speak_http) as service:
        found = await failure(service, context=ssl.create_default_context())
    assert "127.0.0.1 (WRONG_VERSION_NUMBER)" in found.reason


@pytest.mark.slow
async def test_a_server_that_says_nothing():
    """After 5 s there is no answer."""
    async with ScriptedService(SILENCE) as service:
        found = await failure(service)

    assert "got no answer in 5 s" in found.reason


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cancellation_closes_the_connection(scheme):
    """In a TLS handshake or while waiting for the answer: the other side sees the end at once."""
    asked, ended = anyio.Event(), anyio.Event()

    async def read_on(stream):
        await stream.receive()
        asked.set()
        try:
            while True:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            ended.set()

    tasks_before = asyncio.all_tasks()
    async with raw_server(read_on, scheme=scheme) as service:
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                context = ssl.create_default_context() if scheme == "https" else None
                tasks.start_soon(lambda: visit_at(service, context=context))
                await asked.wait()
                tasks.cancel_scope.cancel()
            await ended.wait()
    assert asyncio.all_tasks() == tasks_before


@asynccontextmanager
async def raw_server(handler, *, scheme="https"):
    """Hands each TCP connection to a function; has a port and a URL, like a ScriptedService."""

    async def handle(stream):
        async with stream:
            await handler(stream)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        port = listener.extra(SocketAttribute.local_port)
        yield SimpleNamespace(port=port, url=f"{scheme}://127.0.0.1:{port}")
        tasks.cancel_scope.cancel()
