"""Who comes through a proxy, a tunnel or from another host, tried on real servers byte by byte."""

import logging

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.origin.mark import MARK_HEADER

from tests_support.attacked import BEARER, SECRET, STATUS, TOKEN, is_ours, is_the_apps, wrapped
from tests_support.local_servers import uvicorn_at
from tests_support.raw_http import WEBSOCKET, ask
from tests_support.reverse_proxy import reverse_proxy_to

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_reverse_proxy_that_tells_of_its_visitors_reaches_the_app(serve):
    """Whatever it says as Host, X-Forwarded-For gives it away."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        for host in (None, address, "localhost"):
            async with reverse_proxy_to(address, host=host) as front:
                for header in ("X-Probe: 1", BEARER):
                    assert is_the_apps(await ask(front, STATUS, header))


@pytest.mark.slow
async def test_a_reverse_proxy_that_tells_nothing_is_told_by_its_host(serve):
    """Visitors ask for another name or port than the server's, and it passes that on."""
    async with serve(wrapped()) as address:
        async with reverse_proxy_to(address, forwards=False) as front:
            assert is_the_apps(await ask(front, STATUS))
            assert is_the_apps(await ask(front, STATUS, host="shop.example"))


async def test_a_reverse_proxy_that_speaks_http_1_0_is_told_by_that(serve):
    """So nginx asks by default, up to its late releases, with the server's own name as Host."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        for headers in ((), (BEARER,)):
            assert is_the_apps(await ask(address, STATUS, *headers, version="1.0"))


@pytest.mark.slow
async def test_a_reverse_proxy_that_hides_is_not_told_from_a_person(serve):
    """One on this machine that adds nothing and rewrites Host looks like a local visitor.

    The README says so, and what to do. The browsers of its visitors are still told: by the origin
    of their pages.
    """
    async with serve(wrapped()) as address:
        async with reverse_proxy_to(address, host=address, forwards=False) as front:
            assert (await ask(front, STATUS)).status == 200
            origin = "Origin: https://shop.example"
            assert is_the_apps(await ask(front, STATUS, origin))
            assert is_the_apps(await ask(front, STATUS, "Sec-Fetch-Site: cross-site"))
            assert is_the_apps(await ask(front, STATUS, origin, method="POST"))


async def test_a_secret_is_for_those_who_come_straight(serve):
    """It opens under any name of the server, by header or once in the query, and with no other."""
    async with serve(wrapped(diagnostics_token=SECRET)) as address:
        away = {"host": "devbox:8000"}
        assert is_the_apps(await ask(address, STATUS, **away))
        assert is_ours(await ask(address, STATUS, BEARER, **away))
        for wrong in (BEARER[:-1], BEARER + "x", f"Authorization: Basic {SECRET}"):
            assert is_the_apps(await ask(address, STATUS, wrong, **away))
        assert is_the_apps(await ask(address, f"{STATUS}?token={SECRET[:-1]}", **away))
        first = await ask(address, f"{STATUS}?token={SECRET}", **away)
        assert is_ours(first)
        assert (first.status, first.header("location")) == (303, STATUS)
        cookie, *attributes = first.header("set-cookie").split("; ")
        assert attributes == ["Path=/_quicktunnel", "HttpOnly", "SameSite=Strict"]
        assert SECRET not in cookie
        assert is_ours(await ask(address, STATUS, f"Cookie: a=b; {cookie}", **away))
        assert is_the_apps(await ask(address, STATUS, f"Cookie: {cookie}x", **away))
        cross = "Sec-Fetch-Site: cross-site"
        assert is_the_apps(await ask(address, STATUS, f"Cookie: {cookie}", cross, **away))
        assert is_the_apps(await ask(address, f"{STATUS}?token={SECRET}", cross, **away))
        own = (*WEBSOCKET, "Origin: http://devbox:8000")
        assert (await ask(address, STATUS, *own, f"Cookie: {cookie}", **away)).status == 403
        assert (await ask(address, STATUS, *own, BEARER, **away)).status == 403
        assert (await ask(address, STATUS, *own, **away)).status == 101
        assert (await ask(address, f"{STATUS}?token={SECRET}", *own, **away)).status == 101


async def test_the_secret_is_in_no_log(caplog):
    """uvicorn's access log has the request without it; nothing else speaks of it."""
    with anyio.fail_after(10), caplog.at_level(logging.DEBUG):
        app = wrapped(diagnostics_token=SECRET)
        async with uvicorn_at(app, log_level="trace", log_config=None) as address:
            answer = await ask(address, f"{STATUS}?token={SECRET}&a=1", host="devbox:8000")
            assert answer.status == 303
            assert (await ask(address, STATUS, BEARER)).status == 200
    assert f"GET {STATUS}?a=1 HTTP/1.1" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(app)


SPELLINGS = (
    STATUS,
    TOKEN,
    "/_quicktunnel",
    "/_quicktunnel/metrics",
    "//_quicktunnel/status",
    "/%5fquicktunnel/status",
    "/x/../_quicktunnel/status",
    "/_quicktunnel/../_quicktunnel/status",
    "/_quicktunnel%2fstatus",
)


async def try_from_outside(tunnel, address):
    """Ask for the diagnostics through a tunnel, in every way, and get the app each time."""
    public = tunnel.url.partition("://")[2]
    front = f"127.0.0.1:{public.rpartition(':')[2]}"
    for target in SPELLINGS:
        assert is_from_the_app(await ask(front, target, host=public))
    own = f"Origin: http://{address}"
    for headers in (
        ("Sec-Fetch-Site: none",),
        (own, "Sec-Fetch-Site: same-origin"),
        (f"X-Forwarded-Host: {address}", "X-Forwarded-For: 127.0.0.1"),
        ("CF-Connecting-IP: 127.0.0.1",),
        (f"{MARK_HEADER.decode()}: x",),
        (BEARER,),
    ):
        assert is_from_the_app(await ask(front, STATUS, *headers, host=public))
        assert is_from_the_app(await ask(front, STATUS, *headers, host=public, method="POST"))
    assert is_from_the_app(await ask(front, f"{STATUS}?token={SECRET}", host=public))
    own_page = (*WEBSOCKET, f"Origin: http://{public}", BEARER)
    assert (await ask(front, STATUS, *own_page, host=public)).status == 101


def is_from_the_app(answer):
    return answer.status == 418 and answer.header("x-frame-options") is None


@pytest.mark.slow
async def test_nothing_is_reached_through_a_tunnel_in_process(local_edge):
    """The mark is an object in the scope: no header takes it away."""
    app = wrapped(diagnostics_token=SECRET)
    with anyio.fail_after(20):
        async with (
            uvicorn_at(app) as address,
            # The tunnel enters through our own middleware, as a mounted app's would.
            QuickTunnel(app, local_edge.config()) as tunnel,
        ):
            assert is_ours(await ask(address, STATUS))
            await try_from_outside(tunnel, address)


@pytest.mark.slow
@pytest.mark.parametrize("rewrites_host", [False, True])
async def test_nothing_is_reached_through_a_tunnel_to_a_port(local_edge, serve, rewrites_host):
    """The pool's mark tells, also where the server sees its own name as the Host."""
    with anyio.fail_after(20):
        async with serve(wrapped(diagnostics_token=SECRET)) as address:
            options = {"host_header": address} if rewrites_host else {}
            async with QuickTunnel(address, local_edge.config(**options)) as tunnel:
                assert is_ours(await ask(address, STATUS))
                await try_from_outside(tunnel, address)
