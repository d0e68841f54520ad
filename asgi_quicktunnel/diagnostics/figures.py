"""Which figures of a tunnel are metrics, by what name, and where they are read.

Label values are indexes, words of fixed sets, or the edge's; never what a visitor chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from asgi_quicktunnel.events import TunnelState
from asgi_quicktunnel.traffic import HistogramStatistics, IndexStatistics

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.origin.pool import PoolStatistics
    from asgi_quicktunnel.statistics import ConnectionStatistics
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["FAMILIES", "Family", "Figure", "figures"]

Kind = Literal["counter", "gauge", "histogram", "info"]


class Family(NamedTuple):
    """One metric with all its labels.

    Attributes:
        kind: what Prometheus is to make of it.
        name: as in the exposition, `_total` of counters and `_info` included.
        text: what it says, a sentence.
        labels: their names; of an info its members.
    """

    kind: Kind
    name: str
    text: str
    labels: tuple[str, ...] = ()


class Figure(NamedTuple):
    """One value of a family.

    Attributes:
        name: of the family.
        value: a number, or a whole histogram; 1 for an info.
        labels: values, in the order of the family's names.
    """

    name: str
    value: float | HistogramStatistics
    labels: tuple[str, ...] = ()


def figures(tunnel: QuickTunnel) -> Iterator[Figure]:
    """All figures of a tunnel as it is now; may be called in any thread."""
    statistics = tunnel.statistics()
    traffic = tunnel.traffic.statistics()
    connections = statistics.connections
    for state in TunnelState:
        yield Figure("quicktunnel_state", statistics.state is state, (state.value,))
    if statistics.url is not None:
        yield Figure("quicktunnel_url_info", 1, (statistics.url,))
    yield Figure("quicktunnel_ha_connections", len(connections))
    yield Figure("quicktunnel_concurrent_requests", sum(each.requests for each in connections))
    for labels, count in traffic.requests.items():
        yield Figure("quicktunnel_requests_total", count, labels)
    yield Figure("quicktunnel_request_duration_seconds", traffic.durations)
    yield Figure("quicktunnel_request_size_bytes", traffic.received)
    yield Figure("quicktunnel_response_size_bytes", traffic.sent)
    yield Figure("quicktunnel_streams_total", statistics.transferred.streams)
    yield Figure("quicktunnel_received_bytes_total", statistics.transferred.bytes_received)
    yield Figure("quicktunnel_sent_bytes_total", statistics.transferred.bytes_sent)
    for history in traffic.indexes:
        yield from _of_history(history)
    for connection in connections:
        yield from _of_connection(connection)
    if statistics.pool is not None:
        yield from _of_pool(statistics.pool)
    if tunnel.inspector is not None:
        kept = tunnel.inspector.statistics()
        yield Figure("quicktunnel_inspector_records", kept.records)
        yield Figure("quicktunnel_inspector_bytes", kept.bytes)
        yield Figure("quicktunnel_inspector_dropped_total", kept.dropped)


def _of_history(history: IndexStatistics) -> Iterator[Figure]:
    index = str(history.conn_index)
    yield Figure("quicktunnel_registrations_total", history.registrations, (index,))
    yield Figure("quicktunnel_reconnects_total", history.reconnects, (index,))
    for reason, count in history.failures:
        yield Figure("quicktunnel_connection_failures_total", count, (index, reason))
    if history.handshake_time is not None:
        yield Figure("quicktunnel_handshake_seconds", history.handshake_time, (index,))
    if history.register_time is not None:
        yield Figure("quicktunnel_register_seconds", history.register_time, (index,))


def _of_connection(connection: ConnectionStatistics) -> Iterator[Figure]:
    index = (str(connection.conn_index),)
    transport = connection.transport
    yield Figure("quicktunnel_server_locations", 1, (*index, connection.colo))
    yield Figure("quicktunnel_connection_age_seconds", connection.age, index)
    if transport.rtt is not None:
        yield Figure("quicktunnel_connection_rtt_seconds", transport.rtt, index)
    yield Figure("quicktunnel_connection_streams_open", transport.streams_open, index)
    yield Figure("quicktunnel_connection_streams_total", transport.streams_total, index)
    yield Figure("quicktunnel_connection_streams_refused_total", transport.streams_refused, index)
    yield Figure("quicktunnel_connection_received_bytes_total", transport.bytes_received, index)
    yield Figure("quicktunnel_connection_sent_bytes_total", transport.bytes_sent, index)
    yield Figure("quicktunnel_connection_lost_packets_total", transport.packets_lost, index)


def _of_pool(pool: PoolStatistics) -> Iterator[Figure]:
    yield Figure("quicktunnel_origin_connections", pool.idle, ("idle",))
    yield Figure("quicktunnel_origin_connections", max(pool.open - pool.idle, 0), ("busy",))
    yield Figure("quicktunnel_origin_connections_created_total", pool.created)
    # A retry takes its reuse back, and a counter may not go down.
    yield Figure("quicktunnel_origin_connections_reused_total", pool.reused + pool.retried)
    yield Figure("quicktunnel_origin_retries_total", pool.retried)
    yield Figure("quicktunnel_origin_failures_total", pool.failures)


_INDEX = ("conn_index",)
FAMILIES = (
    Family("info", "quicktunnel_build_info", "What runs here.", ("version", "python_version")),
    Family("gauge", "quicktunnel_state", "1 for where the tunnel stands, 0 elsewhere.", ("state",)),
    Family("info", "quicktunnel_url_info", "The public URL, while it works.", ("url",)),
    Family("gauge", "quicktunnel_ha_connections", "Connections that are registered."),
    Family("gauge", "quicktunnel_concurrent_requests", "Requests that are being answered."),
    Family(
        "counter",
        "quicktunnel_requests_total",
        'Requests that ended; status "reset": before there was an answer.',
        ("method", "status"),
    ),
    Family(
        "histogram",
        "quicktunnel_request_duration_seconds",
        "From the head of a request to the end of its answer; WebSockets are left out.",
    ),
    Family("histogram", "quicktunnel_request_size_bytes", "Bodies of requests."),
    Family("histogram", "quicktunnel_response_size_bytes", "Bodies of answers."),
    Family("counter", "quicktunnel_streams_total", "Request streams of all connections."),
    Family("counter", "quicktunnel_received_bytes_total", "UDP payload of all connections, in."),
    Family("counter", "quicktunnel_sent_bytes_total", "UDP payload of all connections, out."),
    Family(
        "counter", "quicktunnel_registrations_total", "Registrations that the edge took.", _INDEX
    ),
    Family("counter", "quicktunnel_reconnects_total", "Registered connections lost.", _INDEX),
    Family(
        "counter",
        "quicktunnel_connection_failures_total",
        "Tries that led to no registration.",
        (*_INDEX, "reason"),
    ),
    Family("gauge", "quicktunnel_handshake_seconds", "The last handshake.", _INDEX),
    Family(
        "gauge", "quicktunnel_register_seconds", "The last way from dial to registered.", _INDEX
    ),
    Family(
        "gauge",
        "quicktunnel_server_locations",
        "1 for the site where a connection is registered.",
        (*_INDEX, "edge_location"),
    ),
    Family("gauge", "quicktunnel_connection_age_seconds", "Since it was registered.", _INDEX),
    Family("gauge", "quicktunnel_connection_rtt_seconds", "Smoothed round trip.", _INDEX),
    Family("gauge", "quicktunnel_connection_streams_open", "Requests on their way.", _INDEX),
    Family("counter", "quicktunnel_connection_streams_total", "Requests since the dial.", _INDEX),
    Family(
        "counter",
        "quicktunnel_connection_streams_refused_total",
        "Streams with a head that was malformed or too large.",
        _INDEX,
    ),
    Family("counter", "quicktunnel_connection_received_bytes_total", "UDP payload in.", _INDEX),
    Family("counter", "quicktunnel_connection_sent_bytes_total", "UDP payload out.", _INDEX),
    Family("counter", "quicktunnel_connection_lost_packets_total", "Packets lost.", _INDEX),
    Family("gauge", "quicktunnel_origin_connections", "Proxy mode: to the origin.", ("state",)),
    Family("counter", "quicktunnel_origin_connections_created_total", "Proxy mode: dialled."),
    Family(
        "counter",
        "quicktunnel_origin_connections_reused_total",
        "Proxy mode: requests given to a connection that had served another.",
    ),
    Family(
        "counter",
        "quicktunnel_origin_retries_total",
        "Proxy mode: requests sent again because a kept connection was dead.",
    ),
    Family(
        "counter",
        "quicktunnel_origin_failures_total",
        "Proxy mode: requests that the origin did not answer, or not wholly.",
    ),
    Family("gauge", "quicktunnel_inspector_records", "Requests that are kept to be seen."),
    Family("gauge", "quicktunnel_inspector_bytes", "Memory that they take, about."),
    Family(
        "counter",
        "quicktunnel_inspector_dropped_total",
        "Requests that made room for later ones, or were cleared.",
    ),
)
