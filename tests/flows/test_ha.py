"""Several connections, and what visitors notice when one fails."""

import asyncio

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.emulator.faults import RegistrationFault
from asgi_quicktunnel.events import StateChanged, TunnelReady, TunnelState
from asgi_quicktunnel.reconnect import RenewalPolicy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


def requests_of(edge):
    """The registrations that the edge has seen."""
    return [request for each in edge.connections for request in each.control.requests]


async def test_two_connections_by_default_in_two_regions():
    """Index 0 goes first, index 1 follows; each has its own edge server and UDP port."""
    with anyio.fail_after(30):
        async with LocalEdge(edges=4) as edge, QuickTunnel(app, edge.config()) as tunnel:
            tunnel_record = await edge.wait_registered(2)
            assert sorted(each.conn_index for each in tunnel_record.serving) == [0, 1]
            first, second = edge.connections
            assert [first.conn_index, second.conn_index] == [0, 1]
            assert first.edge_index % 2 != second.edge_index % 2
            assert first.dialled.peer[1] != second.dialled.peer[1]
            ids = {request.identity.connector_id for request in requests_of(edge)}
            assert len(ids) == 1
            while len(tunnel.statistics().connections) < 2:
                await asyncio.sleep(0)


async def test_four_connections_are_kept_when_asked_for():
    """`ha_connections=4` registers the indexes 0 to 3."""
    with anyio.fail_after(30):
        async with (
            LocalEdge(edges=4) as edge,
            QuickTunnel(app, edge.config(ha_connections=4)),
        ):
            record = await edge.wait_registered(4)
            assert sorted(each.conn_index for each in record.serving) == [0, 1, 2, 3]


async def test_no_visitor_sees_an_error_while_one_of_two_connections_fails():
    """Connections are closed in turn under load; every request is answered."""
    events = []
    with anyio.fail_after(60):
        async with LocalEdge() as edge:
            tunnel = QuickTunnel(app, edge.config())
            tunnel.add_listener(events.append)
            await tunnel.start()
            await tunnel.wait_ready()
            record = await edge.wait_registered(2)
            answers = []

            async def visit(visitor):
                while True:
                    answers.append((await visitor.get("/")).status_code)

            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                visiting = asyncio.create_task(visit(visitor))
                for number in range(6):
                    await edge.wait_for(lambda: len(record.serving) == 2)
                    seen = len(answers)
                    victim = next(each for each in record.serving if each.conn_index == number % 2)
                    # New requests go elsewhere from here on; what it was answering finishes.
                    record.withdraw(victim)
                    while len(answers) < seen + 5:
                        await asyncio.sleep(0)
                    victim.close()
                    await victim.wait_closed()
                await edge.wait_for(lambda: len(record.serving) == 2)
                visiting.cancel()
                await asyncio.gather(visiting, return_exceptions=True)
            assert set(answers) == {200}
            assert len(answers) > 30
            assert tunnel.statistics().reconnects == 6
            states = [event.state for event in events if isinstance(event, StateChanged)]
            assert TunnelState.DEGRADED in states
            assert TunnelState.RECONNECTING not in states
            assert tunnel.state is TunnelState.READY
            held = [request.replace_existing for request in requests_of(edge)]
            assert held == [False, False] + [True] * 6
            await tunnel.aclose()


async def test_a_second_connection_that_is_refused_leaves_the_tunnel_alone(caplog):
    """With one edge server there is no second address: the URL works, one line says so."""
    with anyio.fail_after(60):
        async with (
            LocalEdge(edges=1) as edge,
            QuickTunnel(app, edge.config(ha_connections=2)) as tunnel,
        ):
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                with caplog.at_level("INFO", logger="asgi_quicktunnel"):
                    while "works without it" not in caplog.text:
                        assert (await visitor.get("/")).status_code == 200
            assert caplog.text.count("works without it") == 1
            assert tunnel.state is TunnelState.READY


async def test_a_tunnel_that_the_edge_forgot_is_replaced():
    """ "Unauthorized" everywhere for long enough provisions a new tunnel and tells its URL."""
    events = []
    with anyio.fail_after(60):
        async with LocalEdge() as edge:
            tunnel = QuickTunnel(app, edge.config(ha_connections=1))
            tunnel._renewal = RenewalPolicy(unauthorized_for=0.2)
            tunnel.add_listener(events.append)
            await tunnel.start()
            await tunnel.wait_ready()
            first = tunnel.url
            edge.faults.registration = RegistrationFault(
                "Unauthorized: Failed to get tunnel", should_retry=False
            )
            edge.connections[0].close()
            await edge.wait_for(lambda: len(edge.tunnels.values()) == 2)
            edge.faults.registration = None
            while tunnel.state is not TunnelState.READY:
                await asyncio.sleep(0.01)
            assert tunnel.url != first
            ready = [event.url for event in events if isinstance(event, TunnelReady)]
            assert ready == [first, tunnel.url]
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                assert (await visitor.get("/")).text == "here"
            await tunnel.aclose()
