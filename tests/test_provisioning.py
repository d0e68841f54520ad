"""Asking for a tunnel over real sockets: what is sent, what is tried again, what is trusted."""

import base64
import gc
import logging
import os
import socket
import subprocess
import sys

import anyio
import pytest

from asgi_quicktunnel.errors import ConfigError, ProvisioningError, RateLimited
from asgi_quicktunnel.provisioning import RETRY_DELAYS, request_tunnel

from tests_support.certificates import CertificateAuthority
from tests_support.scripted_http import (
    HANG_UP,
    SILENCE,
    ForwardProxy,
    ScriptedService,
    response,
)

pytestmark = pytest.mark.anyio

SECRET = base64.b64encode(bytes(range(224, 256))).decode()
HOSTNAME = "four-random-words-here.trycloudflare.com"
GRANTED = response(
    200,
    {
        "success": True,
        "result": {
            "id": "1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
            "name": "qt-abc",
            "hostname": HOSTNAME,
            "account_tag": "0123456789abcdef0123456789abcdef",
            "secret": SECRET,
        },
        "errors": [],
    },
)


class Naps:
    """A sleep that takes no time and remembers how long it should have."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


async def ask(url, **options):
    """One request for a tunnel that never really waits."""
    options = {"user_agent": "test/1", "sleep": Naps(), **options}
    with anyio.fail_after(10):
        return await request_tunnel(url, **options)


async def refusal(url, **options):
    with pytest.raises(ProvisioningError) as caught:
        await ask(url, **options)
    return caught.value


def closed_port(host="127.0.0.1"):
    """A port where nothing listens; bound and released, so it was free a moment ago."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        return server.getsockname()[1]


def can_bind(host):
    """Whether this machine has the address."""
    try:
        closed_port(host)
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not can_bind("::1"), reason="no IPv6 here")
needs_all_of_127 = pytest.mark.skipif(not can_bind("127.8.8.8"), reason="only 127.0.0.1 here")


async def test_the_request_is_the_one_the_service_knows():
    """One POST to /tunnel without a body, with our user agent, brings the credentials."""
    async with ScriptedService(GRANTED) as service:
        credentials = await ask(service.url, user_agent="asgi-quicktunnel/1.2")

    assert credentials.url == f"https://{HOSTNAME}"
    (request,) = service.requests
    assert (request.method, request.target, request.body) == ("POST", "/tunnel", b"")
    assert {name: request.headers.get(name) for name in EXPECTED_HEADERS} == {
        **EXPECTED_HEADERS,
        "host": f"127.0.0.1:{service.port}",
    }


EXPECTED_HEADERS = {
    "content-type": "application/json",
    "content-length": "0",
    "user-agent": "asgi-quicktunnel/1.2",
    "accept-encoding": "identity",
    "host": "",
    "cookie": None,
    "authorization": None,
}


@pytest.mark.parametrize(
    ("suffix", "target"),
    [("/", "/tunnel"), ("/base", "/base/tunnel"), ("/base/?key=1#part", "/base/tunnel?key=1")],
)
async def test_a_path_of_the_service_is_kept(suffix, target):
    """The service may live under a path, and its address may hold a query."""
    async with ScriptedService(GRANTED) as service:
        await ask(service.url + suffix)

    assert [request.target for request in service.requests] == [target]


async def test_user_and_password_become_basic_authentication(caplog):
    """Credentials in the address are sent, and appear in no message and no log line."""
    caplog.set_level(logging.DEBUG)
    async with ScriptedService(response(404)) as service:
        error = await refusal(f"http://me:pa%20ss@127.0.0.1:{service.port}")

    authorization = base64.b64encode(b"me:pa ss").decode()
    assert service.requests[0].headers["authorization"] == f"Basic {authorization}"
    assert str(error).startswith(f"POST {service.url}/tunnel answered 404")
    assert "pa%20ss" not in caplog.text
    assert authorization not in caplog.text


@pytest.mark.parametrize("failure", [response(500), response(503, "<html>"), HANG_UP, b"garbage"])
async def test_faults_are_tried_again(failure, caplog):
    """After a 5xx status, a lost connection or no HTTP at all the request is sent again."""
    caplog.set_level(logging.INFO, "asgi_quicktunnel")
    sleep = Naps()
    async with ScriptedService(failure, failure, GRANTED) as service:
        credentials = await ask(service.url, sleep=sleep)

    assert credentials.hostname == HOSTNAME
    assert len(service.requests) == 3
    assert sleep.seconds == [1.0, 2.0]
    assert [r.getMessage().rpartition("; ")[2] for r in caplog.records] == [
        "next try in 1 s",
        "next try in 2 s",
    ]


async def test_after_three_more_tries_it_gives_up():
    """The fourth failure is the last; the error says so, and may be worth a try later."""
    sleep = Naps()
    async with ScriptedService(response(503, "overloaded")) as service:
        error = await refusal(service.url, sleep=sleep)

    assert len(service.requests) == 4
    assert tuple(sleep.seconds) == RETRY_DELAYS == (1.0, 2.0, 4.0)
    assert str(error) == (
        f'POST {service.url}/tunnel (try 4 of 4) answered 503: "overloaded"; '
        "the service has a fault, so try again later"
    )
    assert (error.status, error.retryable) == (503, True)


@pytest.mark.parametrize(
    "answer",
    [
        response(400),
        response(403, "error code: 1010"),
        response(404, "<html>"),
        response(302, Location="/elsewhere"),
        response(200, {"success": False, "errors": [{"code": 1, "message": "no"}]}),
        response(200, {"success": True, "result": None}),
        response(200, "not JSON"),
        response(204),
    ],
)
async def test_a_refusal_is_final(answer):
    """No other answer is tried again."""
    sleep = Naps()
    async with ScriptedService(answer, GRANTED) as service:
        error = await refusal(service.url, sleep=sleep)

    assert (len(service.requests), sleep.seconds, error.retryable) == (1, [], False)


async def test_a_rate_limit_is_not_tried_again():
    """429 ends the attempt at once and hands on how long the service asked to wait."""
    async with ScriptedService(response(429, "error code: 1015", Retry_After="60")) as service:
        error = await refusal(service.url)

    assert isinstance(error, RateLimited)
    assert (error.status, error.retry_after, len(service.requests)) == (429, 60.0, 1)


async def test_an_unreachable_service_is_a_network_error():
    """A refused connection names the address, the reason and what to check."""
    sleep = Naps()
    port = closed_port()
    error = await refusal(f"http://127.0.0.1:{port}", sleep=sleep)

    assert str(error) == (
        f"POST http://127.0.0.1:{port}/tunnel (try 4 of 4) got no answer (connection refused); "
        "check the network, a firewall, the proxy variables (HTTPS_PROXY, NO_PROXY) and the "
        "option service_url"
    )
    assert (error.status, error.retryable, len(sleep.seconds)) == (None, True, 3)
    assert error.__cause__ is not None


async def test_a_name_that_does_not_resolve_is_a_network_error():
    """A host the resolver refuses is reported in the resolver's words."""
    error = await refusal("http://" + ".".join(["a" * 63] * 5))

    assert "(try 4 of 4) got no answer (" in str(error)
    assert isinstance(error.__cause__, Exception)


@pytest.mark.parametrize("answer", [SILENCE, GRANTED[:-1], GRANTED[:40]])
async def test_a_service_that_stalls_is_given_up(answer):
    """The timeout covers the whole exchange, and a stalled one is tried again."""
    head, _, _ = answer.partition(b"Connection: close\r\n")
    sleep = Naps()
    async with StallingService(head if answer != SILENCE else b"") as service:
        error = await refusal(service.url, timeout=0.05, sleep=sleep)

    assert str(error).startswith(
        f"POST {service.url}/tunnel (try 4 of 4) got no complete answer within 0.05 s; check the"
    )
    assert (error.retryable, len(sleep.seconds)) == (True, 3)


class StallingService(ScriptedService):
    """Sends the beginning of an answer and then nothing."""

    async def handle(self, reader, writer):
        await reader.read(1)
        writer.write(self._answers[0])
        await reader.read()


async def test_a_trickling_service_is_given_up():
    """An answer that never ends but never pauses either is cut by the timeout too."""
    async with TricklingService() as service:
        error = await refusal(service.url, timeout=0.2, sleep=Naps())

    assert "got no complete answer within 0.2 s" in str(error)


class TricklingService(ScriptedService):
    async def handle(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await anyio.sleep(0.01)


async def test_an_endless_answer_is_not_read_to_its_end():
    """Reading stops soon after 64 KiB."""
    async with FloodingService() as service:
        error = await refusal(service.url, timeout=8)

    assert "answered 200 with more than 64 KiB" in str(error)


class FloodingService(ScriptedService):
    async def handle(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()


async def test_cancellation_passes():
    """A cancelled request ends at once and raises nothing of its own."""
    async with ScriptedService(SILENCE) as service:
        with anyio.move_on_after(0.05) as scope:
            await request_tunnel(service.url, user_agent="test/1")

    assert scope.cancelled_caught


async def test_the_secret_is_in_no_log_line(caplog):
    """At the finest level, of this package and all it uses, no record holds the secret."""
    caplog.set_level(logging.DEBUG)
    broken = GRANTED.replace(b'"id": "1f0e2d3c', b'"id": "zzzzzzzz')
    async with ScriptedService(response(500), GRANTED, broken) as service:
        credentials = await ask(service.url)
        error = await refusal(service.url)

    assert len(caplog.records) > 10
    assert SECRET not in caplog.text + repr(credentials) + repr(error)
    assert SECRET.encode() not in b"".join(repr(vars(r)).encode() for r in caplog.records)


# Names of this machine.


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "A.B.LOCALHOST", "api.localhost."])
async def test_localhost_names_need_no_resolver(host):
    """A name under .localhost reaches 127.0.0.1 and is sent as the Host."""
    async with ScriptedService(GRANTED) as service:
        await ask(f"http://{host}:{service.port}")

    assert service.requests[0].headers["host"] == f"{host.lower()}:{service.port}"


@needs_ipv6
async def test_localhost_may_be_the_ipv6_address():
    """Where nothing listens on 127.0.0.1, ::1 is tried."""
    async with ScriptedService(GRANTED, host="::1") as service:
        credentials = await ask(f"http://api.localhost:{service.port}")
        await ask(f"http://[::1]:{service.port}")

    assert credentials.hostname == HOSTNAME
    assert service.requests[1].headers["host"] == f"[::1]:{service.port}"


async def test_an_unreachable_localhost_is_reported_once():
    """With neither address reachable the first one's reason is given."""
    error = await refusal(f"http://api.localhost:{closed_port()}")

    assert "api.localhost" in str(error)
    assert "(connection refused)" in str(error)


# Trust.


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "api.localhost"])
async def test_ca_file_vouches_for_the_service(authority, host):
    """A service whose certificate chains to `ca_file` and covers its name is trusted."""
    tls = authority.server_context("127.0.0.1", "api.localhost")
    async with ScriptedService(GRANTED, tls=tls) as service:
        await ask(f"https://{host}:{service.port}", ca_file=authority.ca_file)

    assert service.server_names[0] in (host, None)


@pytest.mark.parametrize(
    ("host", "with_ca_file", "why"),
    [
        ("api.localhost", False, "unable to get local issuer certificate"),
        ("other.localhost", True, "Hostname mismatch"),
        ("127.0.0.1", True, "IP address mismatch"),
    ],
)
async def test_a_service_that_cannot_be_verified_is_not_asked(authority, host, with_ca_file, why):
    """A wrong authority or name ends the attempt at once, before anything is sent."""
    tls = authority.server_context("api.localhost")
    sleep = Naps()
    async with ScriptedService(GRANTED, tls=tls) as service:
        error = await refusal(
            f"https://{host}:{service.port}",
            ca_file=authority.ca_file if with_ca_file else None,
            sleep=sleep,
        )

    assert f"{host}:{service.port}/tunnel was not sent, because the service's cert" in str(error)
    assert why in str(error)
    assert "SSL_CERT_FILE or the option ca_file" in str(error)
    assert (service.requests, sleep.seconds, error.retryable) == ([], [], False)


async def test_a_service_that_speaks_no_tls_is_a_network_error(authority):
    """Plain HTTP where TLS was expected is tried again like any fault of the network."""
    async with HastyService(response(400)) as service:
        error = await refusal(f"https://127.0.0.1:{service.port}", ca_file=authority.ca_file)

    assert "(try 4 of 4) got no answer" in str(error)


class HastyService(ScriptedService):
    """Answers before it is asked."""

    async def handle(self, reader, writer):
        writer.write(self._answers[0])
        await writer.drain()


async def test_a_stalled_tls_handshake_is_given_up(authority):
    """A third of the timeout is for the handshake, and no socket stays open after it."""
    async with StallingService(b"") as service:
        error = await refusal(
            f"https://127.0.0.1:{service.port}", ca_file=authority.ca_file, timeout=0.3
        )
        gc.collect()  # a socket left open would be a warning here

    assert "(try 4 of 4) found no connection within 0.1 s; check the network" in str(error)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_ca_file_is_a_config_error(tmp_path, content):
    """A ca_file that is absent or holds no certificate is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ConfigError, match=r"ca_file='.*ca\.pem' can't be used: .*PEM") as caught:
        await ask("https://127.0.0.1:1", ca_file=str(path))

    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "127.0.0.1:80", "http://a:port"])
async def test_an_unusable_service_url_is_a_config_error(url):
    """An address that is not http or https is refused before anything is sent."""
    with pytest.raises(ConfigError, match="service_url can't be used: "):
        await ask(url)


# Proxy variables are read from the process's environment, so these run in processes of their own.

ASK = """
import asyncio, sys
names = []
sys.addaudithook(lambda event, args: event == "socket.getaddrinfo" and names.append(args[0]))
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.provisioning import request_tunnel
async def no_wait(seconds): pass
url, ca_file = sys.argv[1:]
try:
    print(asyncio.run(request_tunnel(
        url, user_agent="test/1", ca_file=ca_file or None, sleep=no_wait)).hostname)
except QuickTunnelError as exc:
    print(type(exc).__name__, exc)
print("looked up:", *[name for name in names if name and not name[0].isdigit()])
"""


async def ask_with_environment(url, environ, ca_file=""):
    """What a process with these variables prints: its answer, and the names it looked up."""
    clean = {name: os.environ[name] for name in os.environ if "proxy" not in name.lower()}
    with anyio.fail_after(20):
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-c", ASK, url, ca_file],
            env={**clean, **environ},
            stderr=subprocess.STDOUT,
        )
    answer, names = done.stdout.decode().splitlines()
    return answer, names.removeprefix("looked up:").strip()


@pytest.mark.slow
async def test_http_proxy_is_honoured():
    """HTTP_PROXY carries the request for a service elsewhere, whose name it resolves."""
    async with ScriptedService(GRANTED) as service, ForwardProxy(service.port) as proxy:
        environ = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        answer, names = await ask_with_environment("http://api.service.test", environ)

    assert (answer, names, proxy.asked) == (HOSTNAME, "", ["api.service.test"])
    assert service.requests[0].headers["host"] == "api.service.test"


@pytest.mark.slow
async def test_https_proxy_is_honoured(authority):
    """HTTPS_PROXY tunnels the request; the service's own certificate is verified through it."""
    tls = authority.server_context("api.service.test")
    async with ScriptedService(GRANTED, tls=tls) as service, ForwardProxy(service.port) as proxy:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        good, bad = "https://api.service.test", "https://other.service.test"
        answer, names = await ask_with_environment(good, environ, authority.ca_file)
        refused, _ = await ask_with_environment(bad, environ, authority.ca_file)

    assert (answer, names) == (HOSTNAME, "")
    assert proxy.asked == ["api.service.test:443", "other.service.test:443"]
    assert refused.startswith("ProvisioningError POST https://other.service.test/tunnel was not")
    assert len(service.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("api.localhost", "127.0.0.1"),
        pytest.param("127.8.8.8", "127.8.8.8", marks=needs_all_of_127),
        pytest.param("[::1]", "::1", marks=needs_ipv6),
    ],
)
async def test_no_proxy_is_used_for_this_machine(host, address):
    """A service on this machine is reached directly, whatever the proxy variables say."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    environ = {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere}
    async with ScriptedService(GRANTED, host=address) as service:
        answer, names = await ask_with_environment(f"http://{host}:{service.port}", environ)

    assert (answer, names) == (HOSTNAME, "")


@pytest.mark.slow
async def test_no_proxy_variable_is_honoured():
    """NO_PROXY exempts a host, which is then reached directly, or not at all."""
    async with ScriptedService(GRANTED) as service, ForwardProxy(service.port) as proxy:
        environ = {"http_proxy": f"http://127.0.0.1:{proxy.port}", "no_proxy": "0.0.0.0"}
        answer, _ = await ask_with_environment(f"http://0.0.0.0:{service.port}", environ)

    assert (answer, proxy.asked) == (HOSTNAME, [])


@pytest.mark.slow
async def test_a_proxy_that_does_not_answer_is_a_network_error():
    """A proxy that can't be reached is reported with the variables to check, not its password."""
    environ = {"http_proxy": f"http://me:hush@127.0.0.1:{closed_port()}"}
    answer, _ = await ask_with_environment("http://api.service.test", environ)

    assert "got no answer (connection refused); check the network, a firewall, the proxy" in answer
    assert "hush" not in answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("proxy", "why"),
    [("odd://me:hush@127.0.0.1:1", "Unknown scheme"), ("http://127.0.0.1:port", "Invalid port")],
)
async def test_an_unusable_proxy_variable_is_named(proxy, why):
    """A proxy variable that is no address is a ProvisioningError without its password."""
    answer, _ = await ask_with_environment("http://api.service.test", {"http_proxy": proxy})

    assert answer.startswith("ProvisioningError a proxy variable (HTTP_PROXY, HTTPS_PROXY, ")
    assert why in answer
    assert "hush" not in answer


@pytest.mark.slow
async def test_a_proxy_port_out_of_range_is_a_network_error():
    """Even a port that no socket can have ends in a ProvisioningError."""
    environ = {"http_proxy": "http://127.0.0.1:99999"}
    answer, _ = await ask_with_environment("http://api.service.test", environ)

    assert answer.startswith("ProvisioningError POST http://api.service.test/tunnel (try 4 of 4)")


@pytest.mark.slow
async def test_ssl_cert_file_vouches_for_the_service(authority, tmp_path):
    """SSL_CERT_FILE replaces the default roots for the service, and is named when unusable."""
    (tmp_path / "empty.pem").touch()
    tls = authority.server_context("127.0.0.1")
    async with ScriptedService(GRANTED, tls=tls) as service:
        answer, _ = await ask_with_environment(
            f"https://127.0.0.1:{service.port}", {"SSL_CERT_FILE": authority.ca_file}
        )
        refused, _ = await ask_with_environment(
            f"https://127.0.0.1:{service.port}", {"SSL_CERT_FILE": str(tmp_path / "empty.pem")}
        )

    assert answer == HOSTNAME
    assert refused.startswith("ConfigError SSL_CERT_FILE or SSL_CERT_DIR can't be used: ")
