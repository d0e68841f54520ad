"""Tunnels, their names, and whose turn it is."""

import random
import re

import anyio
import pytest

from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.names import words
from asgi_quicktunnel.emulator.tunnels import Tunnels


@pytest.fixture
def changes():
    return Changes()


@pytest.fixture
def tunnels(changes):
    return Tunnels(changes, random.Random(1))


def test_names_are_words():
    """Four words with hyphens, a valid label, the same for the same random source."""
    name = words(random.Random(7))
    assert re.fullmatch(r"[a-z]+(-[a-z]+){3}", name)
    assert len(name) <= 63
    assert name == words(random.Random(7))
    assert len({words(random.Random(seed)) for seed in range(1000)}) == 1000


def test_urls(tunnels):
    """The URL has the scheme, name and port that were asked for."""
    tunnel = tunnels.create(scheme="https", port=4443)
    assert tunnel.url == f"https://{tunnel.name}:4443"
    assert tunnel.name.endswith(".localhost")


def test_tunnels_are_found(tunnels):
    """By name and by id; the latest is the last one."""
    assert tunnels.latest is None
    first, second = (tunnels.create(scheme="http", port=80) for _ in range(2))
    assert list(tunnels) == [first.name, second.name]
    assert tunnels[first.name] is first
    assert tunnels.by_id(second.credentials.tunnel_id) is second
    assert tunnels.latest is second
    with pytest.raises(KeyError):
        tunnels["nobody"]


def test_connections_take_turns(tunnels):
    """Requests go round; one that was withdrawn gets none."""
    tunnel = tunnels.create(scheme="http", port=80)
    assert tunnel.choose() is None
    for connection in "abc":
        tunnel.register(connection)
    assert sorted(tunnel.choose() for _ in range(6)) == list("aabbcc")
    tunnel.withdraw("b")
    tunnel.withdraw("b")
    assert sorted(tunnel.choose() for _ in range(4)) == list("aacc")
    assert tunnel.serving == ("a", "c")


@pytest.mark.anyio
async def test_waiting_for_changes(tunnels, changes):
    """Whoever waits wakes up when what it waits for is true, and not before."""
    tunnel = tunnels.create(scheme="http", port=80)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(changes.wait_for, lambda: len(tunnel.serving) == 2)
            for connection in "ab":
                await anyio.lowlevel.checkpoint()
                assert tasks.cancel_scope.cancel_called is False
                tunnel.register(connection)
        await changes.wait_for(lambda: True)


class Connection:
    """Only its identity matters here."""


def test_a_withdrawing_edge_forgets_a_tunnel_without_connections(changes):
    """With the last connection its name and its id are gone, and not before."""
    tunnels = Tunnels(changes, random.Random(1), withdrawing=True)
    tunnel = tunnels.create(scheme="http", port=80)
    first, second = Connection(), Connection()
    tunnel.register(first)
    tunnel.register(second)
    tunnel.withdraw(first)
    tunnel.withdraw(first)
    assert tunnels.by_id(tunnel.credentials.tunnel_id) is tunnel
    tunnel.withdraw(second)
    assert tunnels.by_id(tunnel.credentials.tunnel_id) is None
    assert list(tunnels) == []


def test_other_edges_keep_it(tunnels):
    """Without that option a tunnel stays, whoever serves it."""
    tunnel = tunnels.create(scheme="http", port=80)
    connection = Connection()
    tunnel.register(connection)
    tunnel.withdraw(connection)
    assert tunnels.by_id(tunnel.credentials.tunnel_id) is tunnel
