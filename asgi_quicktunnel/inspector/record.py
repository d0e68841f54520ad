"""What is kept of one exchange."""

from __future__ import annotations

import enum
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from asgi_quicktunnel.inspector.kept import CHUNK_COST, Chunks, weigh, weigh_chunks, weigh_head
from asgi_quicktunnel.model import Headers, RequestHead, ResponseHead
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.protocol.datastream import read_request
from asgi_quicktunnel.transport.base import RequestStream

if TYPE_CHECKING:
    from asgi_quicktunnel.inspector.store import RequestStore

__all__ = ["PART_COST", "RECORD_COST", "Passed", "Record", "RecordState"]


class RecordState(enum.Enum):
    """Where an exchange stands: DONE when the answer was ended, RESET when it was given up."""

    OPEN = "open"
    DONE = "done"
    RESET = "reset"


class Passed(NamedTuple):
    """Bytes of a WebSocket that passed at once.

    Attributes:
        from_visitor: whether the visitor sent them, rather than the app.
        at: seconds since the record began.
        data: raw, frames or parts of them.
    """

    from_visitor: bool
    at: float
    data: bytes


class Record:
    """One request and its answer, as far as they are kept. One thread, that of the tunnel.

    Header values are the real ones: what shows them masks them. A request counts what the app
    took, an answer what the app gave, whether or not it arrived.

    Attributes:
        number: grows from record to record.
        facts: the HA connection it came over, and what it repeats.
        status: of the answer, or None before its head.
        state: where it stands.
        received: body bytes from the visitor, frames of a WebSocket included, kept or not.
        sent: body bytes for the visitor, likewise.
        request_ended: whether the end of the visitor's body was seen.
        revision: the store's, when this record changed last.
    """

    # Not a dataclass, and filled in by `RecordedStream` itself: this is made for each request.
    __slots__ = (
        "_answered",
        "_began",
        "_conversation",
        "_ended",
        "_head",
        "_raw_head",
        "_request_body",
        "_response_body",
        "_response_headers",
        "_started",
        "_store",
        "_stream",
        "_talked",
        "facts",
        "number",
        "received",
        "request_ended",
        "revision",
        "sent",
        "state",
        "status",
    )

    def __init__(self, store: RequestStore, stream: RequestStream, facts: ConnectionFacts) -> None:
        self.number = store.begun
        self.facts = facts
        self.status: int | None = None
        self.state = _OPEN
        self.received = 0
        self.sent = 0
        self.request_ended = False
        self.revision = store.turn
        self._store: RequestStore | None = store
        self._stream: RequestStream | None = stream  # until it has ended
        self._head: RequestHead | None = stream.head
        self._raw_head = stream.raw_head
        self._started = time()
        self._began = monotonic()
        self._answered: float | None = None
        self._ended: float | None = None
        self._request_body: Chunks | None = None
        self._response_headers: Headers = ()
        self._response_body: bytes | Chunks | None = None  # most have one chunk: that itself
        self._conversation: list[Passed] | None = None  # of a WebSocket that was accepted
        self._talked: dict[bool, int] | None = None  # what keeping either side of it costs

    def __repr__(self) -> str:
        return f"<Record {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        """The number as decimal text."""
        return str(self.number)

    @property
    def head(self) -> RequestHead:
        """What the visitor asked for.

        Of an exchange that has ended only the bytes are kept, where there are any: the many small
        objects of a head cost more to keep than to make anew for who looks.
        """
        if self._head is not None:
            return self._head
        assert self._raw_head is not None
        begun = read_request(self._raw_head)
        assert begun is not None  # it was read before
        return begun[0]

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return self._started

    @property
    def first_byte(self) -> float | None:
        """Seconds until the head of the answer, or None before it."""
        return None if self._answered is None else self._answered - self._began

    @property
    def elapsed(self) -> float | None:
        """Seconds until the end, or None while it is open."""
        return None if self._ended is None else self._ended - self._began

    @property
    def response(self) -> ResponseHead | None:
        """The head of the answer, or None before it."""
        return None if self.status is None else ResponseHead(self.status, self._response_headers)

    @property
    def replay_of(self) -> str | None:
        """The id of the record that this one repeats, or None."""
        return self.facts.replay_of

    @property
    def is_request_whole(self) -> bool:
        """Whether all of the visitor's body is known, and kept."""
        if self.received > len(self.request_body):
            return False
        length = is_chunked = None
        for name, value in self.head.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                is_chunked = b"chunked" in value.lower()
        if length is not None:
            return length == b"%d" % self.received
        return self.request_ended or not is_chunked

    @property
    def request_body(self) -> bytes:
        """What is kept of the visitor's body: its beginning, copied."""
        return _joined(self._request_body)

    @property
    def response_body(self) -> bytes:
        """What is kept of the answer's body: its beginning, copied."""
        return _joined(self._response_body)

    @property
    def conversation(self) -> tuple[Passed, ...] | None:
        """What is kept of a WebSocket that was accepted: the beginning; None for the rest."""
        return None if self._conversation is None else tuple(self._conversation)

    def cost(self) -> int:
        """Bytes of memory that it takes; rather more than less."""
        cost = RECORD_COST + weigh(self._response_headers)
        if self._raw_head is not None:
            cost += len(self._raw_head)
        elif self._head is not None:
            cost += weigh_head(self._head)
        for body in (self._request_body, self._response_body):
            if isinstance(body, bytes):
                cost += len(body) + CHUNK_COST
            elif body is not None:
                cost += weigh_chunks(body)
        if self._conversation is not None:
            cost += sum([len(part.data) + PART_COST for part in self._conversation])
        return cost

    def let_go(self) -> None:
        """The store has no room for it any more: nothing is kept from now on."""
        self._store = None
        if self._ended is not None:
            return  # whoever still holds it may look at all of it
        self._request_body = self._response_body = None
        if self._conversation is not None:
            self._conversation = []


def _joined(body: bytes | Chunks | None) -> bytes:
    """All of a body; more may come while that is looked at."""
    if isinstance(body, bytes):
        return body
    return b"".join([bytes(chunk) for chunk in body or ()])


_OPEN = RecordState.OPEN

# Bytes besides the content, CPython 3.11, 64 bits.
RECORD_COST = 1024  # a record, its numbers and times, and the head of the answer
PART_COST = 224  # a `Passed`, its time, an object's own, its place in a list
