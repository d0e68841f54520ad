"""Requests counted by second, status, method, duration and size."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from asgi_quicktunnel.events import (
    ConnectionLost,
    Dialled,
    Drained,
    Event,
    Registered,
    RequestDone,
)
from asgi_quicktunnel.traffic.histogram import BITS, HistogramStatistics, by_bits
from asgi_quicktunnel.traffic.history import IndexHistory, IndexStatistics

__all__ = ["CLASSES", "WINDOW", "Second", "Traffic", "TrafficStatistics"]


class Second(NamedTuple):
    """What was answered within one second.

    Attributes:
        offset: seconds from `TrafficStatistics.until`, 0 or less.
        counts: requests of each of `CLASSES`.
    """

    offset: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrafficStatistics:
    """A snapshot of what came through.

    Attributes:
        until: the second of the snapshot, seconds since the epoch.
        seconds: those of the last `WINDOW` in which a request ended, oldest first.
        requests: ended ones since the start by method and status. A method that HTTP does not
            have is "other", a status outside 100..599 too; "reset" is a stream that was given up
            before its answer.
        durations: seconds from the arrival of the head to the end of the answer. WebSockets are
            left out: they last as long as somebody looks.
        received: body bytes of each request.
        sent: body bytes of each answer.
        indexes: what became of each HA connection, by index.
    """

    until: int
    seconds: tuple[Second, ...]
    requests: dict[tuple[str, str], int]
    durations: HistogramStatistics
    received: HistogramStatistics
    sent: HistogramStatistics
    indexes: tuple[IndexStatistics, ...]


class Traffic:
    """Hears of each event of a tunnel and counts. Bounded, whatever visitors send.

    Args:
        clock: seconds that only go forward.
        epoch: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._epoch = epoch
        # Seconds are cut where those of the epoch are, and stay in order when that clock is set.
        self._shift = epoch() - clock()
        # Each is the second, then requests of each class; only the latest grows.
        self._seconds: deque[list[int]] = deque(maxlen=WINDOW)
        self._latest = [-1, *_NONE]
        self._latest_ends = float("-inf")  # on the clock
        # By method and status: the position of the class in a second, then requests, seconds,
        # body bytes in and out.
        self._tallies: dict[tuple[str, int | None], list[Any]] = {}
        self._durations = [0] * (len(_DURATION_BOUNDS) + 1)
        self._received = [0] * BITS  # by `bits_of`, without those of no bytes
        self._sent = [0] * BITS
        self._indexes: dict[int, IndexHistory] = {}

    @property
    def requests(self) -> int:
        """How many requests ended since the start; an asker sees by it whether there is news."""
        return sum(tally[1] for tally in tuple(self._tallies.values()))

    def on_event(self, event: Event) -> None:
        """Hear of one event; below a microsecond for a request, hence built-ins alone."""
        if isinstance(event, RequestDone):
            _, method, _, status, elapsed, received, sent, _ = event
            if self._clock() >= self._latest_ends:
                self._begin_second()
            try:
                tally = self._tallies[method, status]
            except KeyError:
                tally = self._tally(method, status)
            self._latest[tally[0]] += 1
            tally[1] += 1
            tally[2] += elapsed
            if received:
                tally[3] += received
                self._received[(received - 1).bit_length()] += 1
            if sent:
                tally[4] += sent
                self._sent[(sent - 1).bit_length()] += 1
            if status != _SWITCHING:
                self._durations[bisect_left(_DURATION_BOUNDS, elapsed)] += 1
        elif isinstance(event, Dialled | Registered | ConnectionLost):
            index = event.conn_index
            if index not in self._indexes:
                self._indexes[index] = IndexHistory(index)
            self._indexes[index].on_event(event)
        elif isinstance(event, Drained):
            for history in self._indexes.values():
                history.on_event(event)

    def statistics(self) -> TrafficStatistics:
        """A snapshot; may be called in any thread."""
        now = int(self._clock() + self._shift)
        # What the clock of the epoch was set by since the start.
        drift = round(self._epoch() - self._clock() - self._shift)
        tallies = {key: tuple(tally) for key, tally in tuple(self._tallies.items())}
        requests = sum(tally[1] for tally in tallies.values())
        timed = sum(tally[2] for (_, status), tally in tallies.items() if status != _SWITCHING)
        return TrafficStatistics(
            until=now + drift,
            seconds=tuple(
                Second(second - now, tuple(counts))
                for second, *counts in tuple(self._seconds)
                if now - WINDOW < second <= now
            ),
            requests={
                (method, _label(status)): tally[1] for (method, status), tally in tallies.items()
            },
            durations=HistogramStatistics(_DURATION_BOUNDS, tuple(self._durations), timed),
            received=_sizes(self._received, requests, sum(each[3] for each in tallies.values())),
            sent=_sizes(self._sent, requests, sum(each[4] for each in tallies.values())),
            indexes=tuple(self._indexes[index].statistics() for index in sorted(self._indexes)),
        )

    def _begin_second(self) -> None:
        # The sum of both may be rounded down into the second that has just ended.
        second = max(int(self._clock() + self._shift), self._latest[0] + 1)
        self._latest = [second, *_NONE]
        self._latest_ends = second + 1 - self._shift
        self._seconds.append(self._latest)

    def _tally(self, method: str, status: int | None) -> list[Any]:
        """The tally of a method and status; few of them, whatever visitors and apps make up."""
        if method not in _METHODS:
            method = "other"
        if status is not None and not 100 <= status <= 599:
            status = _OTHER_STATUS
        return self._tallies.setdefault((method, status), [_class_of(status), 0, 0.0, 0, 0])


def _sizes(counts: list[int], requests: int, total: int) -> HistogramStatistics:
    """The histogram of sizes of which those of no bytes were not counted."""
    empty = max(requests - sum(counts), 0)
    return by_bits([counts[0] + empty, *counts[1:]], _SIZE_BOUNDS, total)


def _class_of(status: int | None) -> int:
    """The position of its count behind the second; what no class has is an error of the app."""
    if status is None:
        return 6
    return 5 if status == _OTHER_STATUS else status // 100


def _label(status: int | None) -> str:
    if status is None:
        return "reset"
    return "other" if status == _OTHER_STATUS else str(status)


WINDOW = 900  # s
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "reset")
_NONE = [0] * len(CLASSES)
_OTHER_STATUS = -1
_SWITCHING = 101  # RFC 9110 §15.2.2
# RFC 9110 §9.3, RFC 5789.
_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
# s; the highest is what the edge allows until the first byte (protocol.md §12).
_DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
# Bytes; the highest is above the largest body that the edge takes (protocol.md §12).
_SIZE_BOUNDS = tuple(4**power for power in range(3, 15))
