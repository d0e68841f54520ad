"""The app blocks its event loop, and the tunnel stays up."""

import asyncio
import sys
import time
from pathlib import Path

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.dap import DapClient
from tests_support.served import served, uvicorn

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
APP = uvicorn("tests_support.blocking_app:app")


async def assert_survives(edge, visitor, path, answer, seconds):
    """Ask for something that blocks, and for 5 pages meanwhile; all on the same connection."""
    (connection,) = edge.connections
    async with asyncio.TaskGroup() as group:
        blocking = group.create_task(visitor.get(path))
        await edge.wait_for(lambda: connection.requests_total >= 1)
        began = time.monotonic()
        others = [group.create_task(visitor.get("/")) for _ in range(5)]
    assert blocking.result().text == answer
    assert [other.result().text for other in others] == ["hello"] * 5
    assert time.monotonic() - began >= seconds - 1
    assert (await visitor.get("/reconnects")).json() == {"reconnects": 0, "connections": 1}
    assert edge.connections == (connection,)


@pytest.mark.waits
@pytest.mark.parametrize(
    ("loop", "seconds"),
    [("asyncio", 8), ("uvloop", 8), pytest.param("asyncio", 60, marks=pytest.mark.slow)],
)
async def test_a_sleeping_app_keeps_its_connection(loop, seconds):
    """`time.sleep` in an async handler loses nothing: same connection, every answer."""
    with anyio.fail_after(seconds + 30):
        async with (
            LocalEdge() as edge,
            served(edge, *APP, "--loop", loop),
            edge.httpx_client(base_url=edge.url_for(""), timeout=None) as visitor,
        ):
            await assert_survives(edge, visitor, f"/sleep/{seconds}", "slept", seconds)


async def test_a_computing_app_keeps_its_connection():
    """8 s of pure Python lose nothing."""
    with anyio.fail_after(40):
        async with (
            LocalEdge() as edge,
            served(edge, *APP),
            edge.httpx_client(base_url=edge.url_for(""), timeout=None) as visitor,
        ):
            await assert_survives(edge, visitor, "/compute/8", "computed", 8)


@pytest.mark.waits
async def test_an_app_at_a_breakpoint_keeps_its_connection():
    """8 s at pdb's prompt lose nothing."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    with anyio.fail_after(40):
        async with (
            LocalEdge() as edge,
            served(edge, *APP, **pipes) as process,
            edge.httpx_client(base_url=edge.url_for(""), timeout=None) as visitor,
        ):

            async def developer():
                await process.stdout.readuntil(b"(Pdb) ")
                await asyncio.sleep(8)
                process.stdin.write(b"continue\n")

            async with asyncio.TaskGroup() as group:
                group.create_task(developer())
                await assert_survives(edge, visitor, "/stop", "went on", 8)


@pytest.mark.waits
async def test_an_app_at_a_breakpoint_of_debugpy_keeps_its_connection():
    """8 s at a breakpoint of an editor, which suspends all threads, lose nothing."""
    import tests_support.blocking_app as app

    source = Path(app.__file__)
    line = source.read_text().splitlines().index('    return PlainTextResponse("hello")') + 1
    with anyio.fail_after(60):
        async with (
            LocalEdge() as edge,
            served(
                edge,
                *uvicorn("tests_support.debugged_app:app"),
                environ={"PYDEVD_DISABLE_FILE_VALIDATION": "1"},
                stdout=asyncio.subprocess.PIPE,
            ) as process,
            edge.httpx_client(base_url=edge.url_for(""), timeout=None) as visitor,
        ):
            _, host, port = (await process.stdout.readline()).decode().split()
            debugger = await DapClient.connect(host, int(port))
            await debugger.response(await debugger.send("initialize", adapterID="test"))
            attached = await debugger.send("attach", connect={"host": host, "port": int(port)})
            await debugger.event("initialized")
            await debugger.response(
                await debugger.send(
                    "setBreakpoints", source={"path": str(source)}, breakpoints=[{"line": line}]
                )
            )
            await debugger.response(await debugger.send("configurationDone"))
            await debugger.response(attached)

            (connection,) = edge.connections
            async with asyncio.TaskGroup() as group:
                page = group.create_task(visitor.get("/"))
                stopped = await debugger.event("stopped")
                assert stopped["reason"] == "breakpoint"
                await asyncio.sleep(8)
                await debugger.response(
                    await debugger.send(
                        "setBreakpoints", source={"path": str(source)}, breakpoints=[]
                    )
                )
                await debugger.response(
                    await debugger.send("continue", threadId=stopped["threadId"])
                )
            assert page.result().text == "hello"
            assert (await visitor.get("/reconnects")).json()["reconnects"] == 0
            assert edge.connections == (connection,)
            await debugger.response(await debugger.send("disconnect", terminateDebuggee=True))
            await debugger.close()
            await process.wait()


@pytest.mark.waits
async def test_a_call_that_holds_the_gil_is_followed_by_a_clean_reconnect(tmp_path):
    """A C call that holds the GIL for 7 s loses the connection; it comes back under its name."""
    (tmp_path / "gil_app.py").write_text(
        "import ctypes, sys\n"
        "from tests_support.blocking_app import app as inner, QuickTunnelASGI, PlainTextResponse\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http' and scope['path'] == '/hold':\n"
        "        ctypes.PyDLL(None).usleep(7_000_000)\n"
        "        await PlainTextResponse('held')(scope, receive, send)\n"
        "    else:\n"
        "        await inner._QuickTunnelASGI__app(scope, receive, send)\n"
        "app = QuickTunnelASGI(app)\n"
    )
    with anyio.fail_after(60):
        async with (
            LocalEdge() as edge,
            served(
                edge,
                *uvicorn("gil_app:app"),
                "--app-dir",
                str(tmp_path),
            ),
            edge.httpx_client(base_url=edge.url_for(""), timeout=None) as visitor,
        ):
            await visitor.get("/hold")
            await edge.wait_for(lambda: len(edge.connections) == 2)
            await edge.wait_registered()
            assert (await visitor.get("/")).text == "hello"
            assert (await visitor.get("/reconnects")).json()["reconnects"] == 1


def test_the_guard_asks_debuggers_to_leave_it_alone():
    """Its thread carries the marks that debugpy honours, and ends with the last connection."""
    from asgi_quicktunnel.guard import Guard

    class Connection:
        loop = None
        armed = float("inf")
        wakeups = 0
        is_over = False

    guard, connection = Guard(), Connection()
    connection.loop = asyncio.new_event_loop()
    guard.watch(connection)
    thread = guard._thread
    assert thread.daemon
    assert thread.pydev_do_not_trace
    assert thread.is_pydev_daemon_thread
    guard.unwatch(connection)
    thread.join(5)
    assert not thread.is_alive()
    connection.loop.close()
    assert sys.version_info >= (3, 11)
