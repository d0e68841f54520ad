"""Ways to reach the diagnostics that are not one's own, tried on real servers byte by byte."""

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.origin.mark import MARK, MARK_HEADER

from tests_support.attacked import (
    BEARER,
    ENABLED,
    SECRET,
    STATUS,
    TOKEN,
    is_ours,
    is_the_apps,
    own_origin,
    wrapped,
)
from tests_support.local_servers import uvicorn_at
from tests_support.raw_http import WEBSOCKET, ask

pytestmark = pytest.mark.anyio

REPLAY = "/_quicktunnel/requests/1/replay"


async def test_who_sits_at_the_machine_is_answered(serve):
    """Every route, and what is no route; the answer is private each time."""
    async with serve(wrapped()) as address:
        for route, status in {
            "": 200,
            "/": 200,
            "/static/app.js": 200,
            "/qr.svg": 404,
            "/live": 426,
            "/status": 200,
            "/ready": 503,
            "/traffic": 200,
            "/metrics": 200,
            "/token": 200,
            "/no-such-page": 404,
        }.items():
            for method in ("GET", "HEAD"):
                answer = await ask(address, f"/_quicktunnel{route}", method=method)
                assert is_ours(answer)
                assert answer.status == status
                assert method == "GET" or answer.body == b""


async def test_other_methods_change_nothing(serve):
    """They are refused, with nothing of the request in the answer and no leave for others."""
    async with serve(wrapped()) as address:
        for method in ("OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH"):
            answer = await ask(address, STATUS, "X-Probe: reflected", method=method)
            assert is_ours(answer), method
            assert answer.status == (405 if method in ("OPTIONS", "TRACE") else 403), method
            assert b"reflected" not in answer.body
            assert b"connector_id" not in answer.body


async def test_dns_rebinding_reaches_the_app(serve):
    """A name of the attacker's that points to 127.0.0.1 is told by the Host of the request."""
    async with serve(wrapped()) as address:
        port = address.rpartition(":")[2]
        for host in (
            f"evil.example:{port}",
            "evil.example",
            f"localhost.evil.example:{port}",
            f"127.0.0.1.nip.io:{port}",
            f"app.localhost:{port}",
            f"localhost:{int(port) - 1}",
            f"127.0.0.1.:{port}",
            f"0.0.0.0:{port}",
            "localhost",
        ):
            for target in (STATUS, TOKEN):
                assert is_the_apps(await ask(address, target, host=host))
            # The page of the attacker's has this origin, and its browser calls it its own.
            own = (f"Origin: http://{host}", "Sec-Fetch-Site: same-origin")
            assert is_the_apps(await ask(address, STATUS, *own, host=host))
            assert is_the_apps(await ask(address, STATUS, *own, host=host, method="POST"))


PROXY_HEADERS = (
    "Forwarded: for=127.0.0.1;host=localhost",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-For: 203.0.113.9, 127.0.0.1",
    "X-Forwarded-Host: localhost",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Port: 80",
    "X-Forwarded-Prefix: /",
    "X-Forwarded-Server: localhost",
    "X-Real-IP: 127.0.0.1",
    "Via: 1.1 localhost",
    "CF-Connecting-IP: 127.0.0.1",
    "Cf-Ray: 8f",
    "Cdn-Loop: cloudflare",
    f"{MARK_HEADER.decode()}: {MARK.decode()}",
    f"{MARK_HEADER.decode()}: x",
    "X-FORWARDED-FOR:",
)


async def test_headers_of_proxies_open_nothing(serve):
    """Whoever forges them only rules himself out, also with the secret."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        for header in PROXY_HEADERS:
            assert is_the_apps(await ask(address, STATUS, header)), header
            assert is_the_apps(await ask(address, STATUS, header, BEARER)), header


OTHER_SPELLINGS = (
    "//_quicktunnel/status",
    "///_quicktunnel/status",
    "/./_quicktunnel/status",
    "/x/../_quicktunnel/status",
    "/x/..;/_quicktunnel/status",
    "/..;/_quicktunnel/status",
    "/%2e/_quicktunnel/status",
    "/%2e%2e/_quicktunnel/status",
    "/%5fquicktunnel/status",
    "/%5Fquicktunnel/status",
    "/_quicktunnel/%73tatus",
    "/_quicktunnel%2fstatus",
    "/_quicktunnel%2Fstatus",
    "/_quicktunnel%5cstatus",
    "/%2f_quicktunnel/status",
    "/_QUICKTUNNEL/status",
    "/_QuickTunnel/status",
    "/_quicktunnel./status",
    "/_quicktunnel.",
    "/_quicktunnel;/status",
    "/_quicktunnel;x=1/status",
    "/_quicktunnel%00/status",
    "/_quicktunnel%20/status",
    "/_quicktunnelx/status",
    "/x/_quicktunnel/status",
    "/_quicktunnel/%2e%2e/_quicktunnel/status",
)


async def test_other_spellings_of_the_path_reach_the_app(serve):
    """A filter in front of the app that knows the plain path need not know any other."""
    async with serve(wrapped()) as address:
        for target in OTHER_SPELLINGS:
            assert is_the_apps(await ask(address, target)), target


DETOURS = (
    "/_quicktunnel/../",
    "/_quicktunnel/../_quicktunnel/status",
    "/_quicktunnel//status",
    "/_quicktunnel/./status",
    "/_quicktunnel/status/",
    "/_quicktunnel/status/.",
    "/_quicktunnel/status;x",
    "/_quicktunnel/STATUS",
)


async def test_detours_below_the_path_lead_nowhere(serve):
    """They are ours and not found: nothing is resolved and nobody is sent elsewhere."""
    async with serve(wrapped()) as address:
        for target in DETOURS:
            answer = await ask(address, target)
            assert is_ours(answer), target
            assert answer.status == 404, target


@pytest.mark.parametrize(
    ("target", "is_answered"),
    [
        ("/api/_quicktunnel/status", True),
        ("/api/api/_quicktunnel/status", False),
        ("/apix/_quicktunnel/status", False),
        ("/api//_quicktunnel/status", False),
        ("/api/../_quicktunnel/status", False),
        ("/x/api/_quicktunnel/status", False),
        ("/API/_quicktunnel/status", False),
    ],
)
async def test_a_root_path_is_looked_through_once(target, is_answered):
    """Below the server's root_path, and below nothing that only looks like it."""
    with anyio.fail_after(10):
        # uvicorn puts its root_path before each path itself, so it is left out of what is asked.
        async with uvicorn_at(wrapped(), root_path="/api") as address:
            answer = await ask(address, target.removeprefix("/api") if is_answered else target)
            assert is_ours(answer) if is_answered else is_the_apps(answer)


async def test_a_mounted_app_is_found_below_its_mount():
    """A framework's Mount sets the root_path for what is within; twice the mount is the app's."""
    outer = Starlette(routes=[Mount("/api", wrapped())])
    with anyio.fail_after(10):
        async with uvicorn_at(outer) as address:
            assert is_ours(await ask(address, "/api/_quicktunnel/status"))
            assert is_the_apps(await ask(address, "/api/api/_quicktunnel/status"))
            assert (await ask(address, STATUS)).status == 404


FOREIGN = (
    ("Origin: https://evil.example",),
    ("Origin: null",),
    ("Origin: http://localhost",),
    ("Origin:",),
    ("Sec-Fetch-Site: cross-site",),
    ("Sec-Fetch-Site: same-site",),
    ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
    ("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
    ("Sec-Fetch-Site: none", "Origin: https://evil.example"),
)


async def test_pages_of_other_sites_reach_the_app(serve):
    """Reading or posting a form, even with the token and the secret, which they can't have."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        token = (await ask(address, TOKEN)).body.decode().split('"')[-2]
        form = {"method": "POST", "body": b"{}"}
        for headers in FOREIGN:
            for more in ((), (f"X-Quicktunnel-Token: {token}",), (BEARER,)):
                for target in (STATUS, TOKEN):
                    assert is_the_apps(await ask(address, target, *headers, *more)), headers
                for kind in ("text/plain", "application/x-www-form-urlencoded"):
                    all_of_it = (f"Content-Type: {kind}", *headers, *more)
                    assert is_the_apps(await ask(address, REPLAY, *all_of_it, **form)), headers


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
async def test_a_change_needs_the_token_of_our_page(serve, content_type):
    """A browser that tells no origin sends a form of another site; the header it can't send."""
    async with serve(wrapped()) as address:
        target, form = REPLAY, {"method": "POST", "body": b"{}"}
        for headers in ((), (own_origin(address),), ("X-Quicktunnel-Token: x",)):
            refused = await ask(address, target, f"Content-Type: {content_type}", *headers, **form)
            assert is_ours(refused)
            assert refused.status == 403
        token = (await ask(address, TOKEN)).body.decode().split('"')[-2]
        trusted = await ask(
            address, target, own_origin(address), f"X-Quicktunnel-Token: {token}", **form
        )
        assert is_ours(trusted)
        assert trusted.status != 403


async def test_websockets_of_other_pages_reach_the_app(serve):
    """Any page may open one to this machine; without our own Origin it is the app's."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        for headers in ((), *FOREIGN):
            for more in ((), (BEARER,)):
                answer = await ask(address, STATUS, *WEBSOCKET, *headers, *more)
                assert answer.status == 101, headers


async def test_a_websocket_of_our_own_page_is_ours(serve):
    """It never reaches the app, which would have taken it; under another Host it would."""
    async with serve(wrapped()) as address:
        own = (*WEBSOCKET, own_origin(address))
        assert (await ask(address, STATUS, *own)).status == 403
        other = (*WEBSOCKET, "Origin: http://evil.example")
        assert (await ask(address, STATUS, *other, host="evil.example")).status == 101


def in_a_stack():
    """Ours within a framework's stack, and outside it a middleware that lets everybody read."""
    app = Starlette(routes=[Route("/{path:path}", PlainTextResponse("the app", 418))])
    app.add_middleware(QuickTunnelASGI, **ENABLED)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])
    return app


def around_all():
    """The same middleware around ours."""
    return CORSMiddleware(wrapped(), allow_origins=["*"], allow_methods=["*"])


@pytest.mark.parametrize("make", [in_a_stack, around_all])
async def test_no_answer_of_ours_is_shared_by_a_cors_middleware(serve, make):
    """It adds its headers to what has an Origin, and none of that is ours."""
    async with serve(make()) as address:
        assert is_ours(await ask(address, STATUS))
        assert is_ours(await ask(address, STATUS, "Sec-Fetch-Site: same-origin"))
        for origin in ("https://evil.example", "null"):
            answer = await ask(address, STATUS, f"Origin: {origin}")
            assert (answer.status, answer.body) == (418, b"the app")
            assert answer.header("access-control-allow-origin") == "*"
            assert answer.header("x-frame-options") is None
        preflight = await ask(
            address,
            STATUS,
            "Origin: https://evil.example",
            "Access-Control-Request-Method: POST",
            method="OPTIONS",
        )
        assert preflight.status == 200  # the middleware's own word
        posted = await ask(address, STATUS, "Origin: https://evil.example", method="POST")
        assert posted.header("x-frame-options") is None
