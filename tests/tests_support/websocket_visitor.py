"""A visitor's end of a WebSocket, without I/O, and frames as no decent visitor makes them."""

from __future__ import annotations

import struct

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

TEXT, BINARY, CONT, CLOSE, PING, PONG = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CONT,
    Opcode.CLOSE,
    Opcode.PING,
    Opcode.PONG,
)
TAKEN_OFF = {b"connection", b"upgrade", b"sec-websocket-version", b"host"}  # by the edge
MASK = b"\x11\x22\x33\x44"


class VisitorSocket:
    """`handshake` goes to the connector; then `accept(headers)`, and bytes both ways.

    `protocol` is a `websockets` ClientProtocol; what came in is in `messages`, joined.
    """

    def __init__(self, *, deflate=None, subprotocols=None, uri="ws://four-words.example/"):
        extensions = [deflate] if deflate else None
        if deflate is True:
            extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
        self.protocol = ClientProtocol(
            parse_uri(uri),
            extensions=extensions,
            subprotocols=subprotocols,
            state=State.OPEN,
            max_size=None,
        )
        self.fields = list(self.protocol.connect().headers.raw_items())  # as they leave a browser
        self.handshake = [
            (name.lower().encode(), value.encode())
            for name, value in self.fields
            if name.lower().encode() not in TAKEN_OFF
        ]
        self.messages = []
        self.pongs = []
        self.pings = []
        self._parts = None

    def accept(self, headers) -> None:
        """Check the 101 as a browser does; raises InvalidHandshake."""
        fields = Headers([(name.decode(), value.decode("latin-1")) for name, value in headers])
        self.protocol.process_response(Response(101, "Switching Protocols", fields))

    def receive(self, data: bytes) -> None:
        """Take bytes from the connector, b"" for the end."""
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for frame in self.protocol.events_received():
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode is PING:
            self.pings.append(bytes(frame.data))
        elif frame.opcode is not CLOSE:
            if frame.opcode is not CONT:
                self._parts = (frame.opcode, [])
            opcode, parts = self._parts
            parts.append(bytes(frame.data))
            if frame.fin:
                data = b"".join(parts)
                self.messages.append(data.decode() if opcode is TEXT else data)

    def data_to_send(self) -> bytes:
        """What the connector is to get; the end of the stream is left out."""
        return b"".join(self.protocol.data_to_send())

    def say(self, *messages) -> bytes:
        """These messages, ready to be sent."""
        for message in messages:
            if isinstance(message, str):
                self.protocol.send_text(message.encode())
            else:
                self.protocol.send_binary(message)
        return self.data_to_send()

    def say_in_fragments(self, message, size=3) -> bytes:
        """One message in frames of `size` bytes, the last one empty."""
        is_text = isinstance(message, str)
        data = message.encode() if is_text else message
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        (self.protocol.send_text if is_text else self.protocol.send_binary)(parts[0], fin=False)
        for part in parts[1:]:
            self.protocol.send_continuation(part, fin=False)
        self.protocol.send_continuation(b"", fin=True)
        return self.data_to_send()

    def bid_farewell(self, code=1000, reason="") -> bytes:
        """A Close."""
        self.protocol.send_close(code, reason)
        return self.data_to_send()

    @property
    def closed_with(self):
        """The code and reason that the connector's Close had, or None."""
        close = self.protocol.close_rcvd
        return None if close is None else (int(close.code), close.reason)


def raw_frame(opcode, data=b"", *, fin=True, reserved=0, masked=True, length=None) -> bytes:
    """One frame, byte for byte: `reserved` are three bits, `length` what it says to have."""
    length = len(data) if length is None else length
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if length < 126:
        head += bytes([masked << 7 | length])
    elif length < 1 << 16:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + data
    key = int.from_bytes((MASK * (len(data) // 4 + 1))[: len(data)], "big")
    return head + MASK + (int.from_bytes(data, "big") ^ key).to_bytes(len(data), "big")
