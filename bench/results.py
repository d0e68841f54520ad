"""Numbers of several rounds, and what they come to."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Results", "Summary", "growth_exponent"]


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one variant over all rounds.

    Attributes:
        median: of the rounds.
        spread: the distance between the lowest and the highest, as a share of the median.
        rounds: how many there were.
    """

    median: float
    spread: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Sum up one or more values."""
        median = statistics.median(values)
        spread = (max(values) - min(values)) / median if median else 0.0
        return cls(median, spread, len(values))


@dataclass(slots=True)
class Results:
    """What was measured, by variant and metric, a value for each round.

    Attributes:
        values: the numbers.
        failures: what could not be measured, and why.
    """

    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failures: list[str] = field(default_factory=list)

    def add(self, variant: str, metrics: Mapping[str, float]) -> None:
        """Note the metrics of one round."""
        for name, value in metrics.items():
            self.values[variant][name].append(value)

    def fail(self, what: str, error: BaseException) -> None:
        """Note what could not be measured."""
        self.failures.append(f"{what}: {error}")

    def variants(self) -> list[str]:
        """In the order they were first noted."""
        return list(self.values)

    def metrics(self) -> list[str]:
        """In the order they were first noted."""
        return list(dict.fromkeys(name for values in self.values.values() for name in values))

    def summary(self, variant: str, metric: str) -> Summary | None:
        """None where nothing was measured."""
        values = self.values.get(variant, {}).get(metric)
        return Summary.of(values) if values else None

    def ratio(self, metric: str, variant: str, base: str) -> float | None:
        """The median of one by that of the other; None where one is missing or the base is 0."""
        above, below = self.summary(variant, metric), self.summary(base, metric)
        if above is None or below is None or not below.median:
            return None
        return above.median / below.median

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            variant: {
                metric: {"values": values, **_as_json(Summary.of(values))}
                for metric, values in metrics.items()
            }
            for variant, metrics in self.values.items()
        }


def growth_exponent(points: Sequence[tuple[float, float]]) -> float:
    """How cost grows with size where it grows most: 0 for not at all, 1 for linearly.

    The slope between logarithms over the upper half of the points, by least squares: fixed costs
    hide the growth at the lower end.

    Args:
        points: (size, cost), sizes rising, two or more, all above 0.
    """
    upper = points[len(points) // 2 - (len(points) < 4) :] if len(points) > 2 else points
    logs = [(math.log(size), math.log(cost)) for size, cost in upper]
    slope, _ = statistics.linear_regression(*zip(*logs, strict=True))
    return slope


def _as_json(summary: Summary) -> dict[str, float]:
    return {"median": summary.median, "spread": summary.spread}
