"""What a stream that the edge opened begins with, and so what it is for (protocol.md §6.1)."""

from __future__ import annotations

from collections.abc import Callable

from asgi_quicktunnel.errors import ProtocolError, TransportError
from asgi_quicktunnel.model import RequestHead
from asgi_quicktunnel.protocol.datastream import DATA_SIGNATURE, OpeningReader, StreamKind
from asgi_quicktunnel.transport.quic_stream import QuicStream

__all__ = ["OPENING_READ", "StreamOpening"]


class StreamOpening:
    """Reads the beginning of one stream, if it came cut, and says what it is for."""

    __slots__ = ("_accept", "_began", "_held", "_hold", "_pieces", "_read", "_reader", "_refuse")

    def __init__(
        self,
        read: Callable[[bytes], tuple[RequestHead, bytes] | None],
        accept: Callable[[QuicStream, RequestHead | None, bytes | None], None],
        refuse: Callable[[QuicStream, TransportError | ProtocolError], None],
        hold: Callable[[int], bool],
    ) -> None:
        self._read = read
        self._accept = accept
        self._refuse = refuse
        self._hold = hold
        self._held = 0
        self._began = b""  # what came so far, of a head in few pieces
        self._pieces = 0
        self._reader: OpeningReader | None = None

    def begin(self, stream: QuicStream, data: bytes) -> None:
        """Take the first bytes, and what else is there."""
        try:
            while data:
                if self._take(stream, data):
                    return
                data = stream.receive_nowait(OPENING_READ)
        except (TransportError, ProtocolError) as exc:
            self._give_up(stream, exc)
        else:
            if stream.receive_ended:
                self._give_up(stream, ProtocolError("the stream ended within its head"))

    def handle_readable(self, stream: QuicStream) -> None:
        """Go on; for `QuicStream.on_readable`."""
        try:
            data = stream.receive_nowait(OPENING_READ)
        except TransportError as exc:
            self._give_up(stream, exc)
        else:
            self.begin(stream, data)

    def _take(self, stream: QuicStream, data: bytes) -> bool:
        opened, rest = self._read_on(data)
        if opened is None:
            self._held += len(data)
            if not self._hold(len(data)):
                raise ProtocolError("too many incomplete heads at once")
            return False
        self._finish(stream)
        if rest:
            stream.push_back(rest)
        self._accept(stream, opened if isinstance(opened, RequestHead) else None, None)
        return True

    def _read_on(self, data: bytes) -> tuple[RequestHead | StreamKind | None, bytes]:
        """What the stream is for, if these bytes complete its beginning, and what follows that."""
        if self._reader is None:
            # Two datagrams hold most heads: joined they are read in one go, as whole ones are.
            began = self._began = self._began + data
            if (begun := self._read(began)) is not None:
                return begun
            self._pieces += 1
            if began.startswith(DATA_SIGNATURE) and self._pieces < _FEW_PIECES:
                return None, b""
            data, self._began, self._reader = began, b"", OpeningReader()
        opened = self._reader.receive_data(data)
        return opened, self._reader.rest

    def _give_up(self, stream: QuicStream, error: TransportError | ProtocolError) -> None:
        self._finish(stream)
        self._refuse(stream, error)

    def _finish(self, stream: QuicStream) -> None:
        stream.on_readable = None
        self._hold(-self._held)
        self._held = 0


OPENING_READ = 16 << 10  # bytes read at a time before the head is complete
_FEW_PIECES = 4  # more of a head are collected, not joined anew each time
