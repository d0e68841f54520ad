"""What is left over a path with a round-trip time and loss."""

from __future__ import annotations

from collections.abc import Callable

from bench.generator import GeneratorError
from bench.results import Results
from bench.rig import Bench, NetworkPath, Rig
from bench.variants import Variant

__all__ = ["PATHS", "measure_paths"]


async def measure_paths(
    bench: Bench,
    variants: list[Variant],
    results: Results,
    *,
    seconds: float,
    quick: bool,
    say: Callable[[str], None],
) -> None:
    """Every path, or for `quick` the best and the worst; metrics begin with the path's name."""
    for path in (PATHS[0], PATHS[-1]) if quick else PATHS:
        name = f"{path.rtt * 1000:.0f} ms, {path.loss:.1%} loss"
        for variant in variants:
            say(f"path of {name}: {variant.name}")
            try:
                async with bench.rig(variant, path=path) as rig:
                    await _measure(rig, results, name, seconds)
            except (GeneratorError, ProcessLookupError) as exc:
                results.fail(f"path of {name}, {variant.name}", exc)


async def _measure(rig: Rig, results: Results, name: str, seconds: float) -> None:
    warmup = WARMUP_RTTS * PATHS[-1].rtt
    rate = await rig.run(
        "requests", path="/small", expect=100, concurrency=16, seconds=seconds / 2, warmup=0.3
    )
    metrics = {f"{name}: small p50": rate["p50"], f"{name}: small p99": rate["p99"]}
    for direction in ("down", "up"):
        result = await rig.run(
            "bulk", direction=direction, streams=1, seconds=seconds, warmup=warmup
        )
        metrics[f"{name}: {direction}"] = result["per_second"]
    results.add(rig.variant.name, metrics)


PATHS = (
    NetworkPath(rtt=0.02, loss=0.0),
    NetworkPath(rtt=0.02, loss=0.005),
    NetworkPath(rtt=0.1, loss=0.0),
    NetworkPath(rtt=0.1, loss=0.005),
)
WARMUP_RTTS = 10  # round trips until a congestion window has opened
