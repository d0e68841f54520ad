"""What the guard costs while nothing is stalled: small requests with and without it, in turn.

The app runs in a process of its own; the embedded edge in this one asks for small pages over one
QUIC connection, 1 and 16 at a time. The guard is switched on and off between rounds of one run;
printed are the medians of both and their ratio.

    python bench/guard.py [--rounds 15] [--seconds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)  # not this folder, for its websockets.py

from asgi_quicktunnel import QuickTunnel, TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.guard import shared_guard

from bench.paired import answer_small, connector_process, load, paired


async def connector() -> None:
    """The process under test; "on" and "off" lines switch the guard."""
    config = TunnelConfig(enabled=True, ha_connections=1)
    async with QuickTunnel(answer_small, config) as tunnel:
        print(tunnel.url, flush=True)
        loop = asyncio.get_running_loop()
        (connection,) = tunnel._supervisor.connections
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "on":
                shared_guard().watch(connection.stalled)
            else:
                shared_guard().unwatch(connection.stalled)
            print("done", flush=True)


async def measure(rounds: int, seconds: float) -> None:
    """Run both variants in turn and print."""
    async with LocalEdge() as edge, connector_process(__file__, edge) as process:
        await process.stdout.readline()
        for at_once in (1, 16):
            await load(edge, at_once, seconds)  # warm
            rates: dict[str, list[float]] = {"on": [], "off": []}
            for number in range(rounds):
                for variant in ("on", "off") if number % 2 else ("off", "on"):
                    process.stdin.write(variant.encode() + b"\n")
                    await process.stdout.readline()
                    count, elapsed = await load(edge, at_once, seconds)
                    rates[variant].append(count / elapsed)
            on, off = (statistics.median(rates[variant]) for variant in ("on", "off"))
            print(
                f"{at_once:3d} at a time: {on:7.0f} requests/s with the guard, {off:7.0f} without; "
                f"median of paired ratios {paired(rates['on'], rates['off']):.3f}"
            )


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
