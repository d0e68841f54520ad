"""The end of a tunnel: no new requests, those in flight finish, nothing is left."""

import asyncio
import gc
import os
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.emulator.connection import ConnectionState
from asgi_quicktunnel.events import Dialled, Drained, Draining, RequestDone

pytestmark = pytest.mark.anyio


class Gate:
    """An app that answers once its gate is open."""

    def __init__(self):
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope, receive, send):
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})


@asynccontextmanager
async def asked(gate, **options):
    """`async with asked(gate) as (edge, tunnel, visitor, asking, events)`: a request is open."""
    events = []
    with anyio.fail_after(30):
        async with LocalEdge() as edge:
            tunnel = QuickTunnel(gate, edge.config(ha_connections=1, **options))
            tunnel.add_listener(events.append)
            await tunnel.start()
            await tunnel.wait_ready()
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                asking = asyncio.create_task(visitor.get("/"))
                await gate.entered.wait()
                yield edge, tunnel, visitor, asking, events


async def test_a_request_in_flight_is_answered_before_the_close():
    """`aclose` unregisters, waits for the answer under way, then closes with code 0."""
    gate = Gate()
    async with asked(gate) as (edge, tunnel, visitor, asking, events):
        closing = asyncio.create_task(tunnel.aclose())
        (connection,) = edge.connections
        await edge.wait_for(lambda: connection.state is ConnectionState.UNREGISTERED)
        assert not closing.done()
        assert (await visitor.get("/late")).status_code == 530
        gate.open.set()
        assert (await asking).text == "whole"
        await closing
        closed = await connection.wait_closed()
        assert (closed.code, closed.by_peer) == (0, True)
        assert list(edge.violations) == []
    assert events.index(Draining(1, 30.0)) < events.index(Drained(0))
    done = [event for event in events if isinstance(event, RequestDone)]
    assert [(event.path, event.status, event.sent) for event in done] == [("/", 200, 5)]


async def test_after_the_grace_period_requests_are_cut_off():
    """A request that takes longer than `grace_period` is cancelled and the tunnel closes."""
    gate = Gate()
    async with asked(gate, grace_period=0.3) as (_, tunnel, _, asking, events):
        await tunnel.aclose()
        assert (await asking).status_code == 502
    assert gate.cancelled
    assert Drained(1) in events


async def test_who_ends_the_wait_is_told_what_was_cut_off():
    """A cancelled `aclose` cuts requests off at once, and `Drained` counts them all the same."""
    gate = Gate()
    async with asked(gate) as (edge, tunnel, _, asking, events):
        closing = asyncio.create_task(tunnel.aclose())
        (connection,) = edge.connections
        await edge.wait_for(lambda: connection.state is ConnectionState.UNREGISTERED)
        closing.cancel()
        await asyncio.wait({closing})
        assert (await asking).status_code == 502
    assert Drained(1) in events


async def test_a_grace_period_of_nought_closes_at_once():
    """With `grace_period=0` nothing is waited for, and no wait is told of."""
    gate = Gate()
    async with asked(gate, grace_period=0) as (_, tunnel, _, asking, events):
        await tunnel.aclose()
        assert gate.cancelled
        await asking
    assert not any(isinstance(event, Draining) for event in events)


async def ending_when_dialling(tunnel):
    """The task of `aclose`, which begins with the next dial."""
    loop = asyncio.get_running_loop()
    begun = loop.create_future()
    discover = tunnel._supervisor._discover

    async def discover_and_end():
        begun.set_result(loop.create_task(tunnel.aclose()))
        return await discover()

    tunnel._supervisor._discover = discover_and_end
    return await begun


async def test_what_is_dialled_at_the_end_is_not_registered():
    """The other connections may unregister first, and the edge know the tunnel no more."""
    gate = Gate()
    with anyio.fail_after(30):
        async with LocalEdge(edges=2, withdraw_names=True) as edge:
            tunnel = QuickTunnel(gate, edge.config(ha_connections=2))
            await tunnel.start()
            await tunnel.wait_ready()
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                asking = asyncio.create_task(visitor.get("/"))
                await gate.entered.wait()
                ending = await ending_when_dialling(tunnel)
                await edge.wait_for(lambda: len(edge.connections) == 2)
                second = edge.connections[1]
                await second.wait_closed()
                assert not ending.done()
                assert second.control.requests == []
                gate.open.set()
                assert (await asking).text == "whole"
                await ending
            assert list(edge.violations) == []


async def test_what_is_being_registered_at_the_end_is_unregistered_too():
    """The edge sends no request over it while the answers under way are awaited."""
    gate = Gate()
    with anyio.fail_after(30):
        async with LocalEdge(edges=2, withdraw_names=True) as edge:
            tunnel = QuickTunnel(gate, edge.config(ha_connections=2))
            dialled = asyncio.Event()

            def on_event(event):
                if isinstance(event, Dialled) and event.conn_index == 1:
                    dialled.set()

            tunnel.add_listener(on_event)
            await tunnel.start()
            await tunnel.wait_ready()
            async with edge.httpx_client(base_url=tunnel.url) as visitor:
                asking = asyncio.create_task(visitor.get("/"))
                await gate.entered.wait()
                await dialled.wait()
                ending = asyncio.create_task(tunnel.aclose())
                first, second = edge.connections
                for each in (second, first):
                    await edge.wait_for(
                        lambda each=each: each.state is ConnectionState.UNREGISTERED
                    )
                assert not ending.done()
                assert (await visitor.get("/late")).status_code == 530
                gate.open.set()
                assert (await asking).text == "whole"
                await ending
            assert list(edge.violations) == []


@pytest.mark.slow
async def test_nothing_is_left_after_twenty_tunnels():
    """Tasks and file descriptors are as many as before."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    def count():
        gc.collect()
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    with anyio.fail_after(60):
        async with LocalEdge() as edge:

            async def one():
                async with (
                    QuickTunnel(app, edge.config(ha_connections=1)) as tunnel,
                    edge.httpx_client(base_url=tunnel.url) as visitor,
                ):
                    assert (await visitor.get("/")).text == "x"
                await edge.wait_for(
                    lambda: all(
                        connection.state is ConnectionState.CLOSED
                        for connection in edge.connections
                    )
                )

            await one()
            before = count()
            for _ in range(20):
                await one()
            with anyio.fail_after(5):
                while count() > before:
                    await asyncio.sleep(0.01)


async def test_closing_twice_and_closing_what_never_began():
    """`aclose` is harmless before the start and when repeated."""
    async with LocalEdge() as edge:
        tunnel = QuickTunnel(Gate(), edge.config(ha_connections=1))
        await tunnel.aclose()
        await tunnel.start()
        await tunnel.aclose()
        await tunnel.aclose()
        assert tunnel.url is None
        assert tunnel.state.value == "stopped"


async def test_a_tunnel_that_is_switched_off_does_nothing():
    """With `enabled=False` there is no URL, no task and no request to the service."""
    async with LocalEdge() as edge:
        async with QuickTunnel(Gate(), edge.config(enabled=False)) as tunnel:
            assert tunnel.url is None
        assert edge.provisioning_requests == ()
