"""What proxy mode costs: CPU for each request beside the app in process, and memory for 1 GiB.

The embedded edge in this process asks for pages of 100 bytes, 16 at a time, of connectors in
processes of their own: one with the app in process, one that leads to a uvicorn beside it. The same
uvicorn is also asked directly. The three take turns; printed are medians of CPU milliseconds per
1000 requests of connector and server, and how proxy mode compares with the other two together.
Then 1 GiB goes through a pool of connections each way, and the growth of peak memory is printed.

    python bench/proxy.py [--rounds 5] [--seconds 2] [--gib 1]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager

sys.path.pop(0)  # this folder: its websockets.py would hide the library of that name

import uvicorn
import uvloop

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.pool import OriginPool, PoolSettings
from asgi_quicktunnel.origin.tcp import TcpOrigin
from asgi_quicktunnel.origin_address import OriginAddress

HEADERS = [(b"x-header-%d" % number, b"value %d" % number) for number in range(10)]
BODY = b"x" * 100
AT_ONCE = 16
BLOCK = bytes(65536)


async def app(scope, receive, send):
    """100 bytes; below /size as many as asked for, and what is posted is read."""
    size = int(scope["path"].removeprefix("/size/")) if scope["path"] != "/" else len(BODY)
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if size == len(BODY):
        await send({"type": "http.response.body", "body": BODY})
        return
    for left in range(size, 0, -len(BLOCK)):
        part = {"body": BLOCK[:left], "more_body": left > len(BLOCK)}
        await send({"type": "http.response.body", **part})


async def report_cpu() -> None:
    """Answer each line with the CPU seconds used so far, until there is none."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(time.process_time(), flush=True)


async def serve() -> None:
    """The process with uvicorn."""
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await report_cpu()
    server.should_exit = True
    await serving


async def connect(origin: str | None) -> None:
    """A process with a tunnel, to the app or to `origin`."""
    async with QuickTunnel(origin or app, enabled=True, ha_connections=1) as tunnel:
        print(tunnel.url, flush=True)
        await report_cpu()


class Sink:
    """A visitor without a network: sends `upload` bytes, counts what it gets."""

    def __init__(self, head: RequestHead, upload: int) -> None:
        self.head = head
        self.left = upload
        self.received = 0

    async def receive(self):
        await asyncio.sleep(0)
        part = BLOCK[: self.left]
        self.left -= len(part)
        return part

    async def respond(self, head):
        assert head.status == 200, head

    async def send(self, data):
        self.received += len(data)
        await asyncio.sleep(0)

    async def send_eof(self):
        pass

    def reset(self, code=0):
        raise SystemExit("the stream was reset")

    async def disconnected(self):
        await asyncio.get_running_loop().create_future()


async def move(origin: str, size: int) -> None:
    """`size` bytes each way through a pool; prints MB/s and MiB of growth for each."""
    pool = OriginPool(OriginAddress.parse(origin), PoolSettings())
    tcp = TcpOrigin(pool, emit=lambda event: None)
    facts = ConnectionFacts(0, "lis01")
    length = [(b"content-length", b"%d" % size)]
    heads = {
        "warm": (RequestHead(RequestKind.HTTP, b"/", "GET", b"a.test"), 0),
        "down": (RequestHead(RequestKind.HTTP, b"/size/%d" % size, "GET", b"a.test"), 0),
        "up": (RequestHead(RequestKind.HTTP, b"/", "PUT", b"a.test", length), size),
    }
    for name, (head, upload) in heads.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        sink = Sink(head, upload)
        await tcp.serve(sink, facts)
        seconds = time.perf_counter() - began
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if name != "warm":
            assert sink.received + upload >= size, (sink.received, upload)
            print(f"{name} {size / seconds / 1e6:.0f} {growth / 1024:.1f}", flush=True)
    await tcp.aclose()


class Process:
    """This file in another process."""

    def __init__(self, process) -> None:
        self._process = process

    async def line(self) -> str:
        line = (await self._process.stdout.readline()).decode().strip()
        assert line, "the process ended"
        return line

    async def cpu(self) -> float:
        self._process.stdin.write(b"\n")
        return float(await self.line())


@asynccontextmanager
async def started(*arguments: str, config=None):
    """`async with started("--serve") as process`."""
    environ = dict(os.environ)
    if config is not None:
        environ |= {
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
        }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    try:
        yield Process(process)
    finally:
        process.stdin.close()
        await process.wait()


async def load(ask, seconds: float) -> int:
    """How many times `ask()` was done, 16 at a time."""
    end = time.perf_counter() + seconds
    count = 0

    async def one() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await ask()
            count += 1

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return count


HEAD = RequestHead(RequestKind.HTTP, b"/", "GET", b"bench.example", HEADERS)


def through_edge(edge: LocalEdge):
    """Asks over the one QUIC connection of an edge."""
    (connection,) = edge.connections

    async def ask() -> None:
        answer = await connection.open_request(HEAD, end=True)
        assert (await answer.receive_head()).status == 200
        while await answer.receive():
            pass

    return ask


def directly(origin: str):
    """Asks a server over kept connections."""
    pool = OriginPool(OriginAddress.parse(origin), PoolSettings())
    tcp = TcpOrigin(pool, emit=lambda event: None)
    facts = ConnectionFacts(0, "lis01")

    async def ask() -> None:
        await tcp.serve(Sink(HEAD, 0), facts)

    return ask


async def measure(rounds: int, seconds: float, size: int) -> None:
    """Run the three in turn and print."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(started("--serve"))
        origin = f"127.0.0.1:{await server.line()}"
        edges = [await enter(LocalEdge()) for _ in range(2)]
        in_process = await enter(started("--connect", "", config=edges[0].config()))
        proxy = await enter(started("--connect", origin, config=edges[1].config()))
        for process in (in_process, proxy):
            await process.line()
        variants = {
            "app in process": (through_edge(edges[0]), [in_process]),
            "uvicorn alone": (directly(origin), [server]),
            "proxy mode": (through_edge(edges[1]), [proxy, server]),
        }
        figures = {name: [] for name in variants}
        for _ in range(rounds):
            for name, (ask, processes) in variants.items():
                before = sum([await process.cpu() for process in processes])
                count = await load(ask, seconds)
                used = sum([await process.cpu() for process in processes]) - before
                figures[name].append(used / count * 1e6)
        medians = {name: statistics.median(values) for name, values in figures.items()}
        for name, value in medians.items():
            print(f"{name:<16} {value:6.0f} ms CPU per 1000 requests")
        both = medians["app in process"] + medians["uvicorn alone"]
        print(f"proxy mode costs {medians['proxy mode'] / both:.2f}x the other two together")
        async with started("--move", origin, "--size", str(size)) as mover:
            for _ in range(2):
                name, speed, growth = (await mover.line()).split()
                print(f"{size / (1 << 30):g} GiB {name:<4} {speed} MB/s, +{growth} MiB peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--connect", help=argparse.SUPPRESS)
    parser.add_argument("--move", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        work = serve()
    elif options.connect is not None:
        work = connect(options.connect or None)
    elif options.move:
        work = move(options.move, options.size)
    else:
        work = measure(options.rounds, options.seconds, int(options.gib * (1 << 30)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
