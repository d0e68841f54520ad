"""What became of each HA connection, one after the other at the same index."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from asgi_quicktunnel.errors import (
    DialError,
    DiscoveryError,
    DuplicateConnection,
    QuickTunnelError,
    RegistrationError,
)
from asgi_quicktunnel.events import ConnectionLost, Dialled, Drained, Event, Registered
from asgi_quicktunnel.model import EdgeAddress

__all__ = ["FAILURES", "IndexHistory", "IndexStatistics"]


@dataclass(frozen=True, slots=True)
class IndexStatistics:
    """A snapshot of what became of one index.

    Attributes:
        address: the edge address that was used last, None before the first one.
        protocol: what carried the last dial that was answered, "quic", or None.
        handshake_time: seconds that dial took, or None.
        register_time: seconds from the last dial that led to a registration to that, or None.
        registrations: how often the edge accepted one.
        reconnects: how often a registered connection was lost.
        failures: what failed, by one of `FAILURES`; a loss is none of them.
        cause: of the last loss or failure, or None while nothing went wrong since.
    """

    conn_index: int
    address: EdgeAddress | None = None
    protocol: str | None = None
    handshake_time: float | None = None
    register_time: float | None = None
    registrations: int = 0
    reconnects: int = 0
    failures: tuple[tuple[str, int], ...] = ()
    cause: str | None = None


class IndexHistory:
    """Hears of one index and remembers what counts."""

    def __init__(self, conn_index: int) -> None:
        self._conn_index = conn_index
        self._address: EdgeAddress | None = None
        self._protocol: str | None = None
        self._handshake_time: float | None = None
        self._register_time: float | None = None
        self._registrations = 0
        self._reconnects = 0
        self._failures: Counter[str] = Counter()
        self._cause: str | None = None
        self._is_registered = False

    def on_event(self, event: Event) -> None:
        """Hear of a step of this index; others change nothing."""
        if isinstance(event, Dialled):
            self._address, self._protocol = event.address, event.protocol
            self._handshake_time = event.elapsed
        elif isinstance(event, Registered):
            self._address, self._register_time = event.address, event.elapsed
            self._registrations += 1
            self._is_registered, self._cause = True, None
        elif isinstance(event, ConnectionLost):
            self._address = event.address or self._address
            self._cause = str(event.cause)
            if self._is_registered:
                self._reconnects += 1
            else:
                self._failures[_kind(event.cause)] += 1
            self._is_registered = False
        elif isinstance(event, Drained):
            self._is_registered = False

    def statistics(self) -> IndexStatistics:
        """A snapshot."""
        return IndexStatistics(
            conn_index=self._conn_index,
            address=self._address,
            protocol=self._protocol,
            handshake_time=self._handshake_time,
            register_time=self._register_time,
            registrations=self._registrations,
            reconnects=self._reconnects,
            failures=tuple(self._failures.items()),
            cause=self._cause,
        )


def _kind(cause: QuickTunnelError) -> str:
    for kind, error in _KINDS:
        if isinstance(cause, error):
            return kind
    return "other"


_KINDS: tuple[tuple[str, type[QuickTunnelError]], ...] = (
    ("duplicate", DuplicateConnection),
    ("registration", RegistrationError),
    ("dial", DialError),
    ("discovery", DiscoveryError),
)
FAILURES = (*(kind for kind, _ in _KINDS), "other")
