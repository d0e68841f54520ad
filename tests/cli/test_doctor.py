"""`asgi-quicktunnel doctor`, as a user runs it."""

import json
import socket

import anyio
import pytest

from tests_support.terminal import at_terminal, command, environment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(60):
        yield


async def doctor(*arguments, **environ):
    """Exit status, and each check with its verdict and advice."""
    async with command("doctor", "--json", *arguments, environ={**environment(), **environ}) as run:
        status = await run.ended()
    assert "Traceback" not in run.err
    report = json.loads(run.out)
    assert report["ok"] is (status == 0)
    return status, {check["check"]: check for check in report["checks"]}


async def test_the_embedded_edge_is_healthy():
    """Every check but TCP passes or is not needed, and a whole tunnel works."""
    status, checks = await doctor("--edge", "local", "--deep")
    assert status == 0
    verdicts = {name: check["verdict"] for name, check in checks.items()}
    assert verdicts == {
        "versions": "PASS",
        "proxy": "PASS",
        "service": "PASS",
        "clock": "PASS",
        "srv": "SKIP",
        "UDP region 1 IPv4": "PASS",
        "UDP region 2 IPv4": "PASS",
        "TCP region 1 IPv4": "WARN",
        "TCP region 2 IPv4": "WARN",
        "certificate": "PASS",
        "tunnel": "PASS",
    }
    assert checks["service"]["elapsed"] > 0


async def test_what_is_wrong_fails_and_says_what_to_do(local_edge):
    """A dead service and a closed UDP port; the other region still answers, which is a warning."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    edges = f"{local_edge.edge_addresses[0]},127.0.0.1:{port}"
    status, checks = await doctor(
        *("--edge", edges, "--ca-file", local_edge.ca_file),
        *("--service-url", "http://127.0.0.1:9"),
    )
    assert status == 1
    assert checks["service"]["verdict"] == "FAIL"
    assert "service_url" in checks["service"]["advice"]
    assert checks["clock"]["verdict"] == "SKIP"
    assert checks["UDP region 1 IPv4"]["verdict"] == "PASS"
    assert checks["UDP region 2 IPv4"]["verdict"] == "WARN"
    assert str(port) in checks["UDP region 2 IPv4"]["found"]
    assert f"UDP port {port}" in checks["UDP region 2 IPv4"]["advice"]


async def test_people_read_lines(local_edge):
    """Without the edge's own CA: the certificate fails, in red, and no tunnel was taken."""
    config = local_edge.config()
    arguments = ("--edge", config.edge, "--service-url", config.service_url)
    async with at_terminal("doctor", *arguments, environ=environment(), columns=200) as run:
        assert await run.ended() == 1
    assert "FAIL  certificate" in run.shown
    assert "check the clock and the option ca_file" in run.shown
    assert "PASS  UDP region 1 IPv4" in run.shown
    assert "a tunnel can't work like this" in run.shown
    assert "\x1b[1;31m" in run.out
    assert not local_edge.tunnels.values()
