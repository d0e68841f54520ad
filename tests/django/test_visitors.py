"""Requests of the tunnel and others, as the project sees them.

Each is asked of the real handler: in process through `AsgiOrigin`, and through `TcpOrigin` of the
server that `runserver` has.
"""

import contextlib
import copy
import json
import pickle
import re
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.test import override_settings

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.django.current import current
from asgi_quicktunnel.django.visitors import KnownHost, PublicAddress
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.mark import MARK

from tests_support.django_project import wsgi_server
from tests_support.fake_stream import FakeStream

pytestmark = pytest.mark.anyio
HOST = "four-random-test-words.trycloudflare.com"
URL = f"https://{HOST}"
MODES = ("in process", "proxy")


class Answer:
    def __init__(self, stream):
        self.status = stream.response.status
        self.headers = [(name.decode(), value.decode()) for name, value in stream.response.headers]
        self.body = bytes(stream.sent)
        self.text = self.body.decode()

    @property
    def facts(self):
        assert self.status == 200, self.text
        return json.loads(self.text)

    def header(self, wanted):
        return next((value for name, value in self.headers if name == wanted), None)


class Site:
    """A project behind a tunnel whose URL is `URL`, and its visitors."""

    def __init__(self, tunnel, address):
        self.tunnel = tunnel
        self.address = address

    async def visit(self, path="/", *, host=HOST, method="GET", body=None, **headers):
        """Ask through the tunnel; the edge's own headers are those of a visitor over HTTPS."""
        headers = {"cf_connecting_ip": "203.0.113.9", "x_forwarded_proto": "https", **headers}
        pairs = [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
            if value is not None
        ]
        if body is not None:
            pairs.append((b"content-length", b"%d" % len(body)))
        head = RequestHead(
            kind=RequestKind.HTTP,
            dest=path.encode(),
            method=method,
            host=host.encode(),
            headers=pairs,
        )
        stream = FakeStream(head)
        stream.feed(body or b"")
        stream.feed_eof()
        await self.tunnel._origin.serve(stream, ConnectionFacts(0, "bog01"))
        return Answer(stream)

    async def neighbour(self, path="/", *, host="localhost", **headers):
        """Ask the server itself, from this machine."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        transport = None
        if self.address is None:
            transport = httpx.ASGITransport(get_asgi_application(), client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(
                f"http://{self.address or 'localhost:8000'}{path}",
                headers={"host": host, **headers},
            )


@asynccontextmanager
async def site(mode, **options):
    """`async with site(mode) as site`; the tunnel's origin is asked without an edge before it."""
    with anyio.fail_after(30), contextlib.ExitStack() as stack:
        address = stack.enter_context(wsgi_server()) if mode == "proxy" else None
        tunnel = QuickTunnel(address or get_asgi_application(), **options)
        tunnel._origin.public_url = URL
        current.adopt(tunnel)
        try:
            yield Site(tunnel, address)
        finally:
            await tunnel._origin.aclose()


SETTINGS = {
    "empty under DEBUG": {"DEBUG": True, "ALLOWED_HOSTS": []},
    "set": {"DEBUG": False, "ALLOWED_HOSTS": ["shop.example"]},
    "*": {"DEBUG": False, "ALLOWED_HOSTS": ["*"]},
}
VISITORS = {
    "empty under DEBUG": {"localhost": 400, HOST: 200, "evil.example": 400},
    "set": {"localhost": 400, HOST: 200, "evil.example": 400, "shop.example": 200},
    "*": {"localhost": 200, HOST: 200, "evil.example": 200},
}
NEIGHBOURS = {
    "empty under DEBUG": {"localhost": 200, HOST: 400, "evil.example": 400},
    "set": {"localhost": 400, HOST: 400, "evil.example": 400, "shop.example": 200},
    "*": {"localhost": 200, HOST: 200, "evil.example": 200},
}


@pytest.mark.parametrize("mode", MODES)
async def test_hosts(mode):
    """The tunnel's host is allowed to visitors of the tunnel alone, and no setting changes."""
    async with site(mode) as shop:
        for allowed, settings in SETTINGS.items():
            with override_settings(**settings):
                for host, status in VISITORS[allowed].items():
                    answer = await shop.visit(host=host)
                    assert (host, answer.status) == (host, status)
                for host, status in NEIGHBOURS[allowed].items():
                    answer = await shop.neighbour(host=host)
                    assert (host, answer.status_code) == (host, status)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["/", "/async"])
async def test_a_visitor_is_seen_as_one(mode, path):
    """Scheme, host, port and address are the visitor's, in sync and in async views."""
    async with site(mode) as shop:
        with override_settings(**SETTINGS["set"]):
            visitor = (await shop.visit(path)).facts
            old_fashioned = (await shop.visit(path, x_forwarded_proto="http")).facts
            neighbour = (await shop.neighbour(path, host="shop.example:8000")).json()
    assert visitor == {
        "host": HOST,
        "scheme": "https",
        "is_secure": True,
        "port": "443",
        "absolute": f"{URL}/x",
        "address": "203.0.113.9",
        "from_tunnel": True,
        "url": None,  # the tunnel is not up
        "marked": [],
    }
    assert old_fashioned["scheme"] == "http"
    assert neighbour["from_tunnel"] is False
    assert (neighbour["scheme"], neighbour["address"]) == ("http", "127.0.0.1")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("told", [None, "127.0.0.1", "::1", "nonsense"])
async def test_an_unknown_visitor_is_nobody(mode, told):
    """Never this machine, which projects trust."""
    async with site(mode) as shop:
        assert (await shop.visit(cf_connecting_ip=told)).facts["address"] == ""


@pytest.mark.parametrize("mode", MODES)
async def test_a_mark_that_was_made_up_is_worth_nothing(mode):
    """Neither from a visitor nor from a neighbour; no view sees one."""
    async with site(mode) as shop:
        with override_settings(**SETTINGS["*"]):
            for mark in ("0" * 32, "", "é"):
                header = mark.encode("latin-1")
                neighbour = (await shop.neighbour(x_quicktunnel_mark=header)).json()
                assert (neighbour["from_tunnel"], neighbour["marked"]) == (False, [])
            visitor = (await shop.visit(x_quicktunnel_mark=MARK.decode())).facts
    assert (visitor["from_tunnel"], visitor["marked"]) == (True, [])


@pytest.mark.parametrize("mode", MODES)
async def test_forms_work_from_the_public_page_and_from_no_other(mode):
    """CSRF holds by itself: same origin passes, cross origin is refused."""
    async with site(mode) as shop:
        with override_settings(**SETTINGS["set"]):
            page = await shop.visit("/form")
            token = re.search('value="([^"]+)"', page.text)[1]
            cookie = page.header("set-cookie").partition(";")[0]
            body = f"csrfmiddlewaretoken={token}&text=hello".encode()

            async def post(**headers):
                return await shop.visit(
                    "/form",
                    method="POST",
                    body=body,
                    cookie=cookie,
                    content_type="application/x-www-form-urlencoded",
                    **headers,
                )

            assert (await post(origin=URL)).text == "got hello"
            assert (await post(referer=f"{URL}/form")).text == "got hello"
            for refused in (
                {"origin": "https://evil.example"},
                {"origin": f"http://{HOST}"},
                {"origin": "null"},
                {"referer": "https://evil.example/"},
                {},
            ):
                assert (refused, (await post(**refused)).status) == (refused, 403)


@pytest.mark.parametrize("mode", MODES)
async def test_redirects_lead_to_the_public_url(mode):
    """SECURE_SSL_REDIRECT sends visitors of http once to https, and no further."""
    with override_settings(**SETTINGS["set"], SECURE_SSL_REDIRECT=True):
        async with site(mode) as shop:
            plain = await shop.visit("/a?b", x_forwarded_proto="http")
            secure = await shop.visit("/")
    assert (plain.status, plain.header("location")) == (301, f"{URL}/a?b")
    assert secure.status == 200


@pytest.mark.parametrize("mode", MODES)
async def test_a_forwarded_host_of_the_visitors_own_does_not_count(mode):
    """Where the project believes X-Forwarded-Host, too."""
    async with site(mode) as shop:
        with override_settings(**SETTINGS["set"], USE_X_FORWARDED_HOST=True):
            answer = await shop.visit(x_forwarded_host="evil.example")
    assert answer.facts["host"] == HOST


async def test_a_replaced_host_counts_as_the_public_one():
    """With `host_header` the server sees another Host, and the project the public one."""
    async with site("proxy", host_header="localhost:8000") as shop:
        with override_settings(**SETTINGS["set"]):
            assert (await shop.visit()).facts["host"] == HOST
            assert (await shop.visit(host="evil.example")).status == 400


@pytest.mark.parametrize(
    ("url", "header", "expected"),
    [
        (URL, HOST, True),
        (URL, HOST.upper(), True),
        (URL, f"{HOST}.", True),
        (URL, f"{HOST}:443", True),
        (URL, f"{HOST}:80", False),
        (URL, f"{HOST}:", False),
        (URL, f"x.{HOST}", False),
        (URL, f"{HOST}@evil.example", False),
        (URL, f"evil.example#{HOST}", False),
        (URL, "", False),
        ("http://a.localhost:8123", "a.localhost:8123", True),
        ("http://a.localhost:8123", "a.localhost", False),
        ("http://a.localhost", "a.localhost:80", True),
    ],
)
def test_exactly_the_tunnels_host(url, header, expected):
    """Host and port both; case and the root's dot don't matter."""
    assert PublicAddress.of(url).is_host(header) is expected


def test_what_replaces_get_host_can_be_copied():
    """Requests are copied and pickled by some."""
    known = KnownHost(HOST)
    assert copy.copy(known)() == pickle.loads(pickle.dumps(known))() == HOST
