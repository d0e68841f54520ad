"""How many datagrams to ask a socket for when it wakes us."""

from __future__ import annotations

__all__ = ["BATCH", "Habit"]


class Habit:
    """Knows when wake-ups bring the same number of datagrams again and again.

    Then the call that would only say that there are no more is spared: with one small request at a
    time it is a tenth of our part. Loops tell again of what is left in a socket, so a datagram more
    than usual is not lost, but costs a turn of the loop: hence only after many wake-ups alike, and
    at times all is asked for even then.

    Attributes:
        limit: how many to ask for at the next wake-up.
    """

    __slots__ = ("_alike", "_count", "limit")

    def __init__(self) -> None:
        self.limit = BATCH
        self._count = 0
        self._alike = 0  # wake-ups

    def note(self, count: int) -> None:
        """A wake-up brought so many."""
        if count != self._count:
            self._count = count
            self._alike = 0
            self.limit = BATCH
            return
        self._alike += 1
        is_habit = self._alike > _ENOUGH and self._alike % _ENOUGH
        self.limit = max(count, 1) if is_habit else BATCH


BATCH = 64  # datagrams per wake-up; engine-notes.md §2
_ENOUGH = 16  # wake-ups
