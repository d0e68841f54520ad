"""The library `websockets` as a visitor."""

import asyncio
import os
import ssl

import pytest
import websockets
from websockets.asyncio.client import connect

from tests_support.client_site import make_site
from tests_support.tunnelled import tunnelled

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def visit(edge, tunnel, path="/ws", **options):
    """A WebSocket to the tunnel; its name is looked up by nobody."""
    scheme, _, rest = tunnel.url.partition("://")
    host, port = edge.address
    if scheme == "https":
        options["ssl"] = ssl.create_default_context(cafile=edge.ca_file)
    uri = f"{scheme.replace('http', 'ws')}://{rest}{path}"
    return connect(uri, host=host, port=port, proxy=None, **options)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
async def test_messages_come_back(tls):
    """Text and binary messages of any size arrive whole, with and without TLS."""
    async with (
        tunnelled(make_site(), edge_options={"tls": tls}) as (edge, tunnel, _),
        visit(edge, tunnel, max_size=None) as socket,
    ):
        for message in ("", "grüße", b"", b"\x00\xff", os.urandom(1 << 20), "я" * 200_000):
            await socket.send(message)
            assert await socket.recv() == message


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_compression_is_agreed_on(compression):
    """permessage-deflate is used by those who offer it, and messages come back either way."""
    async with (
        tunnelled(make_site()) as (edge, tunnel, _),
        visit(edge, tunnel, compression=compression) as socket,
    ):
        names = [extension.name for extension in socket.protocol.extensions]
        assert names == (["permessage-deflate"] if compression else [])
        await socket.send("again and again " * 10_000)
        assert await socket.recv() == "again and again " * 10_000


async def test_a_subprotocol_is_chosen():
    """Of the subprotocols offered the visitor gets the one that the app picked."""
    async with tunnelled(make_site()) as (edge, tunnel, _):
        async with visit(edge, tunnel, subprotocols=["chat", "echo"]) as socket:
            assert socket.subprotocol == "echo"
        async with visit(edge, tunnel) as socket:
            assert socket.subprotocol is None


async def test_a_fragmented_message_is_one_message():
    """A message sent in fragments comes back whole."""
    async with tunnelled(make_site()) as (edge, tunnel, _), visit(edge, tunnel) as socket:
        await socket.send(["one", "", "two", "three"])
        assert await socket.recv() == "onetwothree"


async def test_pings_are_answered():
    """A ping gets its pong."""
    async with tunnelled(make_site()) as (edge, tunnel, _), visit(edge, tunnel) as socket:
        assert await (await socket.ping(b"are you there")) >= 0


async def test_the_app_closes_with_its_own_code():
    """Code and reason of the app's close reach the visitor."""
    async with tunnelled(make_site()) as (edge, tunnel, _), visit(edge, tunnel) as socket:
        await socket.send("bye")
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await socket.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")


async def test_a_route_that_is_none_is_refused():
    """A WebSocket to a path without one is declined with 403."""
    async with tunnelled(make_site()) as (edge, tunnel, _):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await visit(edge, tunnel, "/nowhere")
    assert refused.value.response.status_code == 403


async def test_fifty_at_once():
    """50 WebSockets over one tunnel each get their own messages, beside ordinary requests."""
    async with tunnelled(make_site()) as (edge, tunnel, visitor):

        async def talk(number):
            async with visit(edge, tunnel) as socket:
                for turn in range(5):
                    await socket.send(f"{number}: {turn}")
                    assert await socket.recv() == f"{number}: {turn}"

        await asyncio.gather(*map(talk, range(50)))
        assert (await visitor.get("/facts")).status_code == 200
