"""One visitor's request on a QUIC stream."""

from __future__ import annotations

from asgi_quicktunnel.errors import LocalProtocolError
from asgi_quicktunnel.model import RequestHead, ResponseHead
from asgi_quicktunnel.protocol.datastream import encode_response
from asgi_quicktunnel.transport.quic_stream import QuicStream

__all__ = ["QuicRequestStream"]


class QuicRequestStream:
    """One visitor's request on a QUIC stream, a `RequestStream`.

    Attributes:
        head: what the visitor asked for.
        raw_head: the bytes that it came in, or None.
    """

    __slots__ = ("_ended", "_responded", "_stream", "head", "raw_head")

    def __init__(self, stream: QuicStream, head: RequestHead, raw_head: bytes | None) -> None:
        self.head = head
        self.raw_head = raw_head
        self._stream = stream
        self._responded = False
        self._ended = False

    async def receive(self) -> bytes:
        """The next bytes of the body; see `RequestStream.receive`."""
        return await self._stream.receive(while_heard=True)

    async def respond(self, head: ResponseHead) -> None:
        """Send the head of the answer; see `RequestStream.respond`."""
        if self._responded:
            raise LocalProtocolError("the head of the answer was sent before")
        encoded = encode_response(head)
        self._responded = True
        self._stream.send_nowait(encoded)  # a head is small: what follows it may wait

    async def send(self, data: bytes) -> None:
        """Queue bytes of the answer; see `RequestStream.send`."""
        if not self._responded:
            raise LocalProtocolError("the body of the answer was sent before its head")
        if self._stream.send_nowait(data):
            await self._stream.wait_writable()

    async def send_eof(self) -> None:
        """End the answer; the rest of the request is refused (protocol.md §6.5)."""
        if self._ended:
            return
        if not self._responded:
            raise LocalProtocolError("the answer was ended before its head was sent")
        self._ended = True
        self._stream.finish_nowait()

    def reset(self, code: int = 0) -> None:
        """Give up both halves at once."""
        self._ended = True
        self._stream.reset(code)

    async def disconnected(self) -> None:
        """Return once nobody waits for the rest; see `RequestStream.disconnected`."""
        await self._stream.disconnected()
