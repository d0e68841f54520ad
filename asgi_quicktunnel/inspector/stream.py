"""A request stream that is watched."""

from __future__ import annotations

from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from asgi_quicktunnel.errors import LocalProtocolError
from asgi_quicktunnel.inspector.kept import CHUNK_COST, keep, weigh
from asgi_quicktunnel.inspector.record import PART_COST, Passed, Record, RecordState
from asgi_quicktunnel.model import RequestKind, ResponseHead

if TYPE_CHECKING:
    from asgi_quicktunnel.inspector.store import RequestStore

__all__ = ["RecordedStream"]


class RecordedStream(Record):
    """Hands everything on to a stream, and is the record of it; a `RequestStream`.

    One object for both, and no call that can be spared: small requests pay for each. What goes out
    is recorded when it is handed over; those methods return the coroutine of the stream beneath.
    When it has ended the stream is let go, so that the record does not keep a connection.
    """

    __slots__ = ()

    @property
    def raw_head(self) -> bytes | None:
        """The bytes that the head came in; see `RequestStream.raw_head`."""
        return self._raw_head

    async def receive(self) -> bytes:
        """The next bytes of the body; see `RequestStream.receive`."""
        if self._stream is None:
            return b""
        data = await self._stream.receive()
        if not data:
            self.request_ended = True
            return data
        store = self._store
        if store is not None:
            self.revision = store.turn
            if store.is_calm:
                store.stir()
            store.allowance -= self._keep_received(store, data)
            if store.allowance < 0:
                store.make_room()
        self.received += len(data)
        return data

    def respond(self, head: ResponseHead) -> Coroutine[Any, Any, None]:
        """Send the head of the answer; see `RequestStream.respond`."""
        stream = self._stream
        if stream is None:
            raise LocalProtocolError("the stream has ended")
        if self.status is None:
            status, headers, _ = head
            self.status = status
            self._answered = monotonic()
            if status == _SWITCHED and self.head.kind is RequestKind.WEBSOCKET:
                self._conversation = []
                self._talked = {True: 0, False: 0}
            store = self._store
            if store is not None:
                self.revision = store.turn
                if store.is_calm:
                    store.stir()
                if headers:
                    self._response_headers = headers
                    store.allowance -= weigh(headers)
                    if store.allowance < 0:
                        store.make_room()
        return stream.respond(head)

    def send(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Queue bytes of the answer; see `RequestStream.send`."""
        stream = self._stream
        if stream is None:
            raise LocalProtocolError("the stream has ended")
        size = len(data)
        store = self._store
        if store is not None:
            self.revision = store.turn
            if store.is_calm:
                store.stir()
            if (
                self._response_body is None
                and type(data) is bytes
                and size <= store.max_body
                and self._conversation is None
            ):
                self._response_body = data
                store.allowance -= size + CHUNK_COST
            else:
                store.allowance -= self._keep_sent(store, data)
            if store.allowance < 0:
                store.make_room()
        self.sent += size
        return stream.send(data)

    async def send_eof(self) -> None:
        """End the answer; see `RequestStream.send_eof`."""
        stream = self._stream
        if stream is not None:
            await stream.send_eof()
            self._end(_DONE)

    def reset(self, code: int = 0) -> None:
        """Give up both halves at once."""
        stream = self._stream
        if stream is not None:
            self._end(_RESET)
            stream.reset(code)

    async def disconnected(self) -> None:
        """Return once nobody waits for the rest; see `RequestStream.disconnected`."""
        if self._stream is not None:
            await self._stream.disconnected()

    def _end(self, state: RecordState) -> None:
        if self._stream is None:  # both halves ended at once, each in a task of its own
            return
        self._stream = None
        self.state = state
        self._ended = monotonic()
        if self._raw_head is not None:
            self._head = None
        store = self._store
        if store is not None:
            self.revision = store.turn
            if store.is_calm:
                store.stir()

    def _keep_received(self, store: RequestStore, data: bytes) -> int:
        """Keep a part of the request; how many bytes of memory that takes."""
        if self._conversation is not None:
            return self._talk(store, data, from_visitor=True)
        if self.received >= store.max_body:
            return 0
        if self._request_body is None:
            self._request_body = []
        return keep(self._request_body, data, store.max_body - self.received)

    def _keep_sent(self, store: RequestStore, data: bytes) -> int:
        """Keep a part of the answer, not the first; how many bytes of memory that takes."""
        if self._conversation is not None:
            return self._talk(store, data, from_visitor=False)
        if self.sent >= store.max_body:
            return 0
        if self._response_body is None:
            self._response_body = []
        elif isinstance(self._response_body, bytes):
            self._response_body = [self._response_body]
        return keep(self._response_body, data, store.max_body - self.sent)

    def _talk(self, store: RequestStore, data: bytes, *, from_visitor: bool) -> int:
        """Keep a part of a conversation; how many bytes of memory that takes."""
        # Each has a time of its own, so they are not gathered, and what that costs is kept small.
        assert self._conversation is not None
        assert self._talked is not None
        room = store.max_body - self._talked[from_visitor] - PART_COST
        if room <= 0:
            return 0
        part = data if type(data) is bytes and len(data) <= room else bytes(data[:room])
        self._conversation.append(Passed(from_visitor, monotonic() - self._began, part))
        cost = len(part) + PART_COST
        self._talked[from_visitor] += cost
        if len(part) < len(data):  # what follows can't be read without the rest of this
            self._talked[from_visitor] = store.max_body
        return cost


_DONE = RecordState.DONE
_RESET = RecordState.RESET
_SWITCHED = 101
