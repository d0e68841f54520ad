"""The server side of one HTTP/1.1 connection: h11 over a byte stream (RFC 9112)."""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

import anyio
import h11
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from asgi_quicktunnel.model import Headers

__all__ = ["BadRequest", "HttpConnection", "VisitorGone"]


class VisitorGone(Exception):  # noqa: N818 - it is how a visit may end, not an error
    """The other side hung up, or can't be written to."""


class BadRequest(Exception):  # noqa: N818 - named after the answer
    """What came is not HTTP.

    Attributes:
        status: what to answer, if anything was answered yet.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class HttpConnection:
    """Requests in order, pipelined ones included, each to be answered before the next is read.

    One task may read (`next_request`, `receive`, `wait_gone`) while another one answers.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._sending = anyio.Lock(fast_acquire=True)
        self._gone = False

    @property
    def ends_by_closing(self) -> bool:
        """Whether the visitor may take a closed connection for the end of an answer (HTTP/1.0)."""
        return (self._h11.their_http_version or b"") < b"1.1"

    async def next_request(self) -> h11.Request | None:
        """The head of the next request, or None when the visitor hung up.

        Raises:
            BadRequest: `status` says how to answer.
        """
        event = await self._next_event()
        if isinstance(event, h11.Request):
            if not event.http_version.startswith(b"1."):
                raise BadRequest("a version of HTTP with other rules", status=505)
            return event
        assert isinstance(event, h11.ConnectionClosed)
        return None

    async def receive(self) -> bytes:
        """The next bytes of the request's body; b"" at its end.

        Asks for the body first where the visitor waits for that (Expect: 100-continue).

        Raises:
            BadRequest: the body's framing is broken.
            VisitorGone: it ended early.
        """
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        await self._ask_for_body()
        event = await self._next_event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.ConnectionClosed):
            raise VisitorGone
        assert isinstance(event, h11.EndOfMessage)
        return b""

    async def wait_gone(self) -> None:
        """Return once the visitor hung up; call it when the request was read to its end.

        What comes meanwhile, the next pipelined request, is kept. Too much of that, and the
        visitor's leaving goes unnoticed until the answer is written.
        """
        while len(self._h11.trailing_data[0]) < MAX_PIPELINED_BYTES:
            if not await self._read():
                return
        await anyio.sleep_forever()

    async def respond(self, status: int, headers: Headers) -> None:
        """Send the head of the answer.

        A body of unknown length is sent in chunks, or ended by closing to an HTTP/1.0 visitor.

        Raises:
            VisitorGone: as every method that sends.
        """
        reason = _REASONS.get(status, b"")
        await self._send(h11.Response(status_code=status, headers=list(headers), reason=reason))

    async def send(self, data: bytes) -> None:
        """Send bytes of the answer's body; waits until the system took them."""
        await self._send(h11.Data(data=data))

    async def send_eof(self) -> None:
        """End the answer; it is as long as it declared."""
        await self._send(h11.EndOfMessage())

    async def switch(self, headers: Headers) -> bytes:
        """Answer 101; from then on the stream is the caller's.

        Returns:
            What the visitor sent already in the new protocol.
        """
        await (
            self.receive()
        )  # h11 switches when the request, which has no body, was read to its end
        event = h11.InformationalResponse(
            status_code=101, headers=list(headers), reason=_REASONS[101]
        )
        await self._send(event)
        trailing, _ = self._h11.trailing_data
        return trailing

    async def finish(self) -> bool:
        """After an answer: read what is left of the request.

        Returns:
            Whether another request may follow; if not, the caller closes the stream.
        """
        try:
            with anyio.move_on_after(LINGER):
                while await self.receive():
                    pass
        except (BadRequest, VisitorGone):
            return False
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            return True
        return False

    async def linger(self) -> None:
        """Before closing: let the visitor read the answer.

        Closing with bytes unread makes the system send a reset, which may overtake the answer
        (RFC 9112 §9.6).
        """
        with anyio.move_on_after(LINGER):
            if not await _end_output(self._stream):
                return
            while not self._gone:
                self._gone = not await receive_or_end(self._stream)

    async def _next_event(self) -> h11.Event:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as exc:
                if self._gone:
                    raise VisitorGone from exc
                raise BadRequest(str(exc), status=exc.error_status_hint) from exc
            if event is h11.NEED_DATA:
                await self._read()
                continue
            assert event is not h11.PAUSED
            return cast("h11.Event", event)

    async def _read(self) -> bool:
        """Read once; False at the visitor's end."""
        if self._gone:
            return False
        data = await receive_or_end(self._stream)
        self._gone = not data
        self._h11.receive_data(data)
        return bool(data)

    async def _ask_for_body(self) -> None:
        """Send 100 Continue if the visitor waits for it, and the answer did not begin yet."""
        async with self._sending:
            if self._h11.they_are_waiting_for_100_continue:
                event = h11.InformationalResponse(status_code=100, headers=[], reason=_REASONS[100])
                await send_or_gone(self._stream, self._h11.send(event))

    async def _send(self, event: h11.Event) -> None:
        async with self._sending:  # the reading task may be asking for the body
            data = b"".join(self._h11.send_with_data_passthrough(event) or ())
            if data:
                await send_or_gone(self._stream, data)


async def receive_or_end(stream: ByteStream) -> bytes:
    """The next bytes, b"" at the end, an unclean one included."""
    try:
        return await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        return b""


async def send_or_gone(stream: ByteStream, data: bytes) -> None:
    """Send bytes.

    Raises:
        VisitorGone: nobody takes them.
    """
    try:
        await stream.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as exc:
        raise VisitorGone from exc


async def _end_output(stream: ByteStream) -> bool:
    """Say that nothing more comes; whether the other side can still be read."""
    try:
        if not isinstance(stream, TLSStream):
            await stream.send_eof()
            return True
        await stream.unwrap()  # says it, and waits until the visitor says it too
    except (
        anyio.BrokenResourceError,
        anyio.ClosedResourceError,
        anyio.EndOfStream,  # TLS that ends without a close_notify
        OSError,
        RuntimeError,  # uvloop's word for a closed transport
    ):
        pass
    return False


_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
MAX_HEAD_BYTES = 128 << 10  # protocol.md §12
MAX_PIPELINED_BYTES = 64 << 10
LINGER = 2.0  # s
