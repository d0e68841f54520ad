"""FakeTunnel does what QuickTunnel does, as far as the lifespan can see."""

import asyncio
import inspect

import anyio
import pytest
from starlette.applications import Starlette

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator.faults import ProvisioningFault
from asgi_quicktunnel.errors import ProvisioningError, QuickTunnelError
from asgi_quicktunnel.events import TunnelReady
from asgi_quicktunnel.lifespan import Tunnel

from tests_support.fake_tunnel import FakeTunnel

pytestmark = pytest.mark.anyio

USED = [name for name in vars(Tunnel) if not name.startswith("_")]


@pytest.mark.parametrize("name", USED)
def test_the_calls_are_the_same(name):
    """Each method that the lifespan uses takes the same in both, and waits in both or in none."""
    real, fake = getattr(QuickTunnel, name), getattr(FakeTunnel, name)
    assert list(inspect.signature(real).parameters) == list(inspect.signature(fake).parameters)
    assert inspect.iscoroutinefunction(real) == inspect.iscoroutinefunction(fake)


@pytest.fixture(params=["real", "fake"])
def make(request, local_edge):
    """Makes a tunnel that works, or one that fails."""

    def make_real(fails):
        local_edge.faults.provisioning = ProvisioningFault() if fails else None
        return QuickTunnel(Starlette(), local_edge.config())

    def make_fake(fails):
        return FakeTunnel(failure=ProvisioningError("no") if fails else None)

    return make_real if request.param == "real" else make_fake


async def test_readiness_is_an_event_and_ends_the_wait(make):
    """Listeners hear TunnelReady with the URL no later than `wait_ready` returns."""
    tunnel = make(fails=False)
    heard = []
    tunnel.add_listener(heard.append)
    with anyio.fail_after(10):
        await tunnel.start()
        await tunnel.wait_ready()
        await tunnel.aclose()
    (ready,) = [event for event in heard if isinstance(event, TunnelReady)]
    assert ready.url.startswith("http")


async def test_failure_is_raised_where_one_waits(make):
    """`start` does not raise, `wait_ready` does, and closing is harmless."""
    tunnel = make(fails=True)
    with anyio.fail_after(10):
        await tunnel.start()
        with pytest.raises(QuickTunnelError):
            await tunnel.wait_ready()
        await tunnel.aclose()


async def test_a_cancelled_close_has_closed(make):
    """A cancellation ends `aclose` soon."""
    tunnel = make(fails=False)
    with anyio.fail_after(10):
        await tunnel.start()
        await tunnel.wait_ready()
        closing = asyncio.create_task(tunnel.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        await tunnel.aclose()
