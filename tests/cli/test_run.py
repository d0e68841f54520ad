"""`asgi-quicktunnel run`, as a user runs it."""

import asyncio
import json
import os
import re
import socket
import time

import anyio
import pytest

from asgi_quicktunnel.cli.run import _local_url

from tests_support.server_process import TESTS, free_port
from tests_support.terminal import at_terminal, command, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

APP = "tests_support.command_app:app"


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(60):
        yield


def running(edge, *arguments, start=command, cwd=TESTS, app=APP, port="0", **environ):
    """`run` with one connection to this edge, from the folder of the tests."""
    environ = {**environment(edge, ha_connections=1), **environ}
    return start("run", app, "--port", port, *arguments, environ=environ, cwd=cwd)


def public_url(run):
    """The URL that was last announced."""
    found = re.findall(r"^public at (\S+)", run.out.replace("\r", ""), re.MULTILINE)
    return found[-1] if found else None


async def test_json_lines_tell_everything(local_edge):
    """Standard output is JSON alone, from the start to the orderly end at one Ctrl-C."""
    port = free_port()
    async with running(local_edge, "--json", port=str(port)) as run:
        await run.until(lambda run: '"ready"' in run.out)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(local_edge.url_for("/"))).text == "hello"
            assert (await visitor.get(f"http://127.0.0.1:{port}/")).text == "hello"
        await run.until(lambda run: '"request"' in run.out and "GET / HTTP" in run.err)
        run.interrupt()
        assert await run.ended() == 0
    events = [json.loads(line) for line in run.out.splitlines()]
    names = [event["event"] for event in events]
    steps = ["provisioned", "discovered", "dialled", "registered", "ready"]
    assert [name for name in names if name in steps] == steps
    assert names[-2:] == ["drained", "state"]
    (request,) = (event for event in events if event["event"] == "request")
    assert (request["method"], request["path"], request["status"]) == ("GET", "/", 200)
    assert "Traceback" not in run.err


async def test_a_person_sees_steps_panel_requests_and_what_is_awaited(local_edge):
    """At a terminal: the steps, a panel with a QR code, a line a request; Ctrl-C once and again."""
    port = str(free_port())
    async with running(local_edge, start=at_terminal, port=port) as run:
        await run.until(lambda run: "▀▀▀▀▀▀▀" in run.shown and "╯" in run.shown)
        for part in ("tunnel given out", "URL checked", "lis01 over QUIC", "diagnostics"):
            assert part in run.shown
        assert f"http://127.0.0.1:{port}/_quicktunnel/" in run.shown
        assert re.search(r"│ http://[\w-]+\.localhost:\d+ ", run.shown)
        # The log of the server stands in lines of its own, whatever the spinner did meanwhile.
        assert re.search(r"^INFO:     Application startup complete\.$", run.shown, re.MULTILINE)
        async with local_edge.httpx_client(base_url=local_edge.url_for("")) as visitor:
            await visitor.get("/nowhere?token=secret")
            await run.until(lambda run: re.search(r"GET +/nowhere 404 \d+ ms PT$", run.shown, re.M))
            async with visitor.stream("GET", "/slow?seconds=60") as answer:
                parts = answer.aiter_raw()  # to be held: it ends the answer when it is let go
                assert await anext(parts) == b"begun "
                run.interrupt()
                await run.until(lambda run: "waiting for 1 open request" in run.shown)
                began = time.monotonic()
                run.interrupt()
                assert await run.ended() == 0
                assert time.monotonic() - began < 5
        assert "cut off: 1 request" in run.shown
        assert "secret" not in run.out


async def test_one_ctrl_c_lets_open_requests_finish(local_edge):
    """Two workers, an app factory, plain lines: the request that is open is answered."""
    arguments = ("--factory", "--workers", "2", "--quiet")
    app = "tests_support.command_app:create"
    async with running(local_edge, *arguments, app=app) as run:
        await run.until(public_url)
        async with local_edge.httpx_client(base_url=public_url(run)) as visitor:
            async with visitor.stream("GET", "/slow?seconds=2") as answer:
                parts = answer.aiter_raw()
                assert await anext(parts) == b"begun "
                run.interrupt()
                assert [part async for part in parts] == [b"done"]
        assert await run.ended() == 0
    assert "stopping: waiting for 1 open request" in run.out
    assert "GET" not in run.out
    assert "Traceback" not in run.err


async def test_a_change_of_the_code_is_served_by_the_next_process(local_edge, tmp_path):
    """Under --reload visitors get the new code; the second time one line says so."""
    source = tmp_path / "changing.py"
    code = (
        "from starlette.responses import PlainTextResponse\napp = PlainTextResponse('GENERATION')\n"
    )
    source.write_text(code.replace("GENERATION", "one"))
    arguments = ("--reload", "--app-dir", str(tmp_path), "--reload-dir", str(tmp_path))
    async with running(local_edge, *arguments, app="changing:app") as run:
        await run.until(public_url)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(public_url(run))).text == "one"
            source.write_text(code.replace("GENERATION", "two"))
            await run.until(lambda run: run.out.count("public at") == 2)
            assert (await visitor.get(public_url(run))).text == "two"
        run.interrupt()
        assert await run.ended() == 0
    assert run.out.count("tunnel given out") == 1


@pytest.mark.parametrize("app", ["wrapped", "added"])
async def test_an_app_with_a_tunnel_is_not_wrapped_again(local_edge, app):
    """There is one tunnel, with what was given in code, and the command shows it."""
    arguments = ("--user-agent", "given on the command line")
    async with running(local_edge, *arguments, app=f"tests_support.command_app:{app}") as run:
        await run.until(public_url)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(public_url(run))).text == "hello"
        (asked,) = local_edge.provisioning_requests
    agent = dict(asked.headers)[b"user-agent"]
    assert agent == (b"given in code" if app == "wrapped" else b"given on the command line")


async def test_the_options_of_uvicorn_do_what_they_do_there(local_edge, tmp_path):
    """--env-file reaches app and tunnel, --interface wsgi serves Flask's kind, UVICORN_ holds."""
    (tmp_path / "env").write_text("GREETING=from a file\nQUICKTUNNEL_USER_AGENT=from-a-file\n")
    async with running(local_edge, "--env-file", str(tmp_path / "env")) as run:
        await run.until(public_url)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(public_url(run))).text == "from a file"
    assert dict(local_edge.provisioning_requests[0].headers)[b"user-agent"] == b"from-a-file"
    app = "tests_support.command_app:wsgi"
    async with running(local_edge, app=app, UVICORN_INTERFACE="wsgi") as run:
        await run.until(public_url)
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(public_url(run))).text == "from WSGI"


async def test_a_tunnel_that_is_switched_off_is_said_to_be(local_edge):
    """The app runs on without one, and nobody wonders."""
    port = free_port()
    async with running(local_edge, "--no-enabled", port=str(port)) as run:
        await run.until(lambda run: "running on" in run.err)
        assert "there is no tunnel: it is switched off" in run.err
        async with local_edge.httpx_client() as visitor:
            assert (await visitor.get(f"http://127.0.0.1:{port}/")).text == "hello"
        run.interrupt()
        assert await run.ended() == 0
    assert not local_edge.tunnels.values()


@pytest.mark.parametrize("mistake", ["app", "port", "service", "environment"])
async def test_a_mistake_is_named_in_one_line(mistake):
    """What can't be used is named, without a traceback, and the exit status is not 0."""
    environ, arguments, names, statuses = environment(), ["--port", "0"], "", (1, 3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = APP
        if mistake == "app":
            app = names = "nothing_of_this_name:app"
            names = names.partition(":")[0]
        elif mistake == "port":
            names = str(taken.getsockname()[1])
            arguments = ["--port", names, "--edge", "local"]
        elif mistake == "service":
            names = "http://127.0.0.1:9/tunnel"
            arguments += ["--strict", "--service-url", "http://127.0.0.1:9"]
        else:
            environ["QUICKTUNNEL_HA_CONNECTIONS"] = names = "many"
            statuses = (2,)
        async with command("run", app, *arguments, environ=environ, cwd=TESTS) as run:
            assert await run.ended() in statuses
    assert names in run.err
    assert "Traceback" not in run.err


async def test_nobody_who_reads_is_no_reason_to_end(local_edge):
    """Standard output that was closed (`| head`) is not written any more; the app goes on."""
    ours, theirs = os.pipe()
    os.close(ours)
    process = await asyncio.create_subprocess_exec(
        *("python", "-m", "asgi_quicktunnel", "run", APP, "--port", "0", "--json"),
        env=environment(local_edge, ha_connections=1),
        cwd=TESTS,
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(theirs)
    async with local_edge.httpx_client() as visitor:
        tunnel = await local_edge.wait_registered()
        for _ in range(2):
            assert (await visitor.get(tunnel.url)).text == "hello"
    process.terminate()
    _, errors = await process.communicate()
    assert b"Error" not in errors, errors.decode()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "::1", "ssl_certfile": "c"}, "https://[::1]:8000"),
        ({"port": 0}, None),
        ({"uds": "/run/app"}, None),
        ({"fd": 3}, None),
    ],
)
async def test_neighbours_find_the_server_where_it_was_told_to_listen(given, url):
    """The address that leads to the diagnostics; none where only the server will know it."""
    nothing = {"uds": None, "fd": None, "ssl_certfile": None}
    assert _local_url({"host": "127.0.0.1", "port": 8000, **nothing, **given}) == url
