"""How cost grows: with open streams, body size, connections and headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from bench.generator import GeneratorError
from bench.loads import WARMUP, measured
from bench.results import Results, growth_exponent
from bench.rig import Bench, Rig
from bench.variants import Variant

__all__ = ["SERIES", "Growth", "Series", "measure_growth"]


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that grows.

    Attributes:
        name: of it, and of its plot.
        unit: of the sizes.
        sizes: rising.
        run: yields (size, CPU seconds of the variant per request).
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    run: Callable[[Bench, Variant, Series, float], AsyncIterator[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Growth:
    """One series of one variant.

    Attributes:
        series: name of it.
        variant: name of it.
        points: (size, CPU seconds per request).
    """

    series: str
    variant: str
    points: list[tuple[int, float]]

    @property
    def exponent(self) -> float:
        """0 for no growth, 1 for linear growth."""
        return growth_exponent(self.points)

    @property
    def is_linear_or_better(self) -> bool:
        """With room for noise."""
        return self.exponent <= 1.0 + NOISE


async def measure_growth(
    bench: Bench,
    variants: list[Variant],
    results: Results,
    *,
    seconds: float,
    quick: bool,
    say: Callable[[str], None],
) -> list[Growth]:
    """Every series of every variant; what fails is noted in `results`.

    Args:
        bench: how to start them.
        variants: which.
        results: takes the failures.
        seconds: of each size.
        quick: the first, middle and last size of each series only.
        say: tells how far it is.
    """
    found = []
    for whole in SERIES:
        series = replace(whole, sizes=_three(whole.sizes)) if quick else whole
        for variant in variants:
            if series.name == "connections" and variant.kind != "tunnel":
                continue  # quick tunnels of cloudflared have one
            say(f"growth with {series.name}: {variant.name}")
            growth = Growth(series.name, variant.name, [])
            try:
                async for point in series.run(bench, variant, series, seconds):
                    growth.points.append(point)
            except (GeneratorError, ProcessLookupError) as exc:
                results.fail(f"growth with {series.name}, {variant.name}", exc)
            if len(growth.points) > 1:
                found.append(growth)
    return found


async def _open_streams(
    bench: Bench, variant: Variant, series: Series, seconds: float
) -> AsyncIterator[tuple[int, float]]:
    """WebSockets and answers without end, half of each, on which nothing happens."""
    async with bench.rig(variant) as rig:
        opened = 0
        for size in series.sizes:
            for kind in ("websocket", "answer"):
                count = size // 2 - opened // 2 + (size % 2 - opened % 2) * (kind == "websocket")
                await rig.run("hold", kind=kind, count=count)
            opened = size
            yield size, await _cost(rig, seconds)
        await rig.run("release")


async def _body_size(
    bench: Bench, variant: Variant, series: Series, seconds: float
) -> AsyncIterator[tuple[int, float]]:
    async with bench.rig(variant) as rig:
        for size in series.sizes:
            yield size, await _cost(rig, seconds, path=f"/bytes/{size}", expect=size, concurrency=2)


async def _connections(
    bench: Bench, variant: Variant, series: Series, seconds: float
) -> AsyncIterator[tuple[int, float]]:
    for size in series.sizes:
        async with bench.rig(variant, connections=size) as rig:
            yield size, await _cost(rig, seconds)


async def _headers(
    bench: Bench, variant: Variant, series: Series, seconds: float
) -> AsyncIterator[tuple[int, float]]:
    async with bench.rig(variant) as rig:
        for size in series.sizes:
            yield size, await _cost(rig, seconds, headers=size)


async def _cost(rig: Rig, seconds: float, **fields: object) -> float:
    """CPU seconds per request."""
    request = {"path": "/small", "expect": 100, "concurrency": 16, **fields}
    rate, cpu = await measured(rig, "requests", seconds=seconds, warmup=WARMUP, **request)
    return cpu / rate["total"]


def _three(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return sizes[0], sizes[len(sizes) // 2], sizes[-1]


NOISE = 0.15  # of an exponent
SERIES = (
    Series("open streams", "streams", (1, 10, 100, 300, 1000), _open_streams),
    Series("body size", "bytes", (1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22), _body_size),
    Series("connections", "connections", (1, 2, 4), _connections),
    Series("headers", "headers", (5, 20, 50, 100, 200), _headers),
)
