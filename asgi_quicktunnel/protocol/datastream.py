"""The head of one visitor's request and of its answer, as they travel on QUIC.

ConnectRequest and ConnectResponse are coded by hand: this is the hot path, and pycapnp takes two
to three times as long (engine-notes.md §2). pycapnp is the oracle of the tests.

Source: protocol.md §6.1-6.4, §13.1, §13.2.
"""

from __future__ import annotations

import enum
import re
from itertools import compress
from struct import Struct, pack
from typing import Literal

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.protocol.framing import framed_size
from asgi_quicktunnel.protocol.metadata import (
    BYTES,
    COMPOSITE,
    HOST,
    HOST_KEY,
    MAX_METADATA,
    METHOD,
    METHOD_KEY,
    PADDING,
    STATUS,
    STATUS_KEY,
    TOKEN,
    Metadata,
    decode_metadata,
    encode_metadata,
    has_line_break,
    request_keys,
    request_shapes,
    response_keys,
)
from asgi_quicktunnel.protocol.reader import MessageReader

__all__ = [
    "DATA_SIGNATURE",
    "MAX_HEAD_BYTES",
    "MAX_METADATA",
    "RPC_SIGNATURE",
    "VERSION",
    "AnswerReader",
    "OpeningReader",
    "StreamKind",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "read_request",
]


class StreamKind(enum.Enum):
    """What a stream that the edge opened is for (protocol.md §6.1)."""

    DATA = "data"
    RPC = "rpc"


class OpeningReader:
    """Reads what a stream opened by the edge begins with; the bytes may arrive cut anywhere.

    Attributes:
        rest: the bytes behind what was consumed, once `receive_data` returned something.
    """

    __slots__ = ("_collector",)

    def __init__(self) -> None:
        self._collector = _Collector((DATA_SIGNATURE, RPC_SIGNATURE))

    @property
    def rest(self) -> bytes:
        """Bytes of the body or of the RPC that arrived with the last of the head."""
        return self._collector.rest

    def receive_data(self, data: bytes) -> RequestHead | Literal[StreamKind.RPC] | None:
        """Take the next bytes of the stream.

        Returns:
            The request, or `StreamKind.RPC` for a stream of calls, or None while bytes are missing.

        Raises:
            RemoteProtocolError: an unknown signature, or a head that is malformed or too large.
            LocalProtocolError: the beginning was read before.
        """
        message = self._collector.receive_data(data)
        return decode_request(message) if isinstance(message, bytes) else message


class AnswerReader:
    """Reads the head of a connector's answer: the edge's end of `encode_response`.

    Attributes:
        rest: the bytes behind what was consumed, once `receive_data` returned something.
    """

    __slots__ = ("_collector",)

    def __init__(self) -> None:
        self._collector = _Collector((DATA_SIGNATURE,))

    @property
    def rest(self) -> bytes:
        """Bytes of the body that arrived with the last of the head."""
        return self._collector.rest

    def receive_data(self, data: bytes) -> ResponseHead | None:
        """Take the next bytes of the stream.

        Returns:
            The head of the answer, or None while bytes are missing.

        Raises:
            RemoteProtocolError: an unknown signature, or a head that is malformed or too large.
            LocalProtocolError: the head was read before.
        """
        message = self._collector.receive_data(data)
        return decode_response(message) if isinstance(message, bytes) else None


class _Collector:
    """Collects a signature, a version and one framed message."""

    __slots__ = ("_buffer", "_done", "_signatures", "rest")

    def __init__(self, signatures: tuple[bytes, ...]) -> None:
        self._signatures = signatures
        self._buffer: bytearray | None = None  # what came so far, if it is not enough
        self._done = False
        self.rest = b""

    def receive_data(self, data: bytes) -> bytes | Literal[StreamKind.RPC] | None:
        if self._done:
            raise LocalProtocolError("the head was read; what follows belongs to the stream")
        buffer: bytes | bytearray = data
        if self._buffer is not None:
            buffer = self._buffer
            buffer += data
        signature = bytes(buffer[: len(DATA_SIGNATURE)])
        if signature == RPC_SIGNATURE and signature in self._signatures:
            self._finish(buffer, len(signature))
            return StreamKind.RPC
        if signature == DATA_SIGNATURE:
            size = framed_size(buffer, _PREAMBLE_SIZE, MAX_HEAD_BYTES)
            if size is not None and len(buffer) >= _PREAMBLE_SIZE + size:
                message = bytes(buffer[_PREAMBLE_SIZE : _PREAMBLE_SIZE + size])
                self._finish(buffer, _PREAMBLE_SIZE + size)
                return message
        elif not any(known.startswith(signature) for known in self._signatures):
            raise RemoteProtocolError(f"a stream that begins with {signature.hex(' ')}")
        if buffer is data:
            self._buffer = bytearray(data)
        return None

    def _finish(self, buffer: bytes | bytearray, consumed: int) -> None:
        self.rest = bytes(buffer[consumed:])
        self._buffer = None
        self._done = True


def read_request(data: bytes) -> tuple[RequestHead, bytes] | None:
    """The request that a stream begins with, and what follows it.

    Returns:
        None unless these first bytes hold all of its head: that is for an `OpeningReader`.

    Raises:
        RemoteProtocolError: as `decode_request`, or a head that is too large.
    """
    if not data.startswith(DATA_SIGNATURE):
        return None
    size = framed_size(data, _PREAMBLE_SIZE, MAX_HEAD_BYTES)
    if size is None or len(data) < _PREAMBLE_SIZE + size:
        return None
    end = _PREAMBLE_SIZE + size
    return decode_request(data[_PREAMBLE_SIZE:end]), data[end:]


def decode_request(message: bytes) -> RequestHead:
    """Read a ConnectRequest.

    Args:
        message: framed, without signature and version.

    Returns:
        Header names in lower case, values as the bytes they came as, order and repetition kept,
        Host left out. An empty method is "GET"; of a key that should come once the last one counts.

    Raises:
        RemoteProtocolError: malformed, more than `MAX_METADATA` entries, a header name that is no
            token (RFC 9110 §5.1), CR, LF or NUL in a value, control characters or spaces in dest.
    """
    number, dest, metadata = _known_request(message) or _any_request(message)
    kind = _KINDS.get(number)
    if kind is None:
        raise RemoteProtocolError(f"a request of unknown type {number}")
    if _NO_DEST.search(dest):
        raise RemoteProtocolError("a control character or space in the destination")
    single, headers = metadata
    method = single.get(METHOD) or b"GET"
    if method != b"GET" and not TOKEN.fullmatch(method):
        raise RemoteProtocolError("a request method that is no token")
    return RequestHead(kind, dest, method.decode("ascii"), single.get(HOST, b""), headers)


def decode_response(message: bytes) -> ResponseHead:
    """Read a ConnectResponse.

    Args:
        message: framed, without signature and version.

    Returns:
        As `decode_request`. An error reply has status 502 and no headers, whatever it came with.

    Raises:
        RemoteProtocolError: as `decode_request`, or without error there is no decimal status
            between 100 and 999.
    """
    root = MessageReader(message).root()
    error = root.text(0)
    if error:
        return ResponseHead(502, error=error.decode("utf-8", "replace"))
    single, headers = decode_metadata(root.structs(1), response_keys)
    status = single.get(STATUS, b"")
    if not _STATUS_CODE.fullmatch(status):
        raise RemoteProtocolError("an answer without a status between 100 and 999")
    return ResponseHead(int(status), headers)


def _any_request(message: bytes) -> tuple[int, bytes, Metadata]:
    """Type, destination and metadata of a request."""
    root = MessageReader(message).root()
    entries = root.structs(1)
    metadata = decode_metadata(entries, request_keys)
    request_shapes.meet(entries)
    return root.uint16(0), root.text(0), metadata


def _known_request(message: bytes) -> tuple[int, bytes, Metadata] | None:
    """The same in a third of the time, for a request whose shape was met before.

    Returns:
        None unless there is one segment that begins with struct, destination, list and texts, in
        this order, and the list is one that `_any_request` read and found sound.
    """
    if len(message) < _REQUEST.size:
        return None
    more, words, root, kind, dest_low, dest_high, list_low, list_high = _REQUEST.unpack_from(
        message
    )
    dest_end = _REQUEST.size + (dest_high >> 3)
    tag = dest_end + 7 & -8
    texts = tag + 8 + (list_high >> 3 << 3)
    shape = request_shapes.get(message[tag:texts])
    if (
        shape is None
        or more
        or 8 + 8 * words != len(message)
        or root != _REQUEST_POINTER
        or dest_low != 1 << 2 | 1
        or dest_high & 7 != BYTES
        or message[dest_end - 1]
        or list_low != tag - _REQUEST.size >> 1 | 1
        or list_high & 7 != COMPOSITE
        or (values := shape.layout.values(message, texts)) is None
        or has_line_break(values)
    ):
        return None
    single = {name: values[index] for name, index in shape.single}
    headers = list(zip(shape.names, compress(values, shape.is_header), strict=True))
    return kind, message[_REQUEST.size : dest_end - 1], (single, headers)


def encode_request(head: RequestHead) -> bytes:
    """Signature, version and ConnectRequest: the beginning of a stream, from the edge's side.

    Raises:
        LocalProtocolError: what `decode_request` would refuse.
    """
    method = head.method.encode("utf-8", "replace")
    if not TOKEN.fullmatch(method):
        raise LocalProtocolError("a request method that is no token")
    if _NO_DEST.search(head.dest):
        raise LocalProtocolError("a control character or space in the destination")
    dest = head.dest + PADDING[len(head.dest) & 7]
    words = len(dest) >> 3
    first = [(METHOD_KEY, method)]
    if head.host:
        first.append((HOST_KEY, head.host))
    pointer, metadata = encode_metadata(first, head.headers, words)
    struct = pack(
        "<QQQQ",
        _REQUEST_POINTER,
        head.kind.value,
        1 << 2 | (len(head.dest) + 1) << 35 | _TEXT,
        pointer,
    )
    return _encode_message(struct + dest + metadata)


def encode_response(head: ResponseHead) -> bytes:
    """Signature, version and ConnectResponse: the beginning of an answer.

    `HttpStatus` comes first and the headers in order; an error reply is the error's text alone
    (protocol.md §6.3, §6.4).

    Raises:
        LocalProtocolError: what `decode_response` would refuse, or an error without text.
    """
    # Apps give the same few heads again and again.
    key = (*head.headers, head.status, head.error)
    try:
        encoded = _known_responses.get(key)
    except TypeError:  # a value that is a bytearray
        return _encode_response(head)
    if encoded is None:
        encoded = _encode_response(head)
        if len(encoded) <= _REMEMBERED_RESPONSE:
            if len(_known_responses) >= _REMEMBERED_RESPONSES:
                _known_responses.clear()
            _known_responses[key] = encoded
    return encoded


def _encode_response(head: ResponseHead) -> bytes:
    if head.error is not None:
        text = head.error.encode("utf-8", "replace")
        if not text:
            raise LocalProtocolError("an error reply without a text")
        pointer = 1 << 2 | (len(text) + 1) << 35 | _TEXT
        struct = pack("<QQQ", _RESPONSE_POINTER, pointer, 0)
        return _encode_message(struct + text + PADDING[len(text) & 7])
    if not 100 <= head.status <= 999:
        raise LocalProtocolError(f"status {head.status} is not between 100 and 999")
    first = [(STATUS_KEY, b"%d" % head.status)]
    pointer, metadata = encode_metadata(first, head.headers, 0)
    return _encode_message(pack("<QQQ", _RESPONSE_POINTER, 0, pointer) + metadata)


def _encode_message(body: bytes) -> bytes:
    size = 8 + len(body)
    if size > MAX_HEAD_BYTES:
        raise LocalProtocolError(f"a head of {size} bytes; at most {MAX_HEAD_BYTES} are accepted")
    return b"%b%b%b" % (_PREAMBLE, pack("<II", 0, len(body) >> 3), body)


DATA_SIGNATURE = bytes.fromhex("0a36cd12a13e")  # protocol.md §6.1
RPC_SIGNATURE = bytes.fromhex("52bb825cdb65")
VERSION = b"01"  # the only one there is; a reader skips it
MAX_HEAD_BYTES = 256 << 10  # design.md §5
_PREAMBLE = DATA_SIGNATURE + VERSION
_PREAMBLE_SIZE = len(_PREAMBLE)

_NO_DEST = re.compile(rb"[\x00-\x20\x7f]")
_STATUS_CODE = re.compile(rb"[1-9][0-9]{2}")
_KINDS = {kind.value: kind for kind in RequestKind}

_REMEMBERED_RESPONSES = 256
_REMEMBERED_RESPONSE = 1024  # bytes
_known_responses: dict[tuple[object, ...], bytes] = {}

# Pointers of Cap'n Proto, the offset (from bit 2) left out; capnproto.org/encoding.html.
_TEXT = 1 | BYTES << 32  # the same in a whole pointer; the count goes to bit 35
_REQUEST_POINTER = 1 << 32 | 2 << 48  # a struct of 1 word and 2 pointers
# One segment's table; the pointer to a request, its type, the halves of its two pointers.
_REQUEST = Struct("<IIQH6xIIII")
_RESPONSE_POINTER = 2 << 48  # a struct of 2 pointers
