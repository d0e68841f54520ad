"""Snapshots of a tunnel: what `QuickTunnel.statistics()` gives."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from asgi_quicktunnel.events import TunnelState
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.origin.pool import PoolStatistics
from asgi_quicktunnel.transport.base import TransportStatistics

__all__ = [
    "ConnectionState",
    "ConnectionStatistics",
    "MissingConnection",
    "Transferred",
    "TunnelStatistics",
    "missing_connections",
]


class ConnectionState(enum.Enum):
    """Where one HA connection stands.

    REGISTERED: visitors come through it. CONNECTING: it is dialled or asks to be registered.
    WAITING: for the next try, after a loss or a failure, or for the edge's addresses. GIVEN_UP: it
    failed for good, or `max_reconnect_attempts` times.
    """

    REGISTERED = "registered"
    CONNECTING = "connecting"
    WAITING = "waiting"
    GIVEN_UP = "given_up"


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
class MissingConnection:
    """A connection that is wanted and not registered.

    Attributes:
        address: where it is being dialled, or None.
    """

    conn_index: int
    state: ConnectionState
    address: EdgeAddress | None = None


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
        missing: connections of this process that are wanted and not registered, by index.
        waiting_for: while the tunnel starts, what has to happen next, in words; else None.
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
    missing: tuple[MissingConnection, ...] = ()
    waiting_for: str | None = None


def missing_connections(
    *,
    wanted: Collection[int],
    given_up: Collection[int],
    dialled: Mapping[int, EdgeAddress],
    registered: Collection[int],
) -> tuple[MissingConnection, ...]:
    """Those that are not registered and should be, by index.

    Args:
        wanted: indexes that are kept.
        given_up: indexes that are not kept any more because they failed.
        dialled: where the connections of the moment were dialled, registered or not.
        registered: indexes among these that are registered.
    """
    missing = dict.fromkeys(given_up, ConnectionState.GIVEN_UP)
    missing |= dict.fromkeys(wanted, ConnectionState.WAITING)
    missing |= dict.fromkeys(dialled, ConnectionState.CONNECTING)
    return tuple(
        MissingConnection(index, missing[index], dialled.get(index))
        for index in sorted(missing.keys() - registered)
    )
