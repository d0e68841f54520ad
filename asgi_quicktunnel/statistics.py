"""Snapshots of a tunnel: what `QuickTunnel.statistics()` gives."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from asgi_quicktunnel.events import TunnelState
from asgi_quicktunnel.origin.pool import PoolStatistics
from asgi_quicktunnel.transport.base import TransportStatistics

__all__ = ["ConnectionStatistics", "Transferred", "TunnelStatistics"]


@dataclass(frozen=True, slots=True)
class Transferred:
    """Totals over connections: request streams, and UDP payload bytes."""

    streams: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0

    def plus(self, statistics: TransportStatistics | None) -> Transferred:
        """With one more connection's."""
        if statistics is None:
            return self
        return self.and_(
            Transferred(statistics.streams_total, statistics.bytes_received, statistics.bytes_sent)
        )

    def and_(self, other: Transferred) -> Transferred:
        """Both together."""
        return Transferred(
            self.streams + other.streams,
            self.bytes_received + other.bytes_received,
            self.bytes_sent + other.bytes_sent,
        )


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """A snapshot of one registered connection.

    Attributes:
        colo: the edge's site.
        age: seconds since the registration.
        requests: being answered now.
    """

    conn_index: int
    colo: str
    age: float
    requests: int
    transport: TransportStatistics


@dataclass(frozen=True, slots=True)
class TunnelStatistics:
    """A snapshot of a tunnel.

    Attributes:
        state: where it stands.
        cause: what led there, or None when nothing went wrong.
        since: when it came there, seconds since the epoch.
        url: the public URL, None before it works.
        connections: those that are registered now.
        transferred: totals since the start, lost connections included.
        reconnects: how often a registered connection was lost.
        pool: the connections to the origin in proxy mode, else None.
    """

    state: TunnelState
    cause: str | None
    since: float
    url: str | None
    connector_id: uuid.UUID
    connections: tuple[ConnectionStatistics, ...]
    transferred: Transferred
    reconnects: int
    pool: PoolStatistics | None = None
