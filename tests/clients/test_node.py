"""Node's own fetch and WebSocket as visitors."""

import json
from pathlib import Path

import pytest

from tests_support.client_site import PAGE, make_site
from tests_support.programs import find_program, run_program, unavailable
from tests_support.tunnelled import tunnelled

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("node_visitor.mjs")


async def visit_with_node(task, edge, tunnel, *, needs):
    """What the script saw; skipped where Node has no `needs`."""
    node = find_program("node")
    flags = await _flags_for(node, needs)
    host, _ = edge.address
    return json.loads(await run_program(node, *flags, SCRIPT, task, tunnel.url, host))


async def _flags_for(node, needs):
    for flags in (["--no-warnings"], ["--no-warnings", "--experimental-websocket"]):
        try:
            if await run_program(node, *flags, "-p", f"typeof {needs}") == b"function\n":
                return flags
        except AssertionError:
            continue  # a flag that this Node does not know
    version = (await run_program(node, "--version")).decode().strip()
    return unavailable("node", f"Node {version} has no {needs}")


async def test_fetch():
    """fetch gets pages, posts forms and streams, reads parts as they come, follows redirects."""
    async with tunnelled(make_site()) as (edge, tunnel, _):
        seen = await visit_with_node("fetch", edge, tunnel, needs="fetch")
        assert seen["redirected"] == [tunnel.url + "/facts", True]

    assert seen["page"] == [200, "text/html; charset=utf-8", len(PAGE)]
    assert seen["missing"] == 404
    assert seen["form"]["name"] == "Ада"
    assert seen["form"]["file"]["filename"] == "größe.bin"
    assert seen["form"]["whole"] is True
    assert seen["upload"]["length"] == 400_000
    assert seen["ticks"] == ["tick 0\n", "tick 1\n", "tick 2\n"]
    assert seen["download"] == 2_000_000


async def test_websocket():
    """A WebSocket's messages come back in order; subprotocol, code and reason are the app's."""
    async with tunnelled(make_site()) as (edge, tunnel, _):
        seen = await visit_with_node("websocket", edge, tunnel, needs="WebSocket")

    assert seen == {
        "protocol": "echo",
        "same": [True] * 4,
        "code": 4001,
        "reason": "as you wish",
        "wasClean": True,
    }
