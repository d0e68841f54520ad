"""What a page has been told, and what it has to be told next. Pure: no socket, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asgi_quicktunnel.diagnostics.record_view import summarize
from asgi_quicktunnel.inspector.store import RequestStore

__all__ = ["Feed"]

Message = dict[str, Any]


class Feed:
    """The messages for one page: everything at first, then what has changed.

    A message is made from what is so at that moment, never kept: however long a page takes to read
    one, the next says all that came meanwhile, and nothing piles up. Types are `status`, with
    `status` as `GET /status` answers; `traffic`, with `traffic` as `GET /traffic` answers, but
    after the first only the seconds that differ; and `requests`, with `revision`, `reset` (whether
    these are all), `oldest` (the lowest id that is still kept, or null) and `requests` as `GET
    /requests` has them, the newest first.

    Attributes:
        revision: of the store, as far as the page was told; None before.
    """

    def __init__(self) -> None:
        self._status: Message | None = None
        self._seconds: dict[int, list[int]] | None = None
        self.revision: int | None = None

    def on_status(self, status: Message) -> Iterable[Message]:
        """One message when the page was told something else before, or nothing."""
        if status != self._status:
            self._status = status
            yield {"type": "status", "status": status}

    def on_traffic(self, traffic: Message) -> Iterable[Message]:
        """One message when there are seconds that the page was told nothing of, or otherwise."""
        until = int(traffic["until"])
        seconds = {until + offset: counts for offset, *counts in traffic["counts"]}
        told, self._seconds = self._seconds, seconds
        if told is None:
            yield {"type": "traffic", "reset": True, "traffic": traffic}
            return
        changed = [
            [second - until, *counts]
            for second, counts in seconds.items()
            if told.get(second) != counts
        ]
        if changed:
            yield {"type": "traffic", "reset": False, "traffic": {**traffic, "counts": changed}}

    def on_requests(self, store: RequestStore | None) -> Iterable[Message]:
        """One message when the store has changed since the last; it has every change in it.

        Args:
            store: None where nothing is kept; the page is told so once, by `inspecting`.
        """
        if store is None:
            if self.revision is None:
                self.revision = 0
                yield {**_NOTHING}
            return
        revision, told = store.revision, self.revision
        if revision == told:
            return
        records = store.records()
        changed = records if told is None else store.changed_since(told)
        self.revision = revision
        yield {
            "type": "requests",
            "inspecting": True,
            "revision": revision,
            "reset": told is None,
            "oldest": records[-1].id if records else None,
            "requests": [summarize(record) for record in changed],
        }


_NOTHING: Message = {
    "type": "requests",
    "inspecting": False,
    "revision": 0,
    "reset": True,
    "oldest": None,
    "requests": [],
}
