"""Connection indexes that several processes share, one lock file each.

How does a process know that it is one of several workers, and not the one child of a reloader? It
does not ask the server: an index belongs to whoever holds the lock on its file, and a process that
finds none free holds the lock "waiting". So each sees whether it is alone. Alone it has as many
indexes as `ha_connections` says; when another one comes it keeps one and gives back the rest; when
a holder ends, however it ends, the kernel frees its lock, and a process that waits, or the one that
the supervisor starts in its place, takes the index over.

The holder leaves in the file which edge address it uses, whether it is registered there, and
whether one before it may still be. Others stay away from that address, because the edge takes one
connection of a connector on each of its servers; and who takes the index over dials the same
address and says `replaceExisting` when the last holder, or that one, ended without unregistering.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from asgi_quicktunnel.indexes import Move, choose
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.private_directory import FileLock

__all__ = ["SharedIndexes"]


class SharedIndexes:
    """The `Indexes` of one process among others.

    Args:
        lock: gives the lock that all of them know by a name.
        wanted: how many this process may have while it is alone.
    """

    def __init__(self, lock: Callable[[str], FileLock], wanted: int) -> None:
        self._locks = {index: lock(str(index)) for index in range(INDEXES)}
        self._waiting = lock("waiting")
        self._wanted = wanted
        self._given_up: set[int] = set()
        self._recalled: dict[int, EdgeAddress] = {}
        self._left: set[int] = set()  # of those, the ones that nothing has replaced yet
        self._is_alone = True

    @property
    def interval(self) -> float:
        """See `Indexes`."""
        return _INTERVAL

    @property
    def is_shared(self) -> bool:
        """See `Indexes`."""
        return not self._is_alone

    @property
    def mine(self) -> set[int]:
        """The indexes of this process."""
        return {index for index, lock in self._locks.items() if lock.is_held}

    @property
    def elsewhere(self) -> Collection[EdgeAddress]:
        """See `Indexes`."""
        records = (_read(lock) for lock in self._others())
        return [record.address for record in records if record is not None]

    def move(self, settled: float | None) -> Move:
        """See `Indexes`."""
        mine = self.mine
        free = {index for index, lock in self._locks.items() if lock.is_free()}
        is_waited_for = not self._waiting.is_held and not self._waiting.is_free()
        self._is_alone = len(mine) + len(free) == INDEXES and not is_waited_for
        left = {
            index: record.address
            for index in free
            if (record := _read(self._locks[index])) is not None
            and (record.registered or record.left)
        }
        move = choose(
            mine,
            free - self._given_up,
            wanted=self._wanted,
            is_alone=self._is_alone,
            settled=settled,
            recalled=left,
        )
        claimed = tuple(index for index in move.claim if self._locks[index].try_acquire())
        self._recalled.update({index: left[index] for index in claimed if index in left})
        self._left.update(index for index in claimed if index in left)
        if self.mine:
            self._waiting.release()
        else:
            self._waiting.try_acquire()
        return Move(claimed, move.give_back)

    def previous(self, conn_index: int) -> EdgeAddress | None:
        """See `Indexes`."""
        return self._recalled.get(conn_index)

    def others_registered(self) -> bool:
        """See `Indexes`."""
        records = (_read(lock) for lock in self._others())
        return any(record is not None and record.registered for record in records)

    def record(self, conn_index: int, address: EdgeAddress, *, registered: bool) -> None:
        """See `Indexes`."""
        lock = self._locks[conn_index]
        if registered:  # which replaced what was left
            self._left.discard(conn_index)
        if lock.is_held:
            left = conn_index in self._left
            with suppress(OSError):  # a full disk: others then only guess where we are
                lock.write(_Record(address, registered, left).encode())

    def release(self, conn_index: int, *, for_good: bool = False) -> None:
        """See `Indexes`."""
        self._recalled.pop(conn_index, None)
        self._left.discard(conn_index)
        self._locks[conn_index].release()
        if for_good:
            self._given_up.add(conn_index)

    def close(self) -> None:
        """Let go of all; what the files say stays."""
        for lock in (*self._locks.values(), self._waiting):
            lock.close()

    def _others(self) -> list[FileLock]:
        """The locks that other processes hold."""
        locks = self._locks.values()
        return [lock for lock in locks if not lock.is_held and not lock.is_free()]


@dataclass(frozen=True, slots=True)
class _Record:
    """What the holder of an index leaves in its file.

    Attributes:
        address: where it dials, or has dialled.
        registered: whether it is registered there.
        left: whether an earlier holder may be, which ended without a word.
    """

    address: EdgeAddress
    registered: bool
    left: bool

    def encode(self) -> bytes:
        address = self.address
        facts = [address.ip, address.port, address.region, self.registered, self.left]
        return json.dumps(facts).encode()


def _read(lock: FileLock) -> _Record | None:
    try:
        ip, port, region, registered, left = json.loads(lock.read())
        address = EdgeAddress(str(ip), int(port), int(region))
        return _Record(address, registered is True, left is True)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


INDEXES = 4  # protocol.md §5.5: 0..3
_INTERVAL = 0.25  # s
