"""The command `asgi-quicktunnel`, run as a user runs it."""

import asyncio
import re
import signal
import socket

import anyio
import certifi
import pytest

from asgi_quicktunnel.config import PACKAGE_VERSION
from asgi_quicktunnel.demo.guestbook import GuestbookVisitor
from asgi_quicktunnel.emulator.client import visitor_client

from tests_support.terminal import COMMAND, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def start(*arguments, **environ):
    """The command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env={**environment(), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments):
    """Run to the end: exit status, output, errors."""
    with anyio.fail_after(60):
        process = await start(*arguments)
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_version():
    """`--version` names the command and its version, the engine and what runs it."""
    status, output, _ = await run("--version")
    assert status == 0
    first, second = output.splitlines()
    assert first == f"asgi-quicktunnel, version {PACKAGE_VERSION}"
    assert re.match(r"QUIC by (aioquic|native) [\d.]+; .*uvicorn \d.*; \w+ 3\.\d+", second)


async def test_the_help_names_the_commands_and_the_exit_statuses():
    """Who asks for help learns of each command, of its options, and of what a status means."""
    status, output, _ = await run("--help")
    assert status == 0
    for command in ("run", "proxy", "demo", "edge", "doctor"):
        assert re.search(rf"^  {command} +\S", output, re.MULTILINE)
    assert re.search(r"130 +a Ctrl-C", output)
    status, output, _ = await run("run", "--help")
    assert status == 0
    for option in ("--reload", "--app-dir", "--ha-connections", "--edge", "--json"):
        assert option in output
    assert "QUICKTUNNEL_EDGE" in output


async def test_the_check_of_the_demo_succeeds():
    """`demo --check` fetches and posts through the public URL, says so, and exits with 0."""
    status, output, errors = await run("demo", "--check")
    assert status == 0, errors
    assert len(re.findall(r"^ok: (GET|POST) http://\S+\.localhost:\d+/", output, re.MULTILINE)) == 2
    assert "Traceback" not in errors


async def test_the_check_of_the_django_demo_succeeds():
    """`demo django --check` makes a project's database and visits each part of it."""
    status, output, errors = await run("demo", "django", "--check")
    assert status == 0, output + errors
    assert len(re.findall(r"^ok: ", output, re.MULTILINE)) == len(output.splitlines()) == 6
    assert "Traceback" not in errors


async def test_the_django_demo_lets_its_administrator_in():
    """It prints the URL, a name and a password that the admin takes; Ctrl-C ends it within 3 s."""
    with anyio.fail_after(60):
        process = await start("demo", "django")
        lines = []
        while "Ctrl-C" not in (lines[-1] if lines else ""):
            lines.append((await process.stdout.readline()).decode())
        said = "".join(lines)
        host, port = re.search(r"public at http://([\w.-]+):(\d+)", said).groups()
        name, password = re.search(r"/admin/ as (\w+) with the password (\S+)", said).groups()
        address = ("127.0.0.1", int(port))
        url = f"http://{host}:{port}"
        for tried in ("a wrong one", password):
            async with visitor_client(address, certifi.where(), base_url=url) as client:
                visitor = GuestbookVisitor(client, address, lines.append)
                assert (await visitor.administer(name, tried) is None) == (tried == password)
        with anyio.fail_after(3):
            process.send_signal(signal.SIGINT)
            _, errors = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in errors, errors.decode()


@pytest.mark.alone
async def test_the_demo_ends_at_ctrl_c_although_a_download_is_open():
    """The demo prints its URL; Ctrl-C ends it within 2 s with a stream open through the tunnel."""
    with anyio.fail_after(60):
        process = await start("demo")
        lines = []
        while "Ctrl-C" not in (lines[-1] if lines else ""):
            lines.append((await process.stdout.readline()).decode())
        host, port = re.search(r"public at http://([\w.-]+):(\d+)", "".join(lines)).groups()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        with anyio.fail_after(3):
            process.send_signal(signal.SIGINT)
            _, errors = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in errors, errors.decode()
        writer.close()


async def test_the_edge_alone_serves_a_connector_elsewhere():
    """`edge` prints the settings that another process needs, and ends at SIGTERM."""
    from asgi_quicktunnel import QuickTunnel

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    with anyio.fail_after(60):
        process = await start("edge")
        settings = {}
        while len(settings) < 3:
            line = (await process.stdout.readline()).decode()
            if found := re.search(r"QUICKTUNNEL_(\w+)=(\S+)", line):
                settings[found[1].lower()] = found[2]
        async with QuickTunnel(app, **settings) as tunnel:
            address = ("127.0.0.1", int(tunnel.url.rpartition(":")[2]))
            async with visitor_client(address, settings["ca_file"]) as visitor:
                assert (await visitor.get(tunnel.url)).text == "here"
        process.terminate()
        assert await process.wait() == 0


async def test_a_taken_port_is_one_line():
    """A user's mistake is one line on standard error and exit status 1, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in ("demo", "edge"):
            status, _, errors = await run(command, "--port", port)
            assert status == 1
            assert port in errors
            assert "Traceback" not in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("edge", "--fin", "late"),
        ("demo", "--port", "70000"),
        ("run", "module:app", "--edge", "nowhere"),
        ("run", "module:app", "--lifespan", "off"),
        ("proxy", "8000", "--grace-period", "soon"),
        ("doctor", "--edge-ip-version", "5"),
        ("nothing",),
    ],
)
async def test_wrong_arguments_are_explained(arguments):
    """What can't be used is named, with exit status 2."""
    status, _, errors = await run(*arguments)
    assert status == 2
    assert arguments[-1] in errors
