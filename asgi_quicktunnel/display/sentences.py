"""The lines that people read, whatever shows them. Pure."""

from __future__ import annotations

from datetime import datetime

from asgi_quicktunnel.display.steps import Step, StepDone
from asgi_quicktunnel.events import (
    ConnectionLost,
    Drained,
    Draining,
    Event,
    RequestDone,
    StateChanged,
    TunnelState,
)

__all__ = ["about_request", "about_step", "about_trouble"]


def about_step(done: StepDone) -> str:
    """What was done, what came of it, and how long it took."""
    return f"{DONE[done.step]}: {done.detail} ({done.elapsed:.2f} s)"


def about_request(done: RequestDone, at: datetime) -> str:
    """Time, method, path, status, milliseconds, country; what is not known is "-"."""
    status = "-" if done.status is None else str(done.status)
    took = f"{done.elapsed * 1000:.0f} ms"
    country = done.country or "-"
    return f"{at:%H:%M:%S} {done.method:<7} {done.path} {status} {took} {country}"


def about_trouble(event: Event, *, is_starting: bool) -> str | None:
    """A line about a loss, its end, or the shutdown; None for what is shown otherwise.

    What costs a visitor something is in the log as well; this says the rest.
    """
    match event:
        case ConnectionLost(conn_index, _, cause) if is_starting:
            return f"connection {conn_index}: {cause}; it is tried again"
        case StateChanged(TunnelState.DEGRADED | TunnelState.RECONNECTING as state, cause, _):
            return f"{state.value}: {cause}"
        case Draining(requests, grace_period) if requests:
            one = requests == 1
            return (
                f"stopping: waiting for {requests} open {'request' if one else 'requests'}, for "
                f"{grace_period:g} s at most; Ctrl-C again cuts {'it' if one else 'them'} off"
            )
        case Drained(unfinished) if unfinished:
            return f"cut off: {unfinished} {'request' if unfinished == 1 else 'requests'}"
    return None


DONE = {
    Step.PROVISION: "tunnel given out",
    Step.DISCOVER: "edge found",
    Step.CONNECT: "edge reached",
    Step.REGISTER: "registered",
    Step.REACH: "URL checked",
}
