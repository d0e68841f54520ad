"""The state of a tunnel as JSON types."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from asgi_quicktunnel.traffic import IndexStatistics

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.statistics import ConnectionStatistics, MissingConnection
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["STATUS_VERSION", "describe", "describe_readiness"]


def describe(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /status` answers, as JSON types; version 1.

    Keys: `version` (1, changes when a key changes its meaning or goes), `state` (the value of
    `TunnelState`), `cause` (why, or null), `waiting_for` (while it starts: what has to happen next,
    in words; else null), `since` (seconds since the epoch), `url` (null before it works),
    `connector_id` (null without a tunnel), `reconnects`, `requests_total`, `streams_total`,
    `bytes_received`, `bytes_sent` (all since the start), and `connections`, one for each that is
    registered: `conn_index`, `colo`, `address` ("ip:port"), `engine`, `age` (seconds), `rtt`
    (seconds or null), `requests`, `streams_open`, `streams_total`, `streams_refused`,
    `bytes_received`, `bytes_sent`, `packets_lost`, and what became of its index: `state` (the value
    of `ConnectionState`), `protocol` ("quic"), `handshake_time` and `register_time` (seconds),
    `registrations`, `reconnects`, `failures` (an object of counts by kind), `cause` (of the last
    loss or failure since it was registered, or null); `missing`, one for each connection that is
    wanted and not registered, with `conn_index`, `address` (or null) and the keys from `state`
    on; and `pool`, null but in proxy mode: `open`, `idle`, `created`, `reused`, `retried`,
    `failures`. Meanings as in `TunnelStatistics`, `ConnectionStatistics`, `TransportStatistics`,
    `IndexStatistics` and `PoolStatistics`. No secret is among them.
    """
    if tunnel is None:
        return {**_WITHOUT_TUNNEL, "connections": [], "missing": []}
    statistics = tunnel.statistics()
    traffic = tunnel.traffic
    histories = {each.conn_index: each for each in traffic.statistics().indexes}

    def history_of(conn_index: int) -> IndexStatistics:
        return histories.get(conn_index) or IndexStatistics(conn_index)

    return {
        "version": STATUS_VERSION,
        "state": statistics.state.value,
        "cause": statistics.cause,
        "waiting_for": statistics.waiting_for,
        "since": statistics.since,
        "url": statistics.url,
        "connector_id": str(statistics.connector_id),
        "reconnects": statistics.reconnects,
        "requests_total": traffic.requests,
        "streams_total": statistics.transferred.streams,
        "bytes_received": statistics.transferred.bytes_received,
        "bytes_sent": statistics.transferred.bytes_sent,
        "connections": [
            _describe_connection(each, history_of(each.conn_index))
            for each in statistics.connections
        ],
        "missing": [
            _describe_missing(each, history_of(each.conn_index)) for each in statistics.missing
        ],
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


def _describe_connection(
    connection: ConnectionStatistics, history: IndexStatistics
) -> dict[str, Any]:
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
        "streams_total": transport.streams_total,
        "streams_refused": transport.streams_refused,
        "bytes_received": transport.bytes_received,
        "bytes_sent": transport.bytes_sent,
        "packets_lost": transport.packets_lost,
        "state": "registered",
        **_describe_history(history),
    }


def _describe_missing(missing: MissingConnection, history: IndexStatistics) -> dict[str, Any]:
    address = missing.address or history.address
    return {
        "conn_index": missing.conn_index,
        "address": str(address) if address is not None else None,
        "state": missing.state.value,
        **_describe_history(history),
    }


def _describe_history(history: IndexStatistics) -> dict[str, Any]:
    return {
        "protocol": history.protocol,
        "handshake_time": history.handshake_time,
        "register_time": history.register_time,
        "registrations": history.registrations,
        "reconnects": history.reconnects,
        "failures": dict(history.failures),
        "cause": history.cause,
    }


STATUS_VERSION = 1
_WITHOUT_TUNNEL = {
    "version": STATUS_VERSION,
    "state": "stopped",
    "cause": None,
    "waiting_for": None,
    "since": None,
    "url": None,
    "connector_id": None,
    "reconnects": 0,
    "requests_total": 0,
    "streams_total": 0,
    "bytes_received": 0,
    "bytes_sent": 0,
    "pool": None,
}
