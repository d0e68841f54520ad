"""The server's end of one WebSocket, without I/O (RFC 6455)."""

from __future__ import annotations

import codecs
import logging
from io import BytesIO
from typing import NamedTuple

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.exceptions import InvalidState
from websockets.exceptions import ProtocolError as WebSocketProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import Headers
from asgi_quicktunnel.protocol.deflate import DeflateFactory

__all__ = ["Closure", "WebSocket"]


class Closure(NamedTuple):
    """Why a WebSocket ended: a close code (RFC 6455 §7.4) and at most 123 bytes of text."""

    code: int
    reason: str


class WebSocket:
    """One WebSocket from the visitor's handshake to the end of the stream.

    Bytes go in through `receive_data`, messages come out of it; what is to be sent is in
    `data_to_send` after each call. Pings are answered and Closes echoed here.
    """

    __slots__ = ("_accepted", "_limit", "_message", "_protocol")

    def __init__(self, headers: Headers, *, max_message_size: int) -> None:
        """Check the visitor's handshake.

        Connection, Upgrade and Sec-WebSocket-Version do not matter: the edge takes them off
        (protocol.md §6.6), so that the request came as a WebSocket is what is known of them.

        Args:
            headers: of the request, names in lower case.
            max_message_size: bytes that a message may have, once decompressed; exactly that many
                are allowed.

        Raises:
            RemoteProtocolError: the handshake is malformed; the visitor is to see a 400.
        """
        handshake = WebSocketHeaders(_TAKEN_OFF)
        for name, value in headers:
            if name in _READ:
                handshake[_READ[name]] = value.decode("latin-1")
        self._limit = max_message_size
        self._message: _Message | None = None
        self._protocol = ServerProtocol(
            extensions=_EXTENSIONS,
            state=State.OPEN,  # what it would read before that is the request itself
            # The library applies its limit to compressed bytes too, and to a ping in the middle of
            # a message; the exact one is ours.
            max_size=max_message_size + max_message_size // 64 + 1024,
            logger=_Discreet(logging.getLogger(__name__)),
        )
        answer = self._protocol.accept(Request("/", handshake))
        if answer.status_code != 101:
            raise RemoteProtocolError(f"the WebSocket handshake: {self._protocol.handshake_exc}")
        self._accepted = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in answer.headers.raw_items()
            if name != "Date"
        ]

    @property
    def accept_headers(self) -> list[tuple[bytes, bytes]]:
        """What the 101 has to say: Upgrade, Connection, the accept key, the extension in use."""
        return list(self._accepted)

    @property
    def closure(self) -> Closure | None:
        """The Close that came first, the visitor's or ours; None before and after a loss."""
        protocol = self._protocol
        close = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return None if close is None else Closure(int(close.code), close.reason)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be read; the stream is to end after `data_to_send`."""
        return self._protocol.eof_sent

    @property
    def is_unanswered(self) -> bool:
        """Whether a Close of ours is the only one so far."""
        return self._protocol.close_sent is not None and self._protocol.close_rcvd is None

    def receive_data(self, data: bytes) -> list[str | bytes]:
        """Take bytes from the visitor.

        Returns:
            The messages that are complete now. None comes after a `close` of ours, and a visitor
            who breaks the rules gets a Close 1002, 1007 or 1009.
        """
        closing = self._protocol.close_sent is not None
        self._protocol.receive_data(data)
        messages: list[str | bytes] = []
        for frame in self._protocol.events_received():
            if closing or not isinstance(frame, Frame) or frame.opcode not in _DATA_OPCODES:
                continue
            try:
                message = self._add(frame)
            except UnicodeDecodeError as exc:
                self.fail(CloseCode.INVALID_DATA, f"not UTF-8: {exc.reason}")
                break
            except _MessageTooLarge:
                self.fail(CloseCode.MESSAGE_TOO_BIG, f"messages have at most {self._limit} bytes")
                break
            if message is not None:
                messages.append(message)
        return messages

    def receive_eof(self) -> None:
        """The visitor's half of the stream has ended."""
        self._protocol.receive_eof()

    def send(self, message: str | bytes) -> None:
        """Send a message, text or binary.

        Raises:
            LocalProtocolError: a Close was sent or received before.
        """
        try:
            if isinstance(message, str):
                self._protocol.send_text(message.encode())
            else:
                self._protocol.send_binary(message)
        except InvalidState as exc:
            raise LocalProtocolError("a message was sent after a Close") from exc

    def ping(self) -> None:
        """Send a ping, unless the WebSocket is being closed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")

    def close(self, code: int, reason: str) -> None:
        """Send a Close and go on until the visitor's comes; once one was sent, do nothing.

        Raises:
            LocalProtocolError: the code is none that may be sent, or the reason is too long.
        """
        if self._protocol.state is not State.OPEN:
            return
        try:
            self._protocol.send_close(code, reason)
        except WebSocketProtocolError as exc:
            raise LocalProtocolError(f"code {code!r} with reason {reason!r}: {exc}") from exc

    def fail(self, code: int, reason: str) -> None:
        """Send a Close, unless one was sent, and end without waiting for the visitor's."""
        self._protocol.fail(code, reason)

    def data_to_send(self) -> bytes:
        """What is to be sent now."""
        return b"".join(self._protocol.data_to_send())

    def _add(self, frame: Frame) -> str | bytes | None:
        """The message that this frame completes, or None."""
        if frame.opcode is not Opcode.CONT:
            if frame.fin:
                if len(frame.data) > self._limit:
                    raise _MessageTooLarge
                data = bytes(frame.data)
                return data.decode() if frame.opcode is Opcode.TEXT else data
            self._message = _Message(is_text=frame.opcode is Opcode.TEXT)
        assert self._message is not None  # the library has checked the order of frames
        self._message.add(bytes(frame.data), self._limit, last=frame.fin)
        if not frame.fin:
            return None
        message, self._message = self._message.get(), None
        return message


class _Message:
    """A message that comes in fragments: one buffer, however many and small they are."""

    __slots__ = ("_buffer", "_check")

    def __init__(self, *, is_text: bool) -> None:
        self._buffer = BytesIO()
        self._check = _Utf8() if is_text else None

    def add(self, data: bytes, limit: int, *, last: bool) -> None:
        """Raises _MessageTooLarge, or UnicodeDecodeError as soon as it can't be text any more."""
        if self._buffer.tell() + len(data) > limit:
            raise _MessageTooLarge
        if self._check is not None:
            self._check.decode(data, last)
        self._buffer.write(data)

    def get(self) -> str | bytes:
        data = self._buffer.getvalue()
        return data if self._check is None else data.decode()


class _MessageTooLarge(Exception):  # noqa: N818  # never leaves this module
    """A message grew beyond the limit."""


class _Discreet(logging.LoggerAdapter[logging.Logger]):
    """Lets the library say what went wrong with itself, but neither what it carries nor when."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the standard library's name
        return level >= logging.WARNING and super().isEnabledFor(level)


_Utf8 = codecs.getincrementaldecoder("utf-8")
_DATA_OPCODES = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_EXTENSIONS = (DeflateFactory(),)

# Only these of the visitor's headers matter; what the edge takes off is put back (§6.6).
_READ = {
    b"sec-websocket-key": "Sec-WebSocket-Key",
    b"sec-websocket-extensions": "Sec-WebSocket-Extensions",
}
_TAKEN_OFF = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
)
