"""The URL is announced once it works, and no resolver is spoiled on the way."""

import asyncio
import logging

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.events import Registered, RequestDone, TunnelReady

pytestmark = pytest.mark.anyio
DOMAIN = "quicktunnel.test"


class App:
    """Remembers the paths it was asked for."""

    def __init__(self):
        self.paths = []

    async def __call__(self, scope, receive, send):
        self.paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_the_url_is_announced_when_its_name_is_published_and_answers(tls):
    """The name does not exist at first; it is asked of its own server alone, then visited."""
    app, events = App(), []
    with anyio.fail_after(30):
        async with LocalEdge(domain=DOMAIN, publish_delay=1.3, tls=tls) as edge:
            tunnel = QuickTunnel(app, edge.config(ha_connections=1))
            tunnel.add_listener(events.append)
            await tunnel.start()
            record = await edge.wait_registered()
            assert tunnel.url is None
            await tunnel.wait_ready()
            assert tunnel.url == record.url

            kinds = [type(event) for event in events]
            assert kinds.index(Registered) < kinds.index(TunnelReady)
            assert not any(isinstance(event, RequestDone) for event in events)
            assert app.paths == []
            names = [query.name for query in edge.zone.queries]
            assert set(names) == {record.name}
            assert names.count(record.name) >= 2  # once or more before it was published
            assert not any(query.recursion_desired for query in edge.zone.queries)

            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                assert (await visitor.get("/")).text == "here"
                # The proof is over: its path is the app's again.
                await visitor.get("/.well-known/quicktunnel/0123456789abcdef0123456789abcdef")
            assert len(app.paths) == 2
            await tunnel.aclose()
            assert list(edge.violations) == []


async def test_an_interceptor_is_recognised_and_the_url_announced_with_a_warning(caplog):
    """An answer without the AA bit ends the asking; the warning says what and why."""
    with anyio.fail_after(30):
        async with LocalEdge(domain=DOMAIN) as edge:
            edge.zone.authoritative = False
            with caplog.at_level(logging.WARNING, logger="asgi_quicktunnel"):
                async with QuickTunnel(App(), edge.config(ha_connections=1)) as tunnel:
                    assert tunnel.url is not None
            assert len(edge.zone.queries) == 1
            assert "not proved to work" in caplog.text
            assert "asking the nameservers" in caplog.text


async def test_closing_while_it_is_checked_ends_the_check():
    """A tunnel that is closed before its name exists asks no more."""
    with anyio.fail_after(30):
        async with LocalEdge(domain=DOMAIN, publish_delay=600) as edge:
            tunnel = QuickTunnel(App(), edge.config(ha_connections=1))
            await tunnel.start()
            await edge.wait_registered()
            while not edge.zone.queries:
                await asyncio.sleep(0.01)
            await tunnel.aclose()
            asked = len(edge.zone.queries)
            await asyncio.sleep(0.7)
            assert len(edge.zone.queries) == asked
            assert tunnel.url is None
