"""Events as JSON lines, for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from asgi_quicktunnel.display.base import Lines
from asgi_quicktunnel.events import (
    ConnectionLost,
    Dialled,
    Discovered,
    Drained,
    Draining,
    Event,
    Provisioned,
    Registered,
    RequestDone,
    StateChanged,
    TunnelReady,
)

__all__ = ["JsonLines", "as_object"]


class JsonLines:
    """One object a line: "event", "time" in seconds since the epoch, and what `as_object` says."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.time) -> None:
        self._quiet = quiet
        self._clock = clock
        self._lines = Lines()

    def show(self, event: Event) -> None:
        """Write the event."""
        if self._quiet and isinstance(event, RequestDone):
            return
        name, members = as_object(event)
        line = {"event": name, "time": self._clock(), **members}
        rounded = {
            key: round(each, 6) if isinstance(each, float) else each for key, each in line.items()
        }
        self._lines.write(json.dumps(rounded))

    def close(self) -> None:
        """Nothing is left to do."""


def as_object(event: Event) -> tuple[str, dict[str, Any]]:
    """The name of an event and its members; durations are seconds, sizes are bytes."""
    match event:
        case Provisioned(url, elapsed):
            return "provisioned", {"url": url, "elapsed": elapsed}
        case Discovered(addresses, elapsed):
            return "discovered", {
                "addresses": [str(each) for each in addresses],
                "elapsed": elapsed,
            }
        case Dialled(conn_index, address, protocol, elapsed):
            members = {"conn_index": conn_index, "address": str(address)}
            return "dialled", {**members, "protocol": protocol, "elapsed": elapsed}
        case Registered(conn_index, address, registration, elapsed):
            members = {"conn_index": conn_index, "address": str(address)}
            return "registered", {**members, "colo": registration.colo, "elapsed": elapsed}
        case TunnelReady(url, doubt, leads):
            return "ready", {"url": url, "doubt": doubt, "leads": leads}
        case ConnectionLost(conn_index, lost_at, cause):
            where = None if lost_at is None else str(lost_at)
            return "lost", {"conn_index": conn_index, "address": where, "cause": str(cause)}
        case StateChanged(state, reason, since):
            return "state", {"state": state.value, "cause": reason, "since": since}
        case RequestDone():
            return "request", event._asdict()
        case Draining(requests, grace_period):
            return "draining", {"requests": requests, "grace_period": grace_period}
        case Drained(unfinished):
            return "drained", {"unfinished": unfinished}
