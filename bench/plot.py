"""The growth series as SVG, cost against size, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.growth import SERIES, Growth

__all__ = ["write_plots"]


def write_plots(growths: Sequence[Growth], folder: Path) -> list[Path]:
    """One file for each series, with a line for each variant and one that grows linearly."""
    written = []
    for series in SERIES:
        lines = [growth for growth in growths if growth.series == series.name]
        if not lines:
            continue
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for growth in lines:
            sizes, costs = zip(*growth.points, strict=True)
            label = f"{growth.variant} (exponent {growth.exponent:.2f})"
            axes.plot(sizes, [cost * 1e6 for cost in costs], marker="o", label=label)
        highest = axes.get_ylim()[1]
        size, cost = min((growth.points[0] for growth in lines), key=lambda point: point[1])
        largest = max(growth.points[-1][0] for growth in lines)
        ends = (size, largest), (cost * 1e6, cost * 1e6 * largest / size)
        axes.plot(*ends, linestyle="--", color="grey", label="linear")
        axes.set(
            xscale="log",
            yscale="log",
            ylim=(cost * 1e6 / 2, highest * 2),
            title=f"CPU per request by {series.name}",
            xlabel=series.unit,
            ylabel="µs",
        )
        axes.legend()
        path = folder / f"growth-{series.name.replace(' ', '-')}.svg"
        figure.savefig(path, metadata={"Date": None})
        written.append(path)
    return written
