"""Values counted by size."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Histogram", "HistogramStatistics"]


@dataclass(frozen=True, slots=True)
class HistogramStatistics:
    """A snapshot of a histogram.

    Attributes:
        bounds: the highest value of each bucket but the last, which has none; ascending.
        counts: values in each bucket, one more than `bounds`; not cumulative.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def cumulative(self) -> tuple[int, ...]:
        """Values up to each bound, and at last all of them, as Prometheus has it."""
        counts: list[int] = []
        so_far = 0
        for count in self.counts:
            so_far += count
            counts.append(so_far)
        return tuple(counts)


class Histogram:
    """Counts values in fixed buckets.

    Args:
        bounds: the highest value of each bucket but the last, which has none; ascending.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total: float = 0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def statistics(self) -> HistogramStatistics:
        """A snapshot."""
        return HistogramStatistics(self._bounds, tuple(self._counts), self._total)
