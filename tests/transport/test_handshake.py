import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from asgi_quicktunnel.transport.clock import clock
from asgi_quicktunnel.transport.handshake import HandshakeStep, ThreadedHandshake

pytestmark = pytest.mark.anyio


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_a_step_gets_what_arrived_since_the_last(executor):
    """The first begins at once; datagrams that come during a step go to the next, in order."""
    taken = []
    begun, going_on = threading.Event(), threading.Event()

    def work(datagrams):
        taken.append((list(datagrams), threading.current_thread() is threading.main_thread()))
        begun.set()
        going_on.wait(10)
        return HandshakeStep([], [b"out"], None)

    handshake = ThreadedHandshake(work, executor)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handshake.step)
            await anyio.to_thread.run_sync(begun.wait)
            handshake.datagrams_received([b"a"])
            handshake.datagrams_received([b"b", b"c"])
            going_on.set()
        assert await handshake.step() == ([], [b"out"])
    assert taken == [([], False), ([b"a", b"b", b"c"], False)]
    assert handshake.unread == []


async def test_a_step_is_due_though_nothing_arrives(executor):
    """A retransmission needs no datagram to begin."""
    due = clock() + 0.02
    handshake = ThreadedHandshake(lambda datagrams: HandshakeStep([], [], due), executor)
    with anyio.fail_after(10):
        await handshake.step()
        await handshake.step()
    assert clock() >= due


async def test_what_no_step_took_is_unread(executor):
    """Whoever goes on after the handshake finds the datagrams that came too late for it."""
    handshake = ThreadedHandshake(lambda datagrams: HandshakeStep([], [], None), executor)
    with anyio.fail_after(10):
        await handshake.step()
    handshake.datagrams_received([b"late"])
    assert handshake.unread == [b"late"]
