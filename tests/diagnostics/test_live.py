"""The WebSocket of the page, as a page sees it."""

import asyncio
import contextlib
import json
import time

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asgi_quicktunnel.diagnostics.routes import Diagnostics

from tests_support.page_site import served_site

pytestmark = pytest.mark.anyio


def listening(site, path="/_quicktunnel/live"):
    """A page's WebSocket, with the Origin that a browser says."""
    return connect(site.url.replace("http", "ws", 1) + path, origin=site.url, proxy=None)


async def next_of(socket, kind):
    """The next message of a type."""
    with anyio.fail_after(10):
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def close_code_of(socket):
    """Read until the other side ends it; the code it gave."""
    with anyio.fail_after(10), contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


async def test_a_page_is_told_everything_first():
    """Status, traffic and requests come at once, as their routes answer them."""
    async with served_site() as site:
        await site.visitor.get("/status/200")
        async with listening(site) as socket:
            messages = [json.loads(await socket.recv()) for _ in range(3)]
            assert [message["type"] for message in messages] == ["status", "traffic", "requests"]
            status, traffic, requests = messages
            async with httpx.AsyncClient(base_url=site.page) as local:
                assert status["status"].keys() == (await local.get("/status")).json().keys()
                answer = (await local.get("/requests")).json()
            assert status["status"]["url"] == site.public
            assert [count[1:] for count in traffic["traffic"]["counts"]] == [[0, 1, 0, 0, 0, 0]]
            assert traffic["reset"]
            assert requests["reset"]
            assert requests["inspecting"]
            assert requests["requests"] == answer["requests"]
            assert requests["revision"] == answer["revision"]


@pytest.mark.slow
async def test_changes_alone_come_after_that():
    """A request that comes is told of without those that were known, and status as time goes."""
    async with served_site() as site:
        await site.visitor.get("/status/200")
        async with listening(site) as socket:
            assert (await next_of(socket, "requests"))["reset"]
            await site.visitor.get("/status/404")
            message = await next_of(socket, "requests")
            assert not message["reset"]
            assert [each["path"] for each in message["requests"]] == ["/status/404"]
            assert message["oldest"] == "1"
            traffic = (await next_of(socket, "traffic"))["traffic"]
            assert sum(count[4] for count in traffic["counts"]) == 1  # 4xx
            ages = [
                (await next_of(socket, "status"))["status"]["connections"][0]["age"]
                for _ in range(2)
            ]
            assert 0.5 < ages[1] - ages[0] < 5


@pytest.mark.slow
async def test_a_burst_is_told_in_few_messages():
    """However many requests come, there are at most four rounds a second."""
    async with served_site() as site, listening(site) as socket:
        await next_of(socket, "requests")
        began = time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask, site.visitor, 40)
        rounds, known = 0, set()
        while len(known) < 200:
            message = await next_of(socket, "requests")
            rounds += 1
            known |= {each["id"] for each in message["requests"]}
        assert rounds <= 4 * (time.monotonic() - began) + 2


async def ask(visitor, times):
    for _ in range(times):
        await visitor.get("/status/200")


@pytest.mark.slow
async def test_a_page_that_does_not_read_gets_one_message_for_all_it_missed():
    """While a message waits to be sent nothing piles up behind it; the next has it all."""
    async with served_site() as site:
        diagnostics = Diagnostics("/_quicktunnel", lambda: site.tunnel)
        may_send, sent = asyncio.Event(), []
        may_send.set()

        async def send(message):
            await may_send.wait()
            sent.append(message)

        async def receive():
            if not sent:
                return {"type": "websocket.connect"}
            return await asyncio.Future()  # the page says nothing and stays

        running = asyncio.create_task(diagnostics(live_scope(), receive, send))
        with anyio.fail_after(20):
            while len(sent) < 4:  # websocket.accept and the first three
                await asyncio.sleep(0.01)
            may_send.clear()
            await ask(site.visitor, 200)  # several rounds' time
            may_send.set()
            told = []
            while len(told) < 200:
                told = [
                    each["id"]
                    for message in sent[4:]
                    for each in json.loads(message["text"]).get("requests", ())
                ]
                await asyncio.sleep(0.01)
        messages = [json.loads(message["text"]) for message in sent[4:]]
        assert sum(message["type"] == "requests" for message in messages) <= 2
        assert len(set(told)) == 200
        running.cancel()
        await asyncio.wait({running})


def live_scope():
    return {
        "type": "websocket",
        "scheme": "ws",
        "path": "/_quicktunnel/live",
        "raw_path": b"/_quicktunnel/live",
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")],
        "subprotocols": [],
    }


async def test_several_pages_are_told_the_same():
    """Each page hears of each request, whenever it came; one that leaves disturbs none."""
    async with served_site() as site, listening(site) as one, listening(site) as two:
        async with listening(site) as three:
            await next_of(three, "requests")
        for number in range(3):
            await site.visitor.get(f"/status/20{number}")
        for page in (one, two):
            paths = set()
            while len(paths) < 3:
                message = await next_of(page, "requests")
                paths |= {each["path"] for each in message["requests"]}


async def test_what_a_page_says_is_ignored():
    """Text, bytes and a lot of them change nothing."""
    async with served_site() as site, listening(site) as socket:
        for said in ("{}", "x" * 100_000, b"\0\1"):
            await socket.send(said)
        await site.visitor.get("/status/200")
        while not (await next_of(socket, "requests"))["requests"]:
            pass


async def test_the_end_of_the_tunnel_ends_it():
    """When the tunnel stops while the server runs on, the page is asked to come back later."""
    async with served_site() as site, listening(site) as socket:
        await next_of(socket, "requests")
        await site.tunnel.aclose()
        assert await close_code_of(socket) == 1012


async def test_a_server_that_stops_is_not_held_up():
    """An open page costs the shutdown nothing, and hears 1012."""
    async with served_site() as site:
        socket = await listening(site)
        await next_of(socket, "requests")
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert await close_code_of(socket) == 1012


async def test_a_plain_request_is_told_what_is_needed():
    """What a server without WebSockets makes of an upgrade is refused with a word."""
    async with served_site() as site, httpx.AsyncClient(base_url=site.page) as local:
        answer = await local.get("/live")
        assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
