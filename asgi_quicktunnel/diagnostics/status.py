"""The state of a tunnel as JSON types."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.statistics import ConnectionStatistics
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["STATUS_VERSION", "describe", "describe_readiness"]


def describe(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /status` answers, as JSON types; version 1.

    Keys: `version` (1, changes when a key changes its meaning or goes), `state` (the value of
    `TunnelState`), `cause` (why, or null), `since` (seconds since the epoch), `url` (null before it
    works), `connector_id` (null without a tunnel), `reconnects`, `streams_total`,
    `bytes_received`, `bytes_sent` (all since the start), and `connections`, one for each that is
    registered: `conn_index`, `colo`, `address` ("ip:port"), `age` (seconds), `rtt` (seconds or
    null), `requests`, `streams_open`, `streams_refused`, `bytes_received`, `bytes_sent`,
    `packets_lost`; and `pool`, null but in proxy mode: `open`, `idle`, `created`, `reused`,
    `retried`, `failures`. Meanings as in `TunnelStatistics`, `ConnectionStatistics`,
    `TransportStatistics` and `PoolStatistics`. No secret is among them.
    """
    if tunnel is None:
        return {**_WITHOUT_TUNNEL, "connections": []}
    statistics = tunnel.statistics()
    return {
        "version": STATUS_VERSION,
        "state": statistics.state.value,
        "cause": statistics.cause,
        "since": statistics.since,
        "url": statistics.url,
        "connector_id": str(statistics.connector_id),
        "reconnects": statistics.reconnects,
        "streams_total": statistics.transferred.streams,
        "bytes_received": statistics.transferred.bytes_received,
        "bytes_sent": statistics.transferred.bytes_sent,
        "connections": [_describe_connection(each) for each in statistics.connections],
        "pool": dataclasses.asdict(statistics.pool) if statistics.pool is not None else None,
    }


def describe_readiness(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /ready` answers, as cloudflared does (protocol.md §11).

    Keys: `status` (200 when the URL was announced and at least one connection serves, else 503; the
    HTTP status too), `readyConnections`, `connectorId` (null without a tunnel).
    """
    if tunnel is None:
        return {"status": 503, "readyConnections": 0, "connectorId": None}
    statistics = tunnel.statistics()
    count = len(statistics.connections)
    return {
        "status": 200 if count and statistics.url is not None else 503,
        "readyConnections": count,
        "connectorId": str(statistics.connector_id),
    }


def _describe_connection(connection: ConnectionStatistics) -> dict[str, Any]:
    transport = connection.transport
    return {
        "conn_index": connection.conn_index,
        "colo": connection.colo,
        "address": str(transport.address),
        "engine": transport.engine,
        "age": connection.age,
        "rtt": transport.rtt,
        "requests": connection.requests,
        "streams_open": transport.streams_open,
        "streams_refused": transport.streams_refused,
        "bytes_received": transport.bytes_received,
        "bytes_sent": transport.bytes_sent,
        "packets_lost": transport.packets_lost,
    }


STATUS_VERSION = 1
_WITHOUT_TUNNEL = {
    "version": STATUS_VERSION,
    "state": "stopped",
    "cause": None,
    "since": None,
    "url": None,
    "connector_id": None,
    "reconnects": 0,
    "streams_total": 0,
    "bytes_received": 0,
    "bytes_sent": 0,
    "pool": None,
}
