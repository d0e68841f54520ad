"""What keeping requests costs: small ones with and without the inspector, in turn.

The app runs in a process of its own; the embedded edge in this one asks for small pages over one
QUIC connection, 1, 16 and 64 at a time, with 20 headers each. The inspector is switched on and off
between rounds of one run. Printed are medians of requests per second and of CPU per request in the
app's process, and the medians of their paired ratios.

    python bench/inspector.py [--rounds 15] [--seconds 1] [--engine native]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)  # not this folder, for its websockets.py

import uvloop

from asgi_quicktunnel import QuickTunnel, TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge

from bench.paired import answer_small, connector_process, load, paired

VARIANTS = ("on", "off")


async def connector() -> None:
    """The process under test; "on" and "off" lines switch, and are answered with the CPU so far."""
    config = TunnelConfig(enabled=True, ha_connections=1)
    async with QuickTunnel(answer_small, config) as tunnel:
        (connection,) = tunnel._supervisor.connections
        origins = {"on": tunnel._inspection.origin, "off": tunnel._origin}
        print(connection.statistics().engine, flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            object.__setattr__(connection._plan, "origin", origins[line.strip()])
            print(time.process_time(), flush=True)


async def compare(edge: LocalEdge, process, at_once: int, rounds: int, seconds: float) -> None:
    """Both variants in turn, `at_once` requests at a time; prints a line."""

    async def switch(variant: str) -> float:
        process.stdin.write(variant.encode() + b"\n")
        return float(await process.stdout.readline())

    rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    costs: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    await load(edge, at_once, seconds)  # warm
    for number in range(rounds):
        for variant in VARIANTS if number % 2 else reversed(VARIANTS):
            before = await switch(variant)
            count, elapsed = await load(edge, at_once, seconds)
            costs[variant].append((await switch(variant) - before) / count * 1e6)
            rates[variant].append(count / elapsed)

    median = statistics.median
    print(
        f"{at_once:3d} at a time: {median(rates['on']):6.0f} requests/s with, "
        f"{median(rates['off']):6.0f} without, paired {paired(rates['on'], rates['off']):.3f}; "
        f"{median(costs['on']):6.1f} us CPU each with, {median(costs['off']):6.1f} without, "
        f"paired {paired(costs['on'], costs['off']):.3f}",
        flush=True,
    )


async def measure(options: argparse.Namespace) -> None:
    """Start the other process, compare and print."""
    async with (
        LocalEdge() as edge,
        connector_process(__file__, edge, QUICKTUNNEL_ENGINE=options.engine) as process,
    ):
        print("engine", (await process.stdout.readline()).decode().strip(), flush=True)
        for at_once in options.at_once:
            await compare(edge, process, at_once, options.rounds, options.seconds)


def main() -> None:
    """Read the arguments and run one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one round")
    parser.add_argument("--engine", choices=("auto", "native", "aioquic"), default="auto")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--connector", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(connector() if options.connector else measure(options))


if __name__ == "__main__":
    main()
