"""How often to read a socket when it wakes us."""

from __future__ import annotations

__all__ = ["BATCH", "Habit"]


class Habit:
    """Knows when wake-ups are alike: each brings something for the same number of reads.

    Then the read that would only say that there is no more is spared: with one small request at a
    time it is a twentieth of our part. Loops tell again of what is left in a socket, so what comes
    on top is not lost, but costs a turn of the loop: hence only after many wake-ups alike, and at
    times all is asked for even then.

    Attributes:
        limit: how many reads the next wake-up is worth.
    """

    __slots__ = ("_alike", "_count", "limit")

    def __init__(self) -> None:
        self.limit = BATCH
        self._count = 0
        self._alike = 0  # wake-ups

    def note(self, count: int) -> None:
        """A wake-up had something for so many reads."""
        if count != self._count:
            self._count = count
            self._alike = 0
            self.limit = BATCH
            return
        self._alike += 1
        is_habit = self._alike > _ENOUGH and self._alike % _ENOUGH
        self.limit = max(count, 1) if is_habit else BATCH


BATCH = 64  # reads per wake-up; engine-notes.md §2
_ENOUGH = 16  # wake-ups
