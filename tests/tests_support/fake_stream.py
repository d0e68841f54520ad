"""A request stream in memory: the visitor's side is a handful of plain calls."""

from __future__ import annotations

import asyncio

from asgi_quicktunnel.errors import ConnectionLost, LocalProtocolError, StreamReset, TransportError
from asgi_quicktunnel.model import RequestHead, ResponseHead

CHUNK = 65536  # bytes one `receive` gives at most, as over QUIC


class CreditExceeded(AssertionError):
    """The test's visitor sent more than the connector allowed."""


class FakeStream:
    """`transport.base.RequestStream` for tests, with the credit and the limits of the real one.

    The visitor's side: `feed`, `feed_eof`, `feed_reset`, `stop`, `lose`, `take`. `window` is how
    many unread bytes the visitor may have sent; `high_water` how many untaken bytes of the answer
    may wait before `send` does. Without `manual`, the visitor takes the answer as it comes.
    """

    def __init__(
        self, head: RequestHead, *, window: int = 1 << 20, high_water: int = 1 << 18, manual=False
    ) -> None:
        self._head = head
        self.window = window
        self.high_water = high_water
        self.manual = manual
        self.consumed = 0  # bytes `receive` gave out; the visitor got that much credit anew
        self.response: ResponseHead | None = None
        self.sent = bytearray()
        self.ended = False  # `send_eof` came
        self.reset_code: int | None = None
        self.stopped_after_end = False
        self._unread = bytearray()
        self._fin = False
        self._taken = 0
        self._error: TransportError | None = None
        self._reading = False
        self._changed = asyncio.Event()

    @property
    def head(self) -> RequestHead:
        return self._head

    @property
    def raw_head(self) -> None:
        return None

    @property
    def complete(self) -> bool:
        """Whether the visitor got a whole answer."""
        return self.ended and self.reset_code is None

    async def receive(self) -> bytes:
        assert not self._reading, "a stream has one reader at a time"
        self._reading = True
        try:
            return await self._receive()
        finally:
            self._reading = False

    async def _receive(self) -> bytes:
        while not (self._unread or self._fin):
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            await self._change()
        if self._error is not None:
            raise self._error
        data = bytes(self._unread[:CHUNK])
        del self._unread[:CHUNK]
        self.consumed += len(data)
        self._notify()
        return data

    async def respond(self, head: ResponseHead) -> None:
        if self._error is not None:
            raise self._error
        if self.response is not None:
            raise LocalProtocolError("a second head")
        self.response = head
        self._notify()

    async def send(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        if self.response is None or self.response.error is not None or self.ended:
            raise LocalProtocolError("data before the head, after an error or after the end")
        assert type(data) is bytes
        self.sent += data
        if not self.manual:
            self._taken = len(self.sent)
        self._notify()
        while len(self.sent) - self._taken > self.high_water:
            await self._change()
            if self._error is not None:
                raise self._error

    async def send_eof(self) -> None:
        if self.response is None and self._error is None:
            raise LocalProtocolError("an end before the head")
        await asyncio.sleep(0)  # a transport may let others run
        if self._error is None:
            self.ended = True
            self._notify()

    def reset(self, code: int = 0) -> None:
        if self.reset_code is None:
            self.reset_code = code
        self._error = self._error or StreamReset("this side reset the stream", code=code)
        self._notify()

    async def disconnected(self) -> None:
        while self._error is None:
            await self._change()

    def feed(self, data: bytes) -> None:
        """The visitor sends bytes.

        Raises:
            CreditExceeded: more than `window` would be unread.
        """
        if len(self._unread) + len(data) > self.window:
            raise CreditExceeded(f"{len(self._unread) + len(data)} bytes are not read")
        self._unread += data
        self._notify()

    async def feed_all(self, data: bytes) -> None:
        """The visitor sends bytes as it gets credit for them."""
        while data:
            room = self.window - len(self._unread)
            if room:
                self.feed(data[:room])
                data = data[room:]
            else:
                await self._change()

    def feed_eof(self) -> None:
        """The visitor ends the body (FIN)."""
        self._fin = True
        self._notify()

    def feed_reset(self, code: int = 0) -> None:
        """The visitor gives the request up (RESET_STREAM)."""
        self._fail(StreamReset("the visitor left", code=code))

    def stop(self, code: int = 0) -> None:
        """The visitor wants no more of the answer (STOP_SENDING); routine after the end of it."""
        if self.ended:
            self.stopped_after_end = True
        else:
            self._fail(StreamReset("the visitor reads no more", code=code))

    def lose(self) -> None:
        """The connection beneath ends."""
        self._fail(ConnectionLost("the connection was lost"))

    def take(self, size: int | None = None) -> bytes:
        """What the visitor reads of the answer; with `manual` only this frees the queue."""
        end = len(self.sent) if size is None else min(self._taken + size, len(self.sent))
        data = bytes(self.sent[self._taken : end])
        self._taken = end
        self._notify()
        return data

    async def until(self, condition) -> None:
        """Wait until `condition()` holds, looking whenever the stream changes."""
        while not condition():
            await self._change()

    def _fail(self, error: TransportError) -> None:
        self._error = self._error or error
        self._notify()

    async def _change(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
