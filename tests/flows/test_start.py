"""What a tunnel tells of its way up."""

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.events import (
    Dialled,
    Discovered,
    Provisioned,
    Registered,
    TunnelReady,
)

pytestmark = pytest.mark.anyio


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


async def start(edge, **options):
    """What is told until the tunnel is ready."""
    events = []
    tunnel = QuickTunnel(app, edge.config(ha_connections=1, **options))
    tunnel.add_listener(events.append)
    try:
        await tunnel.start()
        await tunnel.wait_ready()
    finally:
        await tunnel.aclose()
    return events


async def test_each_step_is_told_when_it_is_done():
    """Provisioned, discovered, dialled, registered, ready: once each, in this order."""
    with anyio.fail_after(30):
        async with LocalEdge() as edge:
            events = await start(edge)
            provisioned, discovered, dialled, registered, ready = (
                event
                for kind in (Provisioned, Discovered, Dialled, Registered, TunnelReady)
                for event in events
                if type(event) is kind
            )
            steps = [provisioned, discovered, dialled, registered, ready]
            assert sorted(steps, key=events.index) == steps
            assert provisioned.url == ready.url == edge.url_for("")
            assert [str(address) for address in discovered.addresses] == edge.edge_addresses
            assert dialled.address == registered.address
            assert dialled.address in discovered.addresses
            assert dialled.protocol == "quic"
            assert 0 < dialled.elapsed < registered.elapsed
            assert ready.doubt is None


async def test_a_doubt_comes_with_the_url():
    """Where the proof can't be had, `TunnelReady` says what was tried."""
    with anyio.fail_after(30):
        async with LocalEdge(domain="example.test") as edge:
            edge.zone.authoritative = False
            *_, ready = (each for each in await start(edge) if isinstance(each, TunnelReady))
    assert "asking the nameservers" in ready.doubt
