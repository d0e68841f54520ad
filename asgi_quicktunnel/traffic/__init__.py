"""What came through a tunnel, counted as it came. Pure but for a clock that is handed in."""

from asgi_quicktunnel.traffic.histogram import HistogramStatistics
from asgi_quicktunnel.traffic.history import FAILURES, IndexStatistics
from asgi_quicktunnel.traffic.traffic import (
    CLASSES,
    WINDOW,
    Second,
    Traffic,
    TrafficStatistics,
)

__all__ = [
    "CLASSES",
    "FAILURES",
    "WINDOW",
    "HistogramStatistics",
    "IndexStatistics",
    "Second",
    "Traffic",
    "TrafficStatistics",
]
