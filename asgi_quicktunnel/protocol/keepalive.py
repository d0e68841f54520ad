"""Decides when a WebSocket pings its visitor, and when that one counts as gone."""

from __future__ import annotations

import enum
import math

__all__ = ["KeepAlive", "Verdict"]


class Verdict(enum.Enum):
    """What is to be done now."""

    WAIT = "nothing"
    PING = "send a ping"
    GONE = "give the visitor up"


class KeepAlive:
    """A ping every so often, and a time within which something must be heard after it.

    Anything counts as heard, not only a pong: that one can't overtake a large message under way.
    """

    __slots__ = ("_deadline", "_interval", "_next_ping", "_timeout")

    def __init__(self, interval: float | None, timeout: float | None, *, now: float) -> None:
        """Begin.

        Args:
            interval: seconds between pings; None sends none.
            timeout: seconds of silence after a ping that are too many; None waits for ever.
            now: seconds, on the clock that later calls are on.
        """
        self._interval = math.inf if interval is None else interval
        self._timeout = math.inf if timeout is None else timeout
        self._next_ping = now + self._interval
        self._deadline = math.inf

    @property
    def due(self) -> float | None:
        """When `handle_timeout` is to be called, or None for never."""
        due = min(self._next_ping, self._deadline)
        return None if due == math.inf else due

    def heard(self) -> None:
        """The visitor sent something."""
        self._deadline = math.inf

    def handle_timeout(self, *, now: float, listening: bool) -> Verdict:
        """Decide; a visitor is not given up while nobody is `listening` to what it says."""
        if now >= self._deadline:
            if listening:
                return Verdict.GONE
            self._deadline = now + self._timeout
        if now < self._next_ping:
            return Verdict.WAIT
        self._next_ping = now + self._interval
        if self._deadline < math.inf:
            return Verdict.WAIT
        self._deadline = now + self._timeout
        return Verdict.PING
