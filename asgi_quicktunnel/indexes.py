"""Which connection indexes this process keeps. Decides only; `claims` takes them among several."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from asgi_quicktunnel.model import EdgeAddress

__all__ = ["Indexes", "Move", "OwnIndexes", "choose"]


@dataclass(frozen=True, slots=True)
class Move:
    """What changes now.

    Attributes:
        claim: indexes to begin with, which are ours from now on.
        give_back: indexes of ours that another process is to have.
    """

    claim: tuple[int, ...] = ()
    give_back: tuple[int, ...] = ()


class Indexes(Protocol):
    """Where a supervisor has its indexes from."""

    @property
    def interval(self) -> float:
        """Seconds until `move` may have something new to say."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes carry the tunnel too, or may."""
        ...

    @property
    def elsewhere(self) -> Collection[EdgeAddress]:
        """Edge addresses that the connections of other processes use."""
        ...

    def move(self, settled: float | None) -> Move:
        """What to begin and to give back now.

        Args:
            settled: seconds since a connection of this process was first registered, or None.
        """
        ...

    def previous(self, conn_index: int) -> EdgeAddress | None:
        """Where another process held this index until it ended without a word, or None."""
        ...

    def others_registered(self) -> bool:
        """Whether a connection of another process is registered now."""
        ...

    def record(self, conn_index: int, address: EdgeAddress, *, registered: bool) -> None:
        """Hear where an index of ours is being dialled, or was registered or lost."""
        ...

    def release(self, conn_index: int, *, for_good: bool = False) -> None:
        """The index is not ours any more; for good: and is not claimed again."""
        ...


class OwnIndexes:
    """All indexes from 0 to `count` - 1, for a tunnel that no other process knows."""

    is_shared = False
    interval = 0.05  # s
    elsewhere = ()

    def __init__(self, count: int) -> None:
        self._wanted = count
        self._mine: set[int] = set()
        self._given_up: set[int] = set()

    def move(self, settled: float | None) -> Move:
        """See `Indexes`."""
        move = choose(
            self._mine,
            set(range(self._wanted)) - self._mine - self._given_up,
            wanted=self._wanted,
            is_alone=True,
            settled=settled,
        )
        self._mine.update(move.claim)
        if len(self._mine) + len(self._given_up) >= self._wanted:
            self.interval = _NEVER
        return move

    def previous(self, conn_index: int) -> EdgeAddress | None:
        """See `Indexes`: nobody held it."""
        return None

    def others_registered(self) -> bool:
        """See `Indexes`: there are none."""
        return False

    def record(self, conn_index: int, address: EdgeAddress, *, registered: bool) -> None:
        """See `Indexes`: nobody asks."""

    def release(self, conn_index: int, *, for_good: bool = False) -> None:
        """See `Indexes`."""
        self._mine.discard(conn_index)
        if for_good:
            self._given_up.add(conn_index)


def choose(
    mine: Collection[int],
    free: Collection[int],
    *,
    wanted: int,
    is_alone: bool,
    settled: float | None,
    recalled: Collection[int] = (),
) -> Move:
    """What a process does about its indexes.

    Alone it has as many as are wanted: the first at once, the others 1 s apart once that one is
    registered (protocol.md §9.3), or at once too when the process before it had them. Among others
    it has one, and gives back what is more.

    Args:
        mine: indexes that this process has.
        free: indexes that nobody has.
        wanted: how many one process alone may have.
        is_alone: whether no other process has one or waits for one.
        settled: seconds since a connection of this process was first registered, or None.
        recalled: indexes that an earlier process left as they were.
    """
    if not is_alone and len(mine) > 1:
        return Move(give_back=tuple(sorted(mine)[1:]))
    room = (wanted if is_alone else 1) - len(mine)
    candidates = sorted(free)[: max(room, 0)]
    claimed: list[int] = []
    for index in candidates:
        taken = len(mine) + len(claimed)
        due = settled is not None and settled >= SPACING * taken
        if taken == 0 or due or index in recalled:
            claimed.append(index)
        else:
            break
    return Move(claim=tuple(claimed))


SPACING = 1.0  # s; protocol.md §9.3
_NEVER = 3600.0  # s
