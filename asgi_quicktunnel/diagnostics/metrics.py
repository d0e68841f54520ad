"""The figures of tunnels in Prometheus' formats, read when they are asked for."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from asgi_quicktunnel.config import PACKAGE_VERSION
from asgi_quicktunnel.diagnostics.figures import FAMILIES, Family, Figure, figures
from asgi_quicktunnel.traffic import HistogramStatistics

if TYPE_CHECKING:  # it brings the QUIC engine along
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["QuickTunnelCollector", "render_metrics"]


class QuickTunnelCollector(Collector):
    """The metrics of a tunnel for a registry of yours: `REGISTRY.register(...)`.

    Everything is read at the moment of a scrape, in whatever thread that is; between scrapes it
    costs nothing. A registry takes one of these, since each has all families; several tunnels go
    into one as a mapping from a name of yours, which becomes the label `tunnel`.

    Args:
        tunnels: a tunnel, or tunnels by name.
    """

    def __init__(self, tunnels: QuickTunnel | Mapping[str, QuickTunnel]) -> None:
        self._is_named = isinstance(tunnels, Mapping)
        # With the labels that tell each of them apart.
        self._tunnels: list[tuple[tuple[str, ...], QuickTunnel]] = (
            [((name,), tunnel) for name, tunnel in tunnels.items()]
            if isinstance(tunnels, Mapping)
            else [((), tunnels)]
        )

    def collect(self) -> Iterator[Metric]:
        """All families that have a value now."""
        families = {family.name: _make(family, self._is_named) for family in FAMILIES}
        _add(families[_BUILD.name], _BUILD, _BUILD.labels)
        for names, tunnel in self._tunnels:
            for figure in figures(tunnel):
                _add(families[figure.name], figure, (*names, *figure.labels))
        return (metric for metric in families.values() if metric.samples)

    def describe(self) -> Iterator[Metric]:
        """All families, so that a registry refuses a second collector rather than mix them up."""
        return (_make(family, self._is_named) for family in FAMILIES)


def render_metrics(tunnel: QuickTunnel | None, accept: str) -> tuple[bytes, str]:
    """What `GET /metrics` answers.

    Args:
        tunnel: None: the build alone.
        accept: the header of that name, which may ask for OpenMetrics.

    Returns:
        The exposition, and its content type.
    """
    registry = CollectorRegistry()
    registry.register(QuickTunnelCollector(tunnel if tunnel is not None else {}))
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except (TypeError, ValueError):  # what the header says of a version is no version
        encode, content_type = choose_encoder("")
        return encode(registry), content_type


def _make(family: Family, is_named: bool) -> Metric:
    labels = family.labels
    if is_named and family.name != _BUILD.name:
        labels = ("tunnel", *labels)
    if family.kind == "counter":
        return CounterMetricFamily(family.name, family.text, labels=labels)
    if family.kind == "gauge":
        return GaugeMetricFamily(family.name, family.text, labels=labels)
    if family.kind == "histogram":
        return HistogramMetricFamily(family.name, family.text, labels=labels)
    return InfoMetricFamily(family.name.removesuffix("_info"), family.text, labels=labels)


def _add(metric: Metric, figure: Figure, labels: tuple[str, ...]) -> None:
    value = figure.value
    if isinstance(value, HistogramStatistics):
        assert isinstance(metric, HistogramMetricFamily)
        bounds = (*map(floatToGoString, value.bounds), "+Inf")
        metric.add_metric(labels, list(zip(bounds, value.cumulative(), strict=True)), value.total)
    elif isinstance(metric, InfoMetricFamily):
        metric.add_metric(labels, {})
    else:
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
        metric.add_metric(labels, value)


_BUILD = Figure("quicktunnel_build_info", 1, (PACKAGE_VERSION, platform.python_version()))
