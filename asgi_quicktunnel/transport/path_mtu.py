"""How large a datagram a path carries, found out by a few probes (RFC 8899)."""

from __future__ import annotations

__all__ = ["BASE_SIZE", "LARGEST_SIZE", "PathMtuSearch"]


class PathMtuSearch:
    """Decides which sizes to try; whoever sends says what became of them.

    The largest size comes first, since most paths carry it, then halves of what is left.

    Attributes:
        size: bytes of UDP payload that are known to arrive.
    """

    def __init__(self) -> None:
        self.size = BASE_SIZE
        self._refused = LARGEST_SIZE + 1  # the smallest size that is known not to arrive
        self._losses = 0  # of the size under trial
        self._under_way = False
        self._not_before = 0.0

    def next_probe(self, now: float) -> int | None:
        """The size to try now, or None. After one, say `on_arrived` or `on_lost`."""
        if self._under_way or now < self._not_before or self._refused - self.size <= _CLOSE_ENOUGH:
            return None
        self._under_way = True
        if self._refused > LARGEST_SIZE:
            return LARGEST_SIZE
        return (self.size + self._refused) // 2

    def on_arrived(self, size: int) -> None:
        """A probe was acknowledged."""
        self._under_way = False
        self._losses = 0
        self.size = max(self.size, size)

    def on_lost(self, size: int) -> None:
        """A probe was lost; once or twice that may be chance (RFC 8899 §5.1.2, MAX_PROBES)."""
        self._under_way = False
        self._losses += 1
        if self._losses >= _MAX_PROBES:
            self._losses = 0
            self._refused = min(self._refused, size)

    def on_black_hole(self, now: float) -> None:
        """Nothing arrives any more: begin anew, later (RFC 8899 §4.3)."""
        self.size = BASE_SIZE
        self._refused = LARGEST_SIZE + 1
        self._losses = 0
        self._not_before = now + _RAISE_TIMER


BASE_SIZE = 1232  # bytes; protocol.md §4, the smaller of the two address families' sizes
LARGEST_SIZE = 1452  # bytes; protocol.md §4
_CLOSE_ENOUGH = 20  # bytes
_MAX_PROBES = 3  # RFC 8899 §5.1.2
_RAISE_TIMER = 600.0  # s; RFC 8899 §5.1.1
