"""permessage-deflate with an exact bound on what a message may inflate to (RFC 7692)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from websockets.exceptions import NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.typing import ExtensionName, ExtensionParameter

__all__ = ["DeflateFactory", "inflating_extension"]


class DeflateFactory(ServerExtensionFactory):
    """Negotiates as `websockets` does; what comes of it is a `_Deflate`.

    The extension of the library makes both halves of its zlib state, about 45 KiB, for a WebSocket
    that may stay idle for hours, and refuses messages of exactly the limit when compression makes
    them a little longer.
    """

    name = ExtensionName("permessage-deflate")

    def __init__(self) -> None:
        self._negotiator = ServerPerMessageDeflateFactory(
            server_max_window_bits=_WINDOW_BITS, client_max_window_bits=_WINDOW_BITS
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """The parameters for the answer, and the extension; NegotiationError declines."""
        if ("server_max_window_bits", "8") in params:  # older releases ask zlib, which fails
            raise NegotiationError("zlib has no raw deflate with a window of 8 bits")
        answer, agreed = self._negotiator.process_request_params(params, accepted_extensions)
        return answer, _Deflate(agreed)


def inflating_extension() -> Extension:
    """Reads what one side compressed, whatever was agreed upon: the largest window reads any."""
    return _Deflate(_Widest())


class _Agreed(Protocol):
    """What was negotiated; "remote" is the visitor (RFC 7692 §7.1)."""

    @property
    def local_no_context_takeover(self) -> bool: ...
    @property
    def remote_max_window_bits(self) -> int: ...
    @property
    def local_max_window_bits(self) -> int: ...


class _Widest(NamedTuple):
    """The defaults of RFC 7692 §7.1."""

    local_no_context_takeover: bool = False
    remote_max_window_bits: int = 15
    local_max_window_bits: int = 15


class _Deflate(Extension):
    """The extension of one WebSocket; zlib's state is made when a message first needs it."""

    name = DeflateFactory.name

    def __init__(self, agreed: _Agreed) -> None:
        self._keeps_compressor = not agreed.local_no_context_takeover
        self._remote_bits = agreed.remote_max_window_bits
        self._local_bits = agreed.local_max_window_bits
        self._decompressor: zlib._Decompress | None = None
        self._compressor: zlib._Compress | None = None
        self._inflating = False  # the message under way is compressed

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Inflate one incoming frame.

        Raises:
            PayloadTooBig: it inflates to more than `max_size` bytes; no more than that was made.
            ProtocolError: it is not what RFC 7692 §7.2.2 describes.
        """
        if frame.opcode in CTRL_OPCODES:
            return frame
        if frame.opcode is not Opcode.CONT:
            self._inflating = frame.rsv1
        elif frame.rsv1:
            raise ProtocolError("RSV1 is for the first frame of a message")
        if not self._inflating:
            return frame
        assert max_size is not None
        data = self._inflate(bytes(frame.data) + (_SYNC_TAIL if frame.fin else b""), max_size + 1)
        if len(data) > max_size:
            raise PayloadTooBig(None, max_size)
        return Frame(frame.opcode, data, frame.fin, False, frame.rsv2, frame.rsv3)

    def encode(self, frame: Frame) -> Frame:
        """Deflate one outgoing frame, which is a whole message."""
        if frame.opcode in CTRL_OPCODES:
            return frame
        assert frame.fin
        compressor = self._compressor or zlib.compressobj(
            wbits=-self._local_bits, memLevel=_MEMORY_LEVEL
        )
        self._compressor = compressor if self._keeps_compressor else None
        data = compressor.compress(frame.data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return Frame(
            frame.opcode, memoryview(data)[: -len(_SYNC_TAIL)], True, True, frame.rsv2, frame.rsv3
        )

    def _inflate(self, data: bytes, limit: int) -> bytes:
        """At most `limit` bytes, which is above zero: to zlib that would mean without end."""
        if self._decompressor is None:
            self._decompressor = zlib.decompressobj(wbits=-self._remote_bits)
        try:
            inflated = self._decompressor.decompress(data, limit)
        except zlib.error as exc:
            raise ProtocolError("a compressed message can't be decompressed") from exc
        if self._decompressor.eof:  # a final block ends the stream, and a new one may follow
            self._decompressor = None
        return inflated


_SYNC_TAIL = b"\x00\x00\xff\xff"  # what the sender of a message cuts off; RFC 7692 §7.2.1

# As `websockets` and uvicorn: 4 KiB windows and 16 KiB of hash chains per direction compress
# nearly as well as the largest ones and cost an eighth.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5
