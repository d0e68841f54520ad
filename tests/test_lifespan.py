"""LifespanRelay and the tunnel's part in it, message by message.

The server is played by `LifespanServer`, the tunnel by `FakeTunnel`, because the order of things
is what counts here. tests/flows/ runs the same with real servers and the embedded edge.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import anyio
import pytest

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import ProvisioningError
from asgi_quicktunnel.lifespan import LifespanRelay
from asgi_quicktunnel.publication import Publication

from tests_support.fake_tunnel import FakeTunnel
from tests_support.lifespan_server import LifespanServer

pytestmark = pytest.mark.anyio

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


@pytest.fixture
def diary():
    return []


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(10):
        yield


def well_behaved(diary):
    """An app with a lifespan that says in the diary what it goes through."""

    async def app(scope, receive, send):
        assert (await receive())["type"] == "lifespan.startup"
        diary.append("app starts")
        await send(STARTED)
        assert (await receive())["type"] == "lifespan.shutdown"
        diary.append("app stops")
        await send(STOPPED)

    return app


def relayed(app, tunnel, *, publication=None, start_delay=0.0, **options):
    publication = publication or Publication()

    async def relay(scope, receive, send):
        publication.open(None, scope.get("state"))
        config = TunnelConfig(**options)
        relay = LifespanRelay(app, tunnel, publication, config, start_delay=start_delay)
        await relay.run(scope, receive, send)

    return relay


async def test_the_app_starts_before_the_tunnel_and_stops_after_it(diary):
    """The tunnel's life lies within the app's."""
    tunnel = FakeTunnel(diary)
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        assert await server.startup() == STARTED
        await tunnel.started.wait()
        assert await server.shutdown() == STOPPED
        await server.task
    assert diary == [
        "app starts",
        "tunnel starts",
        "tunnel ready",
        "tunnel drains",
        "tunnel closed",
        "app stops",
    ]


async def test_startup_does_not_wait_for_the_tunnel(diary):
    """By default the server hears startup.complete while the tunnel is still on its way."""
    tunnel = FakeTunnel(diary, ready=False)
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        assert await server.startup() == STARTED
        assert "tunnel ready" not in diary


async def test_provisioning_waits_a_moment_for_the_server_to_bind_its_port(diary):
    """A server that stops right after the startup has wasted no tunnel."""
    tunnel = FakeTunnel(diary)
    relay = relayed(well_behaved(diary), tunnel, start_delay=None)
    async with LifespanServer(relay) as server:
        await server.startup()
        assert await server.shutdown() == STOPPED
        await server.task
    assert diary == ["app starts", "app stops"]


@pytest.mark.alone
async def test_the_moment_is_a_third_of_a_second(diary):
    """Without a wish of the caller's, the tunnel starts 0.3 s after startup.complete."""
    tunnel = FakeTunnel(diary)
    loop = asyncio.get_running_loop()
    async with LifespanServer(relayed(well_behaved(diary), tunnel, start_delay=None)) as server:
        await server.startup()
        began = loop.time()
        await tunnel.started.wait()
    assert loop.time() - began == pytest.approx(0.3, abs=0.2)


async def test_wait_ready_holds_the_startup_until_the_url_works(diary):
    """With wait_ready, startup.complete comes after the tunnel is ready and the URL published."""
    tunnel, publication = FakeTunnel(diary, ready=False), Publication()
    relay = relayed(well_behaved(diary), tunnel, publication=publication, wait_ready=True)
    async with LifespanServer(relay) as server:
        server.ask_nowait("lifespan.startup")
        await tunnel.started.wait()
        assert server.sent == []
        tunnel.become_ready()
        assert await server.answer() == STARTED
        assert publication.state["public_url"] == FakeTunnel.URL


@pytest.mark.parametrize("wait_ready", [False, True])
async def test_a_tunnel_that_fails_leaves_the_app_running(diary, wait_ready):
    """Without strict, the failure of the tunnel changes nothing for the app."""
    tunnel = FakeTunnel(diary, failure=ProvisioningError("the service is closed"))
    relay = relayed(well_behaved(diary), tunnel, wait_ready=wait_ready)
    async with LifespanServer(relay) as server:
        assert await server.startup() == STARTED
        await tunnel.started.wait()
        assert await server.shutdown() == STOPPED
        await server.task
    assert diary[-1] == "app stops"


async def test_a_bug_in_the_tunnel_leaves_the_app_running(diary, caplog):
    """An exception that nobody foresaw is logged with its traceback, and the app runs on."""
    tunnel = FakeTunnel(diary, failure=ZeroDivisionError("a bug"))
    async with LifespanServer(relayed(well_behaved(diary), tunnel, wait_ready=True)) as server:
        assert await server.startup() == STARTED
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_bug_in_closing_does_not_keep_the_app_from_its_shutdown(diary, caplog):
    """What goes wrong in the drain is logged, and the app stops in order."""
    tunnel = FakeTunnel(diary, close_failure=ZeroDivisionError("a bug"))
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        await server.startup()
        await tunnel.started.wait()
        assert await server.shutdown() == STOPPED
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_strict_fails_the_startup_after_the_app_was_stopped_in_order(diary):
    """With strict the server hears startup.failed and why; the app has had its shutdown by then."""
    tunnel = FakeTunnel(diary, failure=ProvisioningError("the service is closed"))
    async with LifespanServer(relayed(well_behaved(diary), tunnel, strict=True)) as server:
        answer = await server.startup()
        assert answer["type"] == "lifespan.startup.failed"
        assert "the service is closed" in answer["message"]
        assert "app stops" in diary
        await server.task
    assert server.sent == ["lifespan.startup.failed"]
    assert diary == ["app starts", "tunnel starts", "tunnel drains", "tunnel closed", "app stops"]


async def test_a_refused_startup_ends_with_its_message(diary):
    """hypercorn looks for the end of the lifespan right after startup.failed: it has come."""
    tunnel = FakeTunnel(diary, failure=ProvisioningError("closed"))
    async with LifespanServer(relayed(well_behaved(diary), tunnel, strict=True)) as server:
        ended = asyncio.Event()
        server.ask_nowait("lifespan.startup")
        server.task.add_done_callback(lambda task: ended.set())
        await server.answer()
        server.task.cancel()
        await ended.wait()
        assert not server.task.cancelled()


async def test_strict_waits_for_the_tunnel(diary):
    """Strict implies waiting: a startup that was declared complete can't fail any more."""
    tunnel = FakeTunnel(diary, ready=False)
    async with LifespanServer(relayed(well_behaved(diary), tunnel, strict=True)) as server:
        server.ask_nowait("lifespan.startup")
        await tunnel.started.wait()
        assert server.sent == []
        tunnel.become_ready()
        assert await server.answer() == STARTED


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "ignores"])
async def test_strict_gets_its_word_out_past_an_app_that_never_returns(diary, answers):
    """An app that asks for messages for ever is told to stop once; the server hears the failure."""

    async def endless(scope, receive, send):
        while True:
            message = await receive()
            diary.append(message["type"])
            if message["type"] == "lifespan.startup":
                await send(STARTED)
            elif answers:
                await send(STOPPED)

    tunnel = FakeTunnel(diary, failure=ProvisioningError("closed"))
    async with LifespanServer(relayed(endless, tunnel, strict=True)) as server:
        assert (await server.startup())["type"] == "lifespan.startup.failed"
    assert diary.count("lifespan.shutdown") == 1
    assert server.sent == ["lifespan.startup.failed"]


async def test_an_app_that_fails_to_start_gets_no_tunnel(diary):
    """startup.failed and the exception after it reach the server; no tunnel was begun."""

    async def failing(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    async with LifespanServer(relayed(failing, FakeTunnel(diary))) as server:
        assert await server.startup() == {
            "type": "lifespan.startup.failed",
            "message": "no database",
        }
        with pytest.raises(RuntimeError, match="no database"):
            await server.task
    assert diary == []


async def raises_at_once(scope, receive, send):
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def raises_after_the_startup_message(scope, receive, send):
    await receive()
    raise KeyError("unknown message")


async def returns_at_once(scope, receive, send):
    return


@pytest.mark.parametrize("app", [raises_at_once, raises_after_the_startup_message, returns_at_once])
async def test_an_app_without_a_lifespan_gets_a_tunnel_all_the_same(diary, app):
    """Where the app does not answer the lifespan the relay does, and the tunnel has its life."""
    tunnel = FakeTunnel(diary)
    async with LifespanServer(relayed(app, tunnel)) as server:
        assert await server.startup() == STARTED
        await tunnel.started.wait()
        assert await server.shutdown() == STOPPED
        await server.task
    assert diary[-1] == "tunnel closed"


async def test_a_crash_in_the_startup_is_shown(diary, caplog):
    """An app that took the startup message and then raised is warned about with the traceback."""
    relay = relayed(raises_after_the_startup_message, FakeTunnel(diary))
    async with LifespanServer(relay) as server:
        assert await server.startup() == STARTED
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert isinstance(record.exc_info[1], KeyError)


async def test_strict_holds_for_an_app_without_a_lifespan(diary):
    """The startup fails also where the relay speaks for the app."""
    tunnel = FakeTunnel(diary, failure=ProvisioningError("the service is closed"))
    async with LifespanServer(relayed(raises_at_once, tunnel, strict=True)) as server:
        answer = await server.startup()
        await server.task
    assert answer["type"] == "lifespan.startup.failed"
    assert "the service is closed" in answer["message"]


@pytest.mark.parametrize("farewell", [True, False])
async def test_the_tunnel_outlives_a_lifespan_that_ends_early(diary, farewell):
    """A crash after the startup is raised at the shutdown, and the tunnel lives until then."""

    async def crashing(scope, receive, send):
        await receive()
        await send(STARTED)
        if farewell:
            await send({"type": "lifespan.shutdown.failed", "message": "a task died"})
        raise RuntimeError("a task died")

    tunnel = FakeTunnel(diary)
    async with LifespanServer(relayed(crashing, tunnel)) as server:
        assert await server.startup() == STARTED
        await tunnel.started.wait()
        assert server.sent == ["lifespan.startup.complete"]
        answer = await server.shutdown()
        assert answer["type"] == f"lifespan.shutdown.{'failed' if farewell else 'complete'}"
        with pytest.raises(RuntimeError, match="a task died"):
            await server.task
    assert diary[-1] == "tunnel closed"


async def test_the_tunnel_outlives_an_app_that_returns_after_its_startup(diary):
    """An app need not wait for the shutdown."""

    async def brief(scope, receive, send):
        await receive()
        await send(STARTED)

    async with LifespanServer(relayed(brief, FakeTunnel(diary))) as server:
        assert await server.startup() == STARTED
        assert await server.shutdown() == STOPPED
        await server.task


async def test_a_failed_shutdown_reaches_the_server(diary):
    """shutdown.failed and the exception after it go out as they came."""

    async def failing(scope, receive, send):
        await receive()
        await send(STARTED)
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "stuck"})
        raise RuntimeError("stuck")

    async with LifespanServer(relayed(failing, FakeTunnel(diary))) as server:
        await server.startup()
        assert (await server.shutdown())["message"] == "stuck"
        with pytest.raises(RuntimeError, match="stuck"):
            await server.task


async def test_an_app_that_raises_in_its_shutdown_is_not_answered_for(diary):
    """The exception goes out; the server draws its own conclusion."""

    async def failing(scope, receive, send):
        await receive()
        await send(STARTED)
        await receive()
        raise RuntimeError("stuck")

    async with LifespanServer(relayed(failing, FakeTunnel(diary))) as server:
        await server.startup()
        with pytest.raises(RuntimeError, match="stuck"):
            await server.shutdown()
    assert server.sent == ["lifespan.startup.complete"]


async def test_the_shutdown_is_held_while_the_tunnel_drains(diary):
    """The app gets lifespan.shutdown when the last request is answered, not before."""
    tunnel = FakeTunnel(diary, drained=False)
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        await server.startup()
        await tunnel.started.wait()
        server.ask_nowait("lifespan.shutdown")
        await tunnel.draining.wait()
        assert "app stops" not in diary
        tunnel.finish_draining()
        assert await server.answer() == STOPPED
    assert diary[-2:] == ["tunnel closed", "app stops"]


@pytest.mark.parametrize("moment", ["starting", "ready", "draining"])
async def test_cancelling_the_lifespan_closes_the_tunnel(diary, moment):
    """Whenever the lifespan's task is cancelled, no tunnel is left when it ends."""
    tunnel = FakeTunnel(diary, ready=moment != "starting", drained=False)
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        await server.startup()
        await tunnel.started.wait()
        if moment == "draining":
            server.ask_nowait("lifespan.shutdown")
            await tunnel.draining.wait()
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
    assert diary[-1] == "tunnel closed"


async def test_cancelling_while_the_startup_waits_closes_the_tunnel(diary):
    """wait_ready does not keep a cancelled startup alive."""
    tunnel = FakeTunnel(diary, ready=False)
    async with LifespanServer(relayed(well_behaved(diary), tunnel, wait_ready=True)) as server:
        server.ask_nowait("lifespan.startup")
        await tunnel.started.wait()
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
    assert diary[-1] == "tunnel closed"


async def test_a_cancelled_lifespan_gives_the_tunnel_half_a_second(diary):
    """Who cancels does not wait for the grace period."""
    tunnel = FakeTunnel(diary, drained=False)
    loop = asyncio.get_running_loop()
    async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
        await server.startup()
        await tunnel.started.wait()
        began = loop.time()
        server.task.cancel()
        await asyncio.wait({server.task})
    assert loop.time() - began < 2
    assert "drain cut short" in diary


async def test_cancellation_by_an_anyio_scope_closes_the_tunnel(diary):
    """anyio cancels every await anew, and the tunnel is closed all the same."""
    tunnel = FakeTunnel(diary)
    relay = relayed(well_behaved(diary), tunnel)
    messages = asyncio.Queue()
    messages.put_nowait({"type": "lifespan.startup"})

    async def ignore(message):
        pass

    async with anyio.create_task_group() as group:
        group.start_soon(relay, {"type": "lifespan"}, messages.get, ignore)
        await tunnel.started.wait()
        group.cancel_scope.cancel()
    assert diary[-1] == "tunnel closed"


async def test_no_task_is_left_behind(diary):
    """After the lifespan the loop runs what it ran before."""
    before = asyncio.all_tasks()
    async with LifespanServer(relayed(well_behaved(diary), FakeTunnel(diary))) as server:
        await server.startup()
        await server.shutdown()
        await server.task
    assert asyncio.all_tasks() == before


async def test_nothing_waits_after_the_last_word(diary):
    """hypercorn cancels the lifespan right after shutdown.complete: it has ended by then."""
    async with LifespanServer(relayed(well_behaved(diary), FakeTunnel(diary))) as server:
        await server.startup()
        ended = asyncio.Event()
        server.task.add_done_callback(lambda task: ended.set())
        await server.shutdown()
        server.task.cancel()
        await ended.wait()
        assert not server.task.cancelled()


async def test_the_lifespan_state_of_the_app_reaches_the_tunnel(diary):
    """What the startup left in the server's state is in the state of the tunnel's requests."""

    async def app(scope, receive, send):
        await receive()
        scope["state"]["pool"] = "a pool"
        await send(STARTED)
        await receive()
        await send(STOPPED)

    publication, state = Publication(), {}
    tunnel = FakeTunnel(diary)
    relay = relayed(app, tunnel, publication=publication, wait_ready=True)
    async with LifespanServer(relay, state=state) as server:
        await server.startup()
        assert publication.state == {
            "pool": "a pool",
            "public_url": FakeTunnel.URL,
            "quicktunnel": tunnel,
        }
        assert state == publication.state


async def test_the_app_finds_the_tunnel_in_its_startup(diary):
    """An app may wait for the URL in a task of its own: the tunnel is published from the first."""
    found = []

    async def app(scope, receive, send):
        await receive()
        found.append((scope["state"]["quicktunnel"], scope["state"]["public_url"]))
        await send(STARTED)

    tunnel = FakeTunnel(diary)
    async with LifespanServer(relayed(app, tunnel), state={}) as server:
        await server.startup()
    assert found == [(tunnel, None)]


async def test_in_another_thread_the_drain_goes_without_signals(diary):
    """Outside the main thread, where no handler can be set, the lifespan works the same."""

    async def run():
        tunnel = FakeTunnel(diary)
        async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
            await server.startup()
            await tunnel.started.wait()
            assert await server.shutdown() == STOPPED
            diary.append("done")

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert diary[-1] == "done"


async def test_a_signal_ends_the_drain(diary):
    """SIGINT while the tunnel drains: it closes at once, and the app still gets its shutdown."""
    heard = []
    before = signal.signal(signal.SIGINT, lambda *args: heard.append("server's handler"))
    try:
        tunnel = FakeTunnel(diary, drained=False)
        async with LifespanServer(relayed(well_behaved(diary), tunnel)) as server:
            await server.startup()
            await tunnel.started.wait()
            server.ask_nowait("lifespan.shutdown")
            await tunnel.draining.wait()
            os.kill(os.getpid(), signal.SIGINT)
            assert await server.answer() == STOPPED
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["server's handler"]
    assert diary[-3:] == ["drain cut short", "tunnel closed", "app stops"]


async def test_a_signal_ends_the_wait_for_the_url(diary):
    """SIGTERM while the startup waits for the tunnel: the server goes on, and can stop."""
    before = signal.signal(signal.SIGTERM, lambda *args: None)
    try:
        tunnel = FakeTunnel(diary, ready=False)
        async with LifespanServer(relayed(well_behaved(diary), tunnel, wait_ready=True)) as server:
            server.ask_nowait("lifespan.startup")
            await tunnel.started.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await server.answer() == STARTED
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_the_url_is_shown_where_logging_is_not_set_up():
    """A newcomer's server sets no root handler: the URL is on stderr all the same, once."""
    program = """
import asyncio
from tests_support.fake_tunnel import FakeTunnel
from asgi_quicktunnel.lifespan import TunnelRun
from asgi_quicktunnel.publication import Publication

async def main():
    run = TunnelRun(FakeTunnel(), Publication())
    assert await run.start_and_wait() is None
    await run.close()

{}asyncio.run(main())
"""
    setup = "import logging; logging.basicConfig(level='INFO'); "
    bare, configured = [
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program.format(prefix)],
            capture_output=True,
            text=True,
            check=True,
            cwd=os.path.dirname(__file__),
        )
        for prefix in ("", setup)
    ]
    assert bare.stderr == f"asgi_quicktunnel: the app is public at {FakeTunnel.URL}\n"
    assert configured.stderr == ""
