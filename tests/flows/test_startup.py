"""What the start of a tunnel costs the app's event loop."""

import asyncio
import threading

import anyio
import pytest
from starlette.applications import Starlette

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.errors import DialError
from asgi_quicktunnel.transport.engines import Engine
from asgi_quicktunnel.transport.quic import dial_quic

from tests_support.edge_certificates import issue
from tests_support.engines import engine
from tests_support.lifespan_server import LifespanServer
from tests_support.raw_edge import RawEdge

pytestmark = pytest.mark.anyio


class ThreadNoting:
    """An engine that notes which thread calls what."""

    def __init__(self, engine, noted):
        self._engine = engine
        self._noted = noted

    def __getattr__(self, name):
        method = getattr(self._engine, name)

        def call(*args, **kwargs):
            self._noted.append((name, threading.get_ident()))
            return method(*args, **kwargs)

        return call


def noting(noted):
    """The engine under test, and what of it is called in which thread."""
    real = engine()

    def dial(settings, *, now):
        noted.append(("dial", threading.get_ident()))
        return ThreadNoting(real.dial(settings, now=now), noted)

    return Engine(real.name, real.version, dial, real.acceptor)


async def test_a_handshake_is_done_in_a_thread():
    """Beginning a connection and verifying the edge's certificate leave the loop alone; all that
    comes later is done on it.
    """
    loop_thread = threading.get_ident()
    noted = []
    async with RawEdge() as edge:
        with anyio.fail_after(10):
            transport = await dial_quic(
                edge.address, edge.client_settings, noting(noted), timeout=10
            )
            verified = next(i for i, (name, _) in enumerate(noted) if name == "receive_datagrams")
            assert noted[0][0] == "dial"
            assert loop_thread not in {thread for _, thread in noted[: verified + 1]}

            noted.clear()
            stream = await transport.control_stream()
            await stream.send(b"x")
            while "receive_datagrams" not in {name for name, _ in noted}:
                await asyncio.sleep(0.01)
            assert {thread for _, thread in noted} == {loop_thread}
            await transport.aclose()


async def test_a_handshake_that_fails_is_done_in_a_thread_too():
    """A certificate that nobody vouches for is refused there, and the dial says so."""
    loop_thread = threading.get_ident()
    noted = []
    async with RawEdge(client={"trust_roots": issue(authority_name="other").authority}) as edge:
        with anyio.fail_after(10), pytest.raises(DialError, match="handshake failed"):
            await dial_quic(edge.address, edge.client_settings, noting(noted), timeout=10)
    assert ("receive_datagrams", loop_thread) not in noted


@pytest.mark.slow
@pytest.mark.alone
async def test_startup_to_registered_takes_less_than_300_ms(local_edge):
    """With wait_ready the whole of the boot lies within the startup, and is quick."""
    wrapper = QuickTunnelASGI(Starlette(), local_edge.config(), wait_ready=True)
    with anyio.fail_after(40):
        # Imports, and the compiler of the schemas.
        async with LifespanServer(wrapper, state={}) as warm_up:
            await warm_up.startup()
            await warm_up.shutdown()
        async with LifespanServer(wrapper, state={}) as server:
            began = anyio.current_time()
            answer = await server.startup()
            elapsed = anyio.current_time() - began
            assert answer["type"] == "lifespan.startup.complete"
            assert elapsed < 0.3
            await server.shutdown()
