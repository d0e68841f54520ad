"""Memory and company of idle WebSockets: many of them on one connection of the embedded edge.

The connector runs in a process of its own; the edge and the visitors are in this one.
Printed: what a WebSocket adds to the connector's resident memory, idle and after one message each
way, with permessage-deflate agreed upon as browsers do and without; and the time of a GET alone
and beside them.

    python bench/websockets.py [--count 1000] [--gets 300]
"""

from __future__ import annotations

import sys

sys.path.pop(0)  # this folder: in it this file has the name of a library

import argparse
import asyncio
import gc
import os
import statistics
import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from asgi_quicktunnel import QuickTunnel, TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge

AT_ONCE = 50  # handshakes under way


async def app(scope, receive, send):
    """GET: "fine"; a WebSocket: echo."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def resident() -> int:
    """Resident memory of this process in bytes (proc(5))."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def connector() -> None:
    """The process that is measured: says its memory at each line it is sent."""
    async with QuickTunnel(app, TunnelConfig(enabled=True, ha_connections=1)) as tunnel:
        print(tunnel.url, flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(resident(), flush=True)


class Connector:
    """The other process, as seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    async def start(cls, edge: LocalEdge) -> Connector:
        config = edge.config()
        environ = {
            **os.environ,
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "--connector",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environ,
        )
        return cls(process, (await process.stdout.readline()).decode().strip())

    async def resident(self) -> int:
        """Its resident memory in bytes."""
        self.process.stdin.write(b"\n")
        return int(await self.process.stdout.readline())

    async def stop(self) -> None:
        self.process.stdin.close()
        await self.process.wait()


async def open_sockets(url: str, count: int, compression: str | None) -> list[ClientConnection]:
    """So many idle WebSockets; the name in the URL is looked up by nobody."""
    gate = asyncio.Semaphore(AT_ONCE)
    port = urlsplit(url).port

    async def open_one() -> ClientConnection:
        async with gate:
            return await connect(
                url.replace("http", "ws", 1),
                host="127.0.0.1",
                port=port,
                proxy=None,
                compression=compression,
                ping_interval=None,
            )

    return await asyncio.gather(*(open_one() for _ in range(count)))


async def time_gets(client, url: str, count: int) -> list[float]:
    """Milliseconds of so many GETs, one after the other."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        answer = await client.get(url)
        times.append((time.perf_counter() - began) * 1000)
        assert answer.text == "fine"
    return times


def describe(times: list[float]) -> str:
    percentiles = statistics.quantiles(times, n=100)
    return f"median {percentiles[49]:.2f} ms, 99th percentile {percentiles[98]:.2f} ms"


async def measure(count: int, gets: int, compression: str | None) -> None:
    """Open, measure, say one thing each, measure."""
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(LocalEdge(max_in_flight=count + 100))
        connector = await Connector.start(edge)
        stack.push_async_callback(connector.stop)
        client = await stack.enter_async_context(edge.httpx_client())
        await time_gets(client, connector.url, gets)  # what is made once is made now
        alone = await time_gets(client, connector.url, gets)
        start = await connector.resident()

        began = time.perf_counter()
        sockets = await open_sockets(connector.url, count, compression)
        elapsed = time.perf_counter() - began
        idle = await connector.resident()
        beside = await time_gets(client, connector.url, gets)
        for socket in sockets:
            await socket.send("one message")
        for socket in sockets:
            assert await socket.recv() == "one message"
        used = await connector.resident()

        print(f"{count} WebSockets, {compression or 'no'} compression, opened in {elapsed:.1f} s")
        print(f"  connector before: {start / 2**20:.1f} MiB")
        print(f"  each, idle: {(idle - start) / count / 1024:.1f} KiB")
        print(f"  each, after a message each way: {(used - start) / count / 1024:.1f} KiB")
        print(f"  a GET alone: {describe(alone)}")
        print(f"  a GET beside them: {describe(beside)}")
        await asyncio.gather(*(socket.close() for socket in sockets))


def main() -> None:
    """Read the arguments and run one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="WebSockets")
    parser.add_argument("--gets", type=int, default=300, help="GETs that are timed")
    parser.add_argument("--connector", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.connector:
        asyncio.run(connector())
        return
    for compression in (None, "deflate"):
        asyncio.run(measure(options.count, options.gets, compression))


if __name__ == "__main__":
    main()
