"""One request on a QUIC stream, from the edge's end (protocol.md §6)."""

from __future__ import annotations

from collections.abc import Callable

from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import ResponseHead
from asgi_quicktunnel.protocol.datastream import AnswerReader
from asgi_quicktunnel.transport.quic_stream import QuicStream

__all__ = ["QuicAnswer"]

StreamReport = Callable[[Rule, str, int | None], None]


class QuicAnswer:
    """An `AnswerStream`.

    Args:
        stream: the request's head was written to it.
        ended: whether the end was, too.
        report: takes rule, detail and stream id.
        on_over: called once, when the edge is done with the stream.

    Attributes:
        is_answered: whether a head came; a request that nobody answered is a violation.
    """

    def __init__(
        self,
        stream: QuicStream,
        *,
        ended: bool,
        report: StreamReport,
        on_over: Callable[[QuicAnswer], None],
    ) -> None:
        self._stream = stream
        self._ended = ended
        self._report = report
        self._on_over = on_over
        self.is_answered = False

    async def receive_head(self) -> ResponseHead:
        """See `AnswerStream`."""
        reader = AnswerReader()
        head = None
        while head is None:
            data = await self._stream.receive()
            try:
                head = _read(reader, data)
            except RemoteProtocolError as exc:
                self.report(Rule.ANSWER_HEAD, str(exc))
                raise
        self.is_answered = True
        if head.error is not None and reader.rest:
            self.report(Rule.BODY_FORBIDDEN, "bytes behind an error reply")
        self._stream.push_back(reader.rest)
        return head

    async def receive(self) -> bytes:
        """See `AnswerStream`."""
        return await self._stream.receive()

    async def send(self, data: bytes) -> None:
        """See `AnswerStream`."""
        await self._stream.send(data)

    async def send_eof(self) -> None:
        """See `AnswerStream`."""
        if not self._ended:
            self._ended = True
            await self._stream.send_eof()

    def abandon(self) -> None:
        """RESET_STREAM where the request is not complete, STOP_SENDING where the answer is not."""
        if self._ended:
            self._stream.stop(0)
        else:
            self._stream.reset(0)
        self._on_over(self)

    def report(self, rule: Rule, detail: str) -> None:
        """See `AnswerStream`."""
        self._report(rule, detail, self._stream.stream_id)


def _read(reader: AnswerReader, data: bytes) -> ResponseHead | None:
    if not data:
        raise RemoteProtocolError("the stream ended within its head")
    return reader.receive_data(data)
