"""What the guard costs while nothing is stalled: small requests with and without it, in turn.

The app runs in a process of its own; the embedded edge in this one asks for small pages over one
QUIC connection, 1 and 16 at a time. The guard is switched on and off between rounds of one run;
printed are the medians of both and their ratio.

    python bench/guard.py [--rounds 15] [--seconds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time

sys.path.pop(0)  # this folder: its websockets.py would hide the library of that name

from asgi_quicktunnel import QuickTunnel, TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.guard import shared_guard
from asgi_quicktunnel.model import RequestHead, RequestKind

HEADERS = [(b"x-header-%d" % number, b"value %d" % number) for number in range(20)]
BODY = b"x" * 100


async def app(scope, receive, send):
    """100 bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BODY})


async def connector() -> None:
    """The process under test; "on" and "off" lines switch the guard."""
    config = TunnelConfig(enabled=True, ha_connections=1)
    async with QuickTunnel(app, config) as tunnel:
        print(tunnel.url, flush=True)
        loop = asyncio.get_running_loop()
        (connection,) = tunnel._supervisor.connections
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "on":
                shared_guard().watch(connection.stalled)
            else:
                shared_guard().unwatch(connection.stalled)
            print("done", flush=True)


async def throughput(edge: LocalEdge, at_once: int, seconds: float) -> float:
    """Requests answered per second, `at_once` at a time."""
    (connection,) = edge.connections
    head = RequestHead(RequestKind.HTTP, b"/", "GET", b"bench.example", HEADERS)
    end = time.perf_counter() + seconds
    count = 0

    async def ask() -> None:
        nonlocal count
        while time.perf_counter() < end:
            answer = await connection.open_request(head, end=True)
            await answer.receive_head()
            while await answer.receive():
                pass
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def measure(rounds: int, seconds: float) -> None:
    """Run both variants in turn and print."""
    async with LocalEdge() as edge:
        config = edge.config()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "--connector",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "QUICKTUNNEL_SERVICE_URL": config.service_url,
                "QUICKTUNNEL_EDGE": config.edge,
                "QUICKTUNNEL_CA_FILE": config.ca_file,
            },
        )
        try:
            await process.stdout.readline()
            for at_once in (1, 16):
                await throughput(edge, at_once, seconds)  # warm
                rates: dict[str, list[float]] = {"on": [], "off": []}
                for number in range(rounds):
                    for variant in ("on", "off") if number % 2 else ("off", "on"):
                        process.stdin.write(variant.encode() + b"\n")
                        await process.stdout.readline()
                        rates[variant].append(await throughput(edge, at_once, seconds))
                on, off = (statistics.median(rates[variant]) for variant in ("on", "off"))
                paired = statistics.median(
                    a / b for a, b in zip(rates["on"], rates["off"], strict=True)
                )
                print(
                    f"{at_once:3d} at a time: {on:7.0f} requests/s with the guard, "
                    f"{off:7.0f} without; median of paired ratios {paired:.3f}"
                )
        finally:
            process.stdin.close()
            await process.wait()


def main() -> None:
    """Read the arguments and run one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one round")
    parser.add_argument("--connector", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.connector:
        asyncio.run(connector())
    else:
        asyncio.run(measure(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
