"""Where a tunnel stands, read off its events. Pure: no clock, no loop."""

from __future__ import annotations

from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Dialled,
    Discovered,
    Event,
    Provisioned,
    Registered,
    StateChanged,
    TunnelState,
)

__all__ = ["TunnelStatus"]


class TunnelStatus:
    """The state of one tunnel with its cause.

    Attributes:
        state: see `TunnelState`.
        cause: what led there, as a sentence, or None when nothing went wrong.
        since: seconds since the epoch.
        reconnects: how often a registered connection was lost.
    """

    def __init__(self, *, now: float) -> None:
        self.state = TunnelState.STOPPED
        self.cause: str | None = None
        self.since = now
        self.reconnects = 0
        self._next = _PROVISION
        self._announced = False
        self._registered: set[int] = set()
        self._missing: dict[int, str] = {}

    @property
    def waiting_for(self) -> str | None:
        """What has to happen next until the URL works, in words; None once it has, or ended."""
        return self._next if self.state is TunnelState.STARTING else None

    def on_event(self, event: Event, *, now: float) -> StateChanged | None:
        """Hear of a step, a registration or a loss; the change that follows, if any."""
        if not self._registered:
            self._next = _AFTER.get(type(event), self._next)
        if isinstance(event, Registered):
            self._registered.add(event.conn_index)
            self._missing.pop(event.conn_index, None)
        elif isinstance(event, ConnectionLost):
            if event.conn_index in self._registered:
                self.reconnects += 1
                self._registered.discard(event.conn_index)
                self._missing[event.conn_index] = str(event.cause)
            elif self.state is TunnelState.STARTING:
                self.cause = str(event.cause)
        else:
            return None
        return self._settle(now)

    def on_started(self, *, now: float) -> StateChanged | None:
        """The tunnel begins."""
        self._announced = False
        self._next = _PROVISION
        return self._change(TunnelState.STARTING, None, now)

    def on_announced(self, *, now: float) -> StateChanged | None:
        """The URL was announced."""
        self._announced = True
        return self._settle(now)

    def on_renewal(self, *, now: float) -> StateChanged | None:
        """The tunnel is given up for a new one, which has another URL."""
        self._announced = False
        self._registered.clear()
        self._missing.clear()
        return self._change(TunnelState.RECONNECTING, "the edge forgot the tunnel", now)

    def on_stopped(self, *, now: float) -> StateChanged | None:
        """The tunnel ended because somebody asked for it."""
        self._registered.clear()
        self._missing.clear()
        return self._change(TunnelState.STOPPED, None, now)

    def on_failed(self, cause: QuickTunnelError, *, now: float) -> StateChanged | None:
        """The tunnel was given up."""
        self._registered.clear()
        self._missing.clear()
        return self._change(TunnelState.FAILED, str(cause), now)

    def _settle(self, now: float) -> StateChanged | None:
        if not self._announced:
            return None
        if not self._missing:
            return self._change(TunnelState.READY, None, now)
        state = TunnelState.DEGRADED if self._registered else TunnelState.RECONNECTING
        return self._change(state, next(iter(self._missing.values())), now)

    def _change(self, state: TunnelState, cause: str | None, now: float) -> StateChanged | None:
        if (state, cause) == (self.state, self.cause):
            return None
        if state is not self.state:
            self.since = now
        self.state, self.cause = state, cause
        return StateChanged(state, cause, self.since)


_PROVISION = "the service to give out a tunnel"
_DIAL = "an edge server to answer"
_AFTER: dict[type[Event], str] = {
    Provisioned: "the addresses of the edge",
    Discovered: _DIAL,
    Dialled: "the edge to register the first connection",
    ConnectionLost: _DIAL,
    Registered: "a request to the URL to come back",
}
