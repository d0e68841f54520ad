"""The loads that every variant gets, and what is read off them.

A load is one function of a rig; it returns metrics by name. Times are seconds, rates are per
second, sizes are bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.rig import Rig

__all__ = ["FASTAPI_LOADS", "LOADS", "Load", "Metrics", "idle_cpu", "measured"]

Metrics = dict[str, float]
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Load:
    """One load.

    Attributes:
        name: the beginning of its metrics' names, and what `--only` asks for.
        run: of a rig and the seconds that are measured.
    """

    name: str
    run: Callable[[Rig, float], Awaitable[Metrics]]


async def measured(rig: Rig, command: str, **fields: Any) -> tuple[dict[str, Any], float]:
    """What a command measured, and the CPU seconds that the variant took for it."""
    before = rig.meter.cpu()
    result = await rig.run(command, **fields)
    return result, rig.meter.cpu() - before


def requests(concurrency: int) -> Load:
    """Small answers, so many visitors at once."""
    name = f"c{concurrency}"

    async def run(rig: Rig, seconds: float) -> Metrics:
        rate, cpu = await measured(
            rig,
            "requests",
            path="/small",
            expect=100,
            concurrency=concurrency,
            seconds=seconds,
            warmup=WARMUP,
        )
        return {
            f"{name}.p50": rate["p50"],
            f"{name}.p99": rate["p99"],
            f"{name}.rps": rate["per_second"],
            f"{name}.cpu": cpu / rate["total"],
        }

    return Load(name, run)


def bulk(direction: str, streams: int) -> Load:
    """As much as goes through."""
    name = f"{direction}{streams}"

    async def run(rig: Rig, seconds: float) -> Metrics:
        result, cpu = await measured(
            rig, "bulk", direction=direction, streams=streams, seconds=seconds, warmup=WARMUP
        )
        await asyncio.sleep(SETTLE)
        return {
            f"{name}.rate": result["per_second"],
            f"{name}.cpu_per_gib": cpu / result["total"] * GIB,
        }

    return Load(name, run)


def small_during(direction: str) -> Load:
    """Small answers to four visitors beside a bulk transfer."""
    name = f"small-during-{direction}"

    async def run(rig: Rig, seconds: float) -> Metrics:
        result = await rig.run(
            "bulk", direction=direction, streams=1, small=4, seconds=seconds, warmup=WARMUP
        )
        await asyncio.sleep(SETTLE)
        small = result["small"]
        return {f"{name}.p50": small["p50"], f"{name}.p99": small["p99"]}

    return Load(name, run)


def websockets(sockets: int) -> Load:
    """Echoed messages of 32 bytes, one in flight on each WebSocket."""
    name = "websocket"

    async def run(rig: Rig, seconds: float) -> Metrics:
        rate, cpu = await measured(
            rig, "websockets", sockets=sockets, size=32, seconds=seconds, warmup=WARMUP
        )
        return {
            f"{name}.rps": rate["per_second"],
            f"{name}.p50": rate["p50"],
            f"{name}.cpu": cpu / rate["total"],
        }

    return Load(name, run)


def fastapi(concurrency: int) -> Load:
    """A JSON endpoint of FastAPI."""

    async def run(rig: Rig, seconds: float) -> Metrics:
        rate = await rig.run(
            "requests",
            path="/items/42?name=lamp",
            concurrency=concurrency,
            seconds=seconds,
            warmup=WARMUP,
        )
        return {"fastapi.rps": rate["per_second"], "fastapi.p50": rate["p50"]}

    return Load("fastapi", run)


async def idle_cpu(rigs: Sequence[Rig], seconds: float) -> list[float]:
    """The share of one core that each takes while nothing is asked."""
    await asyncio.sleep(1.0)  # what is left of the loads before
    before = [rig.meter.cpu() for rig in rigs]
    await asyncio.sleep(seconds)
    return [(rig.meter.cpu() - first) / seconds for rig, first in zip(rigs, before, strict=True)]


WARMUP = 0.2  # s of each load before it is measured
SETTLE = 0.1  # s after a transfer, for what was on its way when the visitors went

LOADS = [
    requests(1),
    requests(16),
    requests(64),
    requests(256),
    bulk("down", 1),
    bulk("down", 4),
    bulk("up", 1),
    bulk("up", 4),
    small_during("down"),
    small_during("up"),
    websockets(16),
]
FASTAPI_LOADS = [fastapi(16)]
