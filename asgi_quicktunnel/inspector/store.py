"""The last requests of one tunnel, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from asgi_quicktunnel.inspector.kept import weigh_head
from asgi_quicktunnel.inspector.record import RECORD_COST, Record, RecordState
from asgi_quicktunnel.inspector.stream import RecordedStream
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["RequestStore", "StoreStatistics"]


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """A snapshot of a store.

    Attributes:
        records: kept now.
        bytes: of memory that they take, about.
        begun: records since the start.
        dropped: of those, how many had to make room or were cleared.
    """

    records: int
    bytes: int
    begun: int
    dropped: int


class RequestStore:
    """Keeps records until there are too many, or they take too much; the oldest leave first.

    One that leaves while it is open simply stops being kept. One thread, that of the tunnel.

    Memory is not counted down when a record leaves: what is spent is counted up to the limit, and
    only there all records are weighed. That is rare, and the rest costs next to nothing.

    Args:
        max_records: how many are kept.
        max_bytes: of memory, heads and overheads included.
        max_body: bytes of a body that are kept, each way.

    Attributes:
        begun: records since the start, the number of the newest.
        turn: the revision that changes get from now on; for records.
        is_calm: whether nothing has changed since `revision` was read; for records.
        allowance: bytes that can be spent before all is weighed; for records.
    """

    def __init__(
        self, *, max_records: int = 500, max_bytes: int = 32 << 20, max_body: int = 256 << 10
    ) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.max_body = max_body
        self.begun = 0
        self.turn = 1
        self.is_calm = True
        self._records: deque[Record] = deque()  # with numbers that follow each other
        self.allowance = max_bytes
        self._waiter: asyncio.Future[None] | None = None  # made when somebody waits

    def begin(self, stream: RequestStream, facts: ConnectionFacts) -> RecordedStream:
        """Watch a request that has arrived: what goes through the result is kept."""
        self.begun += 1
        record = RecordedStream(self, stream, facts)
        records = self._records
        records.append(record)
        if len(records) > self.max_records and (oldest := records.popleft()).state is _OPEN:
            oldest.let_go()
        if self.is_calm:
            self.stir()
        raw_head = stream.raw_head
        size = weigh_head(stream.head) if raw_head is None else len(raw_head)
        self.allowance -= RECORD_COST + size
        if self.allowance < 0:
            self.make_room()
        return record

    @property
    def revision(self) -> int:
        """Grows with each change; those that nobody looked between may count as one."""
        if not self.is_calm:
            self.is_calm = True
            self.turn += 1
        return self.turn - 1

    def records(self) -> list[Record]:
        """All that are kept, the newest first."""
        return list(reversed(self._records))

    def get(self, record_id: str) -> Record | None:
        """One record, or None when it is unknown or was dropped."""
        if not self._records or not record_id.isascii() or not record_id.isdigit():
            return None
        if len(record_id) > _DIGITS:
            return None
        at = int(record_id) - self._records[0].number
        return self._records[at] if 0 <= at < len(self._records) else None

    def changed_since(self, revision: int) -> list[Record]:
        """The records that have changed after a revision, the newest first."""
        return [record for record in reversed(self._records) if record.revision > revision]

    async def wait_changed(self, revision: int) -> None:
        """Return once the revision is another; costs the exchanges nothing while nobody waits."""
        while self.revision == revision:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)

    def clear(self) -> None:
        """Forget everything."""
        while self._records:
            self._records.popleft().let_go()
        self.allowance = self.max_bytes
        self.stir()

    def statistics(self) -> StoreStatistics:
        """A snapshot."""
        kept = len(self._records)
        size = sum([record.cost() for record in self._records])
        return StoreStatistics(kept, size, self.begun, self.begun - kept)

    def stir(self) -> None:
        """Something has changed, the first since `revision` was read; for records."""
        self.is_calm = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def make_room(self) -> None:
        """Weigh all; of too much so many leave that it need not be done again soon; for records."""
        costs = [record.cost() for record in self._records]
        total = sum(costs)
        for cost in costs:
            if total <= self.max_bytes - (self.max_bytes >> 3):
                break
            self._records.popleft().let_go()
            total -= cost
        self.allowance = self.max_bytes - total


_OPEN = RecordState.OPEN
_DIGITS = 18  # below 2^63, and far above any number
