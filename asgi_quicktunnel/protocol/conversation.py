"""What was said over a WebSocket, read off the bytes of both sides (RFC 6455 §5)."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.frames import CTRL_OPCODES, Close, Frame, Opcode

from asgi_quicktunnel.protocol.deflate import inflating_extension

__all__ = ["Conversation", "Utterance"]


class Utterance(NamedTuple):
    """A message, whole and decompressed, or a control frame.

    Attributes:
        from_visitor: whether the visitor sent it, rather than the app.
        kind: "text", "binary", "ping", "pong", "close"; or "error" where nothing more of this side
            can be read, and `data` is a sentence that says why.
        at: when it was complete, on the clock of whoever fed the bytes.
        data: the content; the reason of a Close.
        code: of a Close, 1005 where it had none; None for the rest.
    """

    from_visitor: bool
    kind: str
    at: float
    data: bytes
    code: int | None = None


class Conversation:
    """Reads both sides as they passed; hostile bytes end that side with an "error", no more.

    Args:
        is_compressed: whether permessage-deflate was agreed upon (RFC 7692).
        limit: bytes of content that are read of either side, so that compressed ones stay small.
        most: how many frames are read of either side.
    """

    def __init__(self, *, is_compressed: bool, limit: int = 1 << 20, most: int = 2000) -> None:
        self._sides = {
            from_visitor: _Side(from_visitor, is_compressed, limit, most)
            for from_visitor in (True, False)
        }

    def receive_data(self, data: bytes, *, from_visitor: bool, at: float) -> list[Utterance]:
        """Take the next bytes of one side; what they complete."""
        return self._sides[from_visitor].receive_data(data, at)


class _Side:
    """What one side said; only a visitor's frames are masked (RFC 6455 §5.1)."""

    def __init__(self, from_visitor: bool, is_compressed: bool, limit: int, most: int) -> None:
        self._from_visitor = from_visitor
        self._extensions: list[Extension] = [inflating_extension()] if is_compressed else []
        self._left = limit
        self._most = most
        self._buffer = bytearray()
        self._frames = self._read_frames()
        self._is_over = False
        self._kind = ""  # of the message under way
        self._parts: list[bytes] = []

    def receive_data(self, data: bytes, at: float) -> list[Utterance]:
        said: list[Utterance] = []
        if self._is_over:
            return said
        self._buffer += data
        try:
            while (frame := next(self._frames)) is not None:
                if self._most == 0:
                    said.append(self._fail(b"there is more, which is not shown", at))
                    break
                self._most -= 1
                utterance = self._take(frame, at)
                if utterance is not None:
                    said.append(utterance)
        except PayloadTooBig:
            said.append(self._fail(b"a message is too long to be shown, with what follows it", at))
        except (ProtocolError, UnicodeDecodeError) as exc:
            said.append(self._fail(str(exc).encode(), at))
        return said

    def _fail(self, why: bytes, at: float) -> Utterance:
        self._is_over = True
        self._buffer.clear()
        self._parts.clear()
        return Utterance(self._from_visitor, "error", at, why)

    def _take(self, frame: Frame, at: float) -> Utterance | None:
        data = bytes(frame.data)
        if frame.opcode is Opcode.CLOSE:
            close = Close.parse(data)
            return Utterance(
                self._from_visitor, "close", at, close.reason.encode(), int(close.code)
            )
        if frame.opcode in CTRL_OPCODES:
            kind = "ping" if frame.opcode is Opcode.PING else "pong"
            return Utterance(self._from_visitor, kind, at, data)
        if (frame.opcode is Opcode.CONT) != bool(self._kind):
            raise ProtocolError("the fragments of a message are out of order")
        if frame.opcode is not Opcode.CONT:
            self._kind = "text" if frame.opcode is Opcode.TEXT else "binary"
        self._parts.append(data)
        self._left -= len(data)
        if not frame.fin:
            return None
        whole = Utterance(self._from_visitor, self._kind, at, b"".join(self._parts))
        self._kind = ""
        self._parts.clear()
        return whole

    def _read_frames(self) -> Generator[Frame | None, None, None]:
        """Each frame, and None where it takes more bytes for the next."""
        while True:
            yield (
                yield from Frame.parse(
                    self._read_exact,
                    mask=self._from_visitor,
                    max_size=max(self._left, _LONGEST_CONTROL),
                    extensions=self._extensions,
                )
            )

    def _read_exact(self, size: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < size:
            yield
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


_LONGEST_CONTROL = 125  # bytes; RFC 6455 §5.5
