"""What is told of one request when it has ended."""

from __future__ import annotations

import time

from asgi_quicktunnel.events import Emit, RequestDone
from asgi_quicktunnel.model import Headers, RequestHead
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.scope import printable, shown_path

__all__ = ["RequestReport"]


class RequestReport:
    """Figures of one request, filled in as it goes on.

    Attributes:
        status: of the answer; None until its head was sent.
        received: bytes that came after the visitor's head.
        sent: bytes that went out after ours.
    """

    __slots__ = ("_emit", "_facts", "_head", "_started", "received", "sent", "status")

    def __init__(self, emit: Emit, head: RequestHead, facts: ConnectionFacts) -> None:
        self.status: int | None = None
        self.received = 0
        self.sent = 0
        self._emit = emit
        self._head = head
        self._facts = facts
        self._started = time.monotonic()

    def done(self) -> None:
        """Tell whoever listens; called once, when the answer ended or was given up."""
        self._emit(
            RequestDone(
                conn_index=self._facts.conn_index,
                method=printable(self._head.method),
                path=shown_path(self._head.dest),
                status=self.status,
                elapsed=time.monotonic() - self._started,
                received=self.received,
                sent=self.sent,
                country=_country(self._head.headers),
            )
        )


def _country(headers: Headers) -> str | None:
    for name, value in headers:
        if name == b"cf-ipcountry":
            return printable(value.decode("latin-1"))
    return None
