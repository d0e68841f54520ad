"""Results as text, as Markdown and as a document for machines."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.growth import Growth
from bench.processes import machine
from bench.results import Results, Summary
from bench.targets import Verdict, judge
from bench.variants import CLOUDFLARED, PLAIN

__all__ = ["CEILING", "Report", "comparison_table", "facts_text", "markdown_table", "metric_text"]

CEILING = "ceiling"


@dataclass(slots=True)
class Report:
    """All that one run found.

    Attributes:
        generator: what generated the load, in words.
        macro: one machine, by variant.
        paths: over a path with delay and loss, by variant.
        growth: the growth series.
        micro: seconds by name.
        cloudflared: its version, or None.
    """

    generator: str
    macro: Results = field(default_factory=Results)
    paths: Results = field(default_factory=Results)
    growth: list[Growth] = field(default_factory=list)
    micro: dict[str, float] = field(default_factory=dict)
    cloudflared: str | None = None

    @property
    def failures(self) -> list[str]:
        """What could not be measured."""
        return self.macro.failures + self.paths.failures

    def facts(self) -> dict[str, str]:
        """When, where and of what."""
        names = ["asgi-quicktunnel", "asgi-quicktunnel-native", "aioquic", "uvicorn", "uvloop"]
        facts = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": machine(),
            "Python": platform.python_version(),
            **{name: found for name in names if (found := _version(name))},
        }
        if self.cloudflared:
            facts["cloudflared"] = self.cloudflared
        return {**facts, "load": self.generator}

    def as_json(self) -> dict[str, Any]:
        """For a file; times in seconds, rates per second, sizes in bytes."""
        return {
            "facts": self.facts(),
            "macro": self.macro.as_json(),
            "paths": self.paths.as_json(),
            "growth": [
                {
                    "series": growth.series,
                    "variant": growth.variant,
                    "points": growth.points,
                    "exponent": growth.exponent,
                    "linear_or_better": growth.is_linear_or_better,
                }
                for growth in self.growth
            ],
            "micro": self.micro,
            "targets": [
                {
                    "engine": verdict.target.engine,
                    "base": verdict.target.base,
                    "metric": verdict.target.metric,
                    "relation": verdict.target.relation,
                    "bound": verdict.target.bound,
                    "value": verdict.value,
                    "met": verdict.is_met,
                }
                for verdict in judge(self.macro)
            ],
            "failures": self.failures,
        }

    def as_markdown(self) -> str:
        """For a README."""
        parts = [facts_text(self.facts())]
        if self.macro.values:
            parts.append(_results_table(self.macro))
            parts += self._ratio_tables()
        if verdicts := judge(self.macro):
            parts.append(_verdict_table(verdicts))
        if self.paths.values:
            parts.append(_results_table(self.paths))
        if self.growth:
            parts.append(_growth_table(self.growth))
        if self.micro:
            rows = [[name, f"{seconds * 1e6:.2f} µs"] for name, seconds in self.micro.items()]
            parts.append(markdown_table(["part of a request", "time"], rows))
        if self.failures:
            parts.append("Not measured:\n" + "\n".join(f"- {each}" for each in self.failures))
        return "\n\n".join(parts) + "\n"

    def _ratio_tables(self) -> list[str]:
        tables = []
        for base in (CLOUDFLARED, PLAIN):
            others = [name for name in self.macro.variants() if name not in (base, CEILING)]
            if base not in self.macro.variants() or not others:
                continue
            rows = [
                [metric, *[_ratio(self.macro.ratio(metric, name, base)) for name in others]]
                for metric in self.macro.metrics()
                if self.macro.summary(base, metric) is not None
            ]
            tables.append(markdown_table([f"times {base}", *others], rows))
        return tables


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned, so that it reads as text too."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]

    def text(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    return "\n".join([text(head), text(rule), *map(text, rows)])


def comparison_table(results: Results, revision: str) -> str:
    """Each variant of this tree by the same one of another revision.

    A ratio is marked when it is further from 1 than the rounds are from each other.
    """
    names = [name for name in results.variants() if f"{revision}:{name}" in results.variants()]
    rows = []
    for metric in results.metrics():
        cells = []
        for name in names:
            ratio = results.ratio(metric, name, f"{revision}:{name}")
            here, there = (results.summary(each, metric) for each in (name, f"{revision}:{name}"))
            is_clear = (
                ratio is not None
                and min(here.rounds, there.rounds) > 1
                and abs(ratio - 1) > max(here.spread, there.spread)
            )
            cells.append(_ratio(ratio) + (" !" if is_clear else ""))
        rows.append([metric, *cells])
    return markdown_table([f"times {revision}", *names], rows)


def facts_text(facts: Mapping[str, str]) -> str:
    """When, where and of what, in one sentence."""
    return "; ".join(f"{name} {value}" for name, value in facts.items()) + "."


def metric_text(metric: str, value: float) -> str:
    """A value with its unit, as the metric's name tells it."""
    kind = metric.rpartition(".")[2].rpartition(": ")[2].rpartition(" ")[2]
    if kind in ("p50", "p99"):
        return f"{value * 1e3:.2f} ms"
    if kind == "rps":
        return f"{value:.0f}/s"
    if kind == "cpu":
        return f"{value * 1e6:.0f} µs"
    if kind in ("rate", "down", "up"):
        return f"{value / 1e6:.1f} MB/s"
    if kind == "cpu_per_gib":
        return f"{value:.2f} s"
    if kind == "peak_memory":
        return f"{value / (1 << 20):.1f} MiB"
    if kind == "idle_cpu":
        return f"{value:.3%}"
    if kind == "cold_start":
        return f"{value:.2f} s"
    return f"{value:g}"


def _results_table(results: Results) -> str:
    variants = results.variants()
    rows = [
        [metric, *[_cell(metric, results.summary(variant, metric)) for variant in variants]]
        for metric in results.metrics()
    ]
    return markdown_table(["median ± half the spread", *variants], rows)


def _cell(metric: str, summary: Summary | None) -> str:
    if summary is None:
        return "-"
    spread = f" ±{summary.spread / 2:.0%}" if summary.spread else ""
    return metric_text(metric, summary.median) + spread


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    words = {True: "met", False: "MISSED", None: "-"}
    rows = []
    for verdict in verdicts:
        target = verdict.target
        unit = "" if target.base is None else "x"
        measured = "-" if verdict.value is None else f"{verdict.value:.3g}{unit}"
        wanted = f"{target.relation} {target.bound:.3g}{unit}"
        base = target.base or "its own value"
        rows.append([f"{target.engine} to {base}: {target.metric}", wanted, measured])
        rows[-1].append(words[verdict.is_met])
    return markdown_table(["target", "wanted", "measured", ""], rows)


def _growth_table(growths: Sequence[Growth]) -> str:
    rows = []
    for growth in growths:
        (low, first), (high, last) = growth.points[0], growth.points[-1]
        rows.append(
            [
                f"{growth.series}: {growth.variant}",
                f"{low} .. {high}",
                f"{first * 1e6:.0f} .. {last * 1e6:.0f} µs",
                f"{growth.exponent:.2f}",
                "linear or better" if growth.is_linear_or_better else "WORSE THAN LINEAR",
            ]
        )
    return markdown_table(["CPU per request by", "sizes", "cost", "exponent", ""], rows)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}x"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
