"""All variants under all loads on one machine, in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from bench.generator import GeneratorError
from bench.loads import FASTAPI_LOADS, LOADS, Load, idle_cpu
from bench.results import Results
from bench.rig import Bench, Rig
from bench.variants import Variant

__all__ = ["measure_macro"]

Say = Callable[[str], None]


async def measure_macro(
    bench: Bench,
    variants: Sequence[Variant],
    results: Results,
    *,
    rounds: int,
    seconds: float,
    idle_seconds: float,
    wanted: Callable[[str], bool],
    say: Say,
) -> None:
    """Measure, each round every variant; what fails is noted in `results`.

    Args:
        bench: how to start them.
        variants: which.
        results: where it goes.
        rounds: each begins with another variant.
        seconds: of each load.
        idle_seconds: of the one look at idle processes.
        wanted: whether to measure the load of this name.
        say: tells how far it is.
    """
    loads = [load for load in LOADS if wanted(load.name)]
    if loads or wanted("idle_cpu"):
        async with contextlib.AsyncExitStack() as stack:
            rigs = await _start(bench, variants, stack, results, app="bare")
            ceilings = [rig for rig in rigs if rig.variant.kind == "ceiling"]
            if ceilings:
                say("the generator's own ceiling")
                await _round(ceilings, loads, results, seconds)
            compared = [rig for rig in rigs if rig not in ceilings]
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}: {len(compared)} variants, {len(loads)} loads")
                await _round(_turned(compared, number), loads, results, seconds)
            await _at_rest(compared, results, idle_seconds, wanted)
    if fastapi := [load for load in FASTAPI_LOADS if wanted(load.name)]:
        apps = [variant for variant in variants if variant.kind != "ceiling"]
        async with contextlib.AsyncExitStack() as stack:
            rigs = await _start(bench, apps, stack, results, app="fastapi")
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}: FastAPI")
                await _round(_turned(rigs, number), fastapi, results, seconds)
    if wanted("cold_start"):
        await _cold_starts(bench, variants, results, rounds, say)


async def _start(
    bench: Bench,
    variants: Sequence[Variant],
    stack: contextlib.AsyncExitStack,
    results: Results,
    *,
    app: str,
) -> list[Rig]:
    rigs = []
    for variant in variants:
        try:
            rigs.append(await stack.enter_async_context(bench.rig(variant, app=app)))
        except GeneratorError as exc:
            results.fail(f"start of {variant.name}", exc)
    return rigs


async def _round(
    rigs: Sequence[Rig], loads: Sequence[Load], results: Results, seconds: float
) -> None:
    """Load by load, so that what is compared was measured within seconds of each other."""
    for load in loads:
        for rig in rigs:
            try:
                results.add(rig.variant.name, await load.run(rig, seconds))
            except (GeneratorError, ProcessLookupError) as exc:
                results.fail(f"{load.name}, {rig.variant.name}", exc)


async def _at_rest(
    rigs: Sequence[Rig], results: Results, seconds: float, wanted: Callable[[str], bool]
) -> None:
    if wanted("peak_memory"):
        for rig in rigs:
            try:
                results.add(rig.variant.name, {"peak_memory": rig.meter.peak_memory()})
            except ProcessLookupError as exc:
                results.fail(f"peak_memory, {rig.variant.name}", exc)
    if wanted("idle_cpu"):
        try:
            shares = await idle_cpu(rigs, seconds)
        except ProcessLookupError as exc:
            results.fail("idle_cpu", exc)
            return
        for rig, share in zip(rigs, shares, strict=True):
            results.add(rig.variant.name, {"idle_cpu": share})


async def _cold_starts(
    bench: Bench, variants: Sequence[Variant], results: Results, rounds: int, say: Say
) -> None:
    """From the start of the processes to the registration, with nothing else running."""
    say("cold starts")
    for _ in range(rounds):
        for variant in variants:
            if variant.kind in ("plain", "ceiling"):
                continue
            try:
                async with bench.rig(variant) as rig:
                    results.add(variant.name, {"cold_start": rig.cold_start})
            except GeneratorError as exc:
                results.fail(f"cold start of {variant.name}", exc)


def _turned(rigs: Sequence[Rig], number: int) -> list[Rig]:
    first = number % len(rigs) if rigs else 0
    return [*rigs[first:], *rigs[:first]]
