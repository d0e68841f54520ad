"""A connection is lost and comes back."""

import asyncio
import gc
import os

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.connection import ConnectionPlan
from asgi_quicktunnel.diagnostics.status import describe
from asgi_quicktunnel.emulator.faults import RegistrationFault
from asgi_quicktunnel.errors import ConnectionLost as Lost
from asgi_quicktunnel.errors import DialError, RegistrationError
from asgi_quicktunnel.events import ConnectionLost, Registered
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.supervisor import Supervisor

from tests_support.engines import engine
from tests_support.raw_edge import CREDENTIALS, IDENTITY, RawEdge

pytestmark = pytest.mark.anyio


class NoWait:
    """A source of jitter that always draws the lower bound."""

    def uniform(self, low, high):
        return low


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


class Watched:
    """A supervisor on raw edges, and what it emitted."""

    def __init__(self, addresses, edge):
        self.events = []
        self._changed = asyncio.Event()
        plan = ConnectionPlan(
            credentials=CREDENTIALS,
            identity=IDENTITY,
            settings=edge.client_settings,
            engine=engine(),
            origin=AsgiOrigin(app, emit=self._emit),
            timeout=0.5,
        )

        async def discover():
            return addresses

        self.supervisor = Supervisor(plan, discover, self._emit, rng=NoWait())
        self.task = asyncio.create_task(self.supervisor.run())

    def _emit(self, event):
        self.events.append(event)
        self._changed.set()

    async def wait_for(self, kind, count=1):
        """The `count`-th event of a kind."""
        with anyio.fail_after(20):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found[count - 1]
                self._changed.clear()
                await self._changed.wait()

    async def aclose(self):
        await self.supervisor.drain(0)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_an_edge_that_closes_is_dialled_again():
    """After a close the same connector registers again, says it held the index, and serves."""
    async with RawEdge() as edge:
        watched = Watched([edge.address], edge)
        await watched.wait_for(Registered)
        port = watched.supervisor.connections[0].local_port
        edge.driver.close(0, "maintenance")
        lost = await watched.wait_for(ConnectionLost)
        await watched.wait_for(Registered, 2)

        assert isinstance(lost.cause, Lost)
        assert lost.address == edge.address
        first, second = edge.seen[0], edge.seen[-1]
        requests = [request for request in edge.seen if hasattr(request, "replace_existing")]
        assert [request.replace_existing for request in requests] == [False, True]
        assert first.identity == second.identity or second is not first
        assert watched.supervisor.connections[0].local_port == port
        head, body = await edge.ask("/")
        assert (head.status, body) == (200, b"here")
        await watched.aclose()


async def test_an_edge_that_does_not_answer_is_left_for_another():
    """A dial that fails goes on to the next address; the error names the address and causes."""
    async with RawEdge() as silent, RawEdge() as edge:
        silent.silent = True
        watched = Watched([silent.address, edge.address], edge)
        lost = await watched.wait_for(ConnectionLost)
        registered = await watched.wait_for(Registered)

        assert isinstance(lost.cause, DialError)
        assert lost.cause.address == str(silent.address)
        assert f"UDP port {silent.address.port}" in str(lost.cause)
        assert "server name" in str(lost.cause)
        assert registered.address == edge.address
        await watched.aclose()


async def test_an_edge_that_falls_silent_is_left_for_another():
    """After 5 s without a packet the connection is lost as idle and another address is taken."""
    short = {"client": {"idle_timeout": 0.5}, "server": {"idle_timeout": 0.5}}
    async with RawEdge(**short) as first, RawEdge(**short) as second:
        watched = Watched([first.address, second.address], first)
        await watched.wait_for(Registered)
        first.silent = True
        lost = await watched.wait_for(ConnectionLost)
        registered = await watched.wait_for(Registered, 2)

        assert lost.cause.idle
        assert registered.address == second.address
        await watched.aclose()


async def test_a_bug_in_discovery_costs_one_try(caplog):
    """What nobody expected is logged with its traceback, and the connection is tried again."""
    async with RawEdge() as edge:
        addresses = [None]
        watched = Watched(addresses, edge)
        lost = await watched.wait_for(ConnectionLost)
        addresses[:] = [edge.address]
        await watched.wait_for(Registered)

        assert "unexpected" in str(lost.cause)
        assert "Traceback" in caplog.text
        await watched.aclose()


async def test_requests_in_flight_on_a_lost_connection_see_the_disconnect():
    """An app that waits when the connection goes gets http.disconnect at once."""
    messages = asyncio.Queue()

    async def wait(scope, receive, send):
        await receive()
        messages.put_nowait("waiting")
        messages.put_nowait((await receive())["type"])

    async with RawEdge() as edge:
        watched = Watched([edge.address], edge)
        watched.supervisor._plan.origin.app = wait
        await watched.wait_for(Registered)
        asking = asyncio.create_task(edge.ask("/"))
        with anyio.fail_after(10):
            assert await messages.get() == "waiting"
            edge.driver.close(0, "")
            assert await messages.get() == "http.disconnect"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await watched.aclose()


@pytest.mark.slow
async def test_two_hundred_reconnects_leave_nothing():
    """Tasks and file descriptors are as many after 200 reconnects as before."""

    def count():
        gc.collect()
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    async with RawEdge() as edge:
        watched = Watched([edge.address], edge)

        async def lose(number):
            await watched.wait_for(Registered, number)
            edge.driver.close(0, "")
            await watched.wait_for(ConnectionLost, number)
            await watched.wait_for(Registered, number + 1)

        for number in range(1, 6):
            await lose(number)
        before = count()
        for number in range(6, 206):
            await lose(number)
        with anyio.fail_after(10):
            while count() > before:
                await asyncio.sleep(0)
        await watched.aclose()


async def test_a_refusal_for_good_ends_the_supervisor(tunnelled):
    """A registration error that won't change is raised, not tried again."""
    async with tunnelled(app) as (edge, tunnel, _):
        edge.faults.registration = RegistrationFault("banned", should_retry=False)
        edge.connections[0].close()
        with anyio.fail_after(20):
            while tunnel.state.value != "failed":
                await asyncio.sleep(0.01)
        assert tunnel.url is None
        edge.faults.registration = None
        edge.violations.clear()


async def test_the_url_stays_when_the_edge_closes(tunnelled):
    """The public URL answers again after the edge closed the connection, and is the same."""
    async with tunnelled(app) as (edge, tunnel, visitor):
        url = tunnel.url
        edge.connections[0].close()
        with anyio.fail_after(20):
            await edge.wait_for(lambda: len(edge.connections) == 2)
            await edge.wait_registered()
        assert (await visitor.get("/")).text == "here"
        assert tunnel.url == url
        assert tunnel.statistics().reconnects == 1


async def test_what_is_missing_is_told_while_it_is(tunnelled):
    """A lost connection is described with where it stands and why, until it is back."""
    async with tunnelled(app) as (edge, tunnel, _):
        (before,) = describe(tunnel)["connections"]
        assert (before["state"], before["protocol"]) == ("registered", "quic")
        assert 0 < before["handshake_time"] <= before["register_time"] < 10
        assert (before["registrations"], before["reconnects"], before["failures"]) == (1, 0, {})
        assert describe(tunnel)["missing"] == []
        edge.faults.registration = RegistrationFault("later", retry_after=0.05)
        edge.connections[0].close()
        states = set()
        with anyio.fail_after(20):
            while True:
                described = describe(tunnel)
                states |= {each["state"] for each in described["missing"]}
                refusals = [each["failures"] for each in described["missing"]]
                if len(states) == 2 and refusals and refusals[0].get("registration", 0) >= 2:
                    break
                await asyncio.sleep(0)
        assert states == {"connecting", "waiting"}
        (missing,) = described["missing"]
        assert described["connections"] == []
        assert (missing["conn_index"], missing["reconnects"]) == (0, 1)
        assert missing["address"] == before["address"]
        assert "later" in missing["cause"]
        edge.faults.registration = None
        with anyio.fail_after(20):
            await edge.wait_registered()
            while describe(tunnel)["missing"]:
                await asyncio.sleep(0)
        (after,) = describe(tunnel)["connections"]
        assert (after["registrations"], after["reconnects"], after["cause"]) == (2, 1, None)
        assert tunnel.traffic.statistics().indexes[0].registrations == 2


async def test_a_connection_that_was_given_up_stays_missing(local_edge):
    """After the last allowed try its index is told as given up, while the other one serves."""
    with anyio.fail_after(30):
        async with QuickTunnel(
            app, local_edge.config(ha_connections=2, max_reconnect_attempts=0)
        ) as tunnel:
            await local_edge.wait_registered(2)
            second = next(each for each in local_edge.connections if each.conn_index == 1)
            second.close()
            while [each["state"] for each in describe(tunnel)["missing"]] != ["given_up"]:
                await asyncio.sleep(0.01)
            (missing,) = describe(tunnel)["missing"]
            assert missing["conn_index"] == 1
            assert [each["conn_index"] for each in describe(tunnel)["connections"]] == [0]


async def test_a_wrong_server_is_an_error_that_says_so():
    """A server whose certificate is not trusted is a DialError about the handshake."""
    async with RawEdge() as edge, RawEdge(server={}) as other:
        from dataclasses import replace

        from asgi_quicktunnel.transport.quic import dial_quic

        from tests_support.edge_certificates import issue

        settings = replace(
            edge.client_settings, trust_roots=issue(authority_name="another").authority
        )
        with pytest.raises(DialError, match="handshake failed"):
            await dial_quic(other.address, settings, engine(), timeout=5)


async def test_no_route_is_an_error_that_names_the_address():
    """An address that can't be reached is a DialError at once or after the timeout."""
    async with RawEdge() as edge:
        from asgi_quicktunnel.transport.quic import dial_quic

        nowhere = EdgeAddress("127.0.0.1", 9)
        with pytest.raises(DialError) as failed:
            await dial_quic(nowhere, edge.client_settings, engine(), timeout=0.3)
        assert failed.value.address == "127.0.0.1:9"
        assert failed.value.retryable


def test_registration_errors_are_public():
    """Whoever catches by name finds the tree at the top of the package."""
    import asgi_quicktunnel

    assert asgi_quicktunnel.RegistrationError is RegistrationError
