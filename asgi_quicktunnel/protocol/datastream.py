"""The head of one visitor's request and of its answer, as they travel on QUIC.

ConnectRequest and ConnectResponse are coded by hand: this is the hot path, and pycapnp takes two
to three times as long (engine-notes.md §2). pycapnp is the oracle of the tests.

Source: protocol.md §6.1-6.4, §13.1, §13.2.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from itertools import compress
from struct import Struct, pack
from typing import Literal, NamedTuple

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import Headers, RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.protocol.framing import framed_size
from asgi_quicktunnel.protocol.reader import MessageReader, StructListReader, TextLayout

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
    method = single.get(_METHOD) or b"GET"
    if method != b"GET" and not _TOKEN.fullmatch(method):
        raise RemoteProtocolError("a request method that is no token")
    return RequestHead(kind, dest, method.decode("ascii"), single.get(_HOST, b""), headers)


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
    single, headers = _decode_metadata(root.structs(1), _response_keys)
    status = single.get(_STATUS, b"")
    if not _STATUS_CODE.fullmatch(status):
        raise RemoteProtocolError("an answer without a status between 100 and 999")
    return ResponseHead(int(status), headers)


# What comes once, by pseudo-name, and the headers in order.
_Metadata = tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]


def _any_request(message: bytes) -> tuple[int, bytes, _Metadata]:
    """Type, destination and metadata of a request."""
    root = MessageReader(message).root()
    entries = root.structs(1)
    metadata = _decode_metadata(entries, _request_keys)
    _request_shapes.meet(entries)
    return root.uint16(0), root.text(0), metadata


def _known_request(message: bytes) -> tuple[int, bytes, _Metadata] | None:
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
    shape = _request_shapes.get(message[tag:texts])
    if (
        shape is None
        or more
        or 8 + 8 * words != len(message)
        or root != _REQUEST_POINTER
        or dest_low != 1 << 2 | 1
        or dest_high & 7 != _BYTES
        or message[dest_end - 1]
        or list_low != tag - _REQUEST.size >> 1 | 1
        or list_high & 7 != _COMPOSITE
        or (values := shape.layout.values(message, texts)) is None
        or _has_line_break(values)
    ):
        return None
    single = {name: values[index] for name, index in shape.single}
    headers = list(zip(shape.names, compress(values, shape.is_header), strict=True))
    return kind, message[_REQUEST.size : dest_end - 1], (single, headers)


def _decode_metadata(entries: StructListReader, names: _KeyNames) -> _Metadata:
    if len(entries) > MAX_METADATA:
        raise RemoteProtocolError(f"{len(entries)} headers; at most {MAX_METADATA} are accepted")
    pairs = entries.text_pairs(names)
    if _has_line_break([value for _, value in pairs]):
        raise RemoteProtocolError("CR, LF or NUL in a metadata value")
    headers = [pair for pair in pairs if pair[0][0] != _COLON]
    return {name: value for name, value in pairs if name[0] == _COLON}, headers


class _Shape(NamedTuple):
    """What lists of metadata with the same pointers and keys have in common.

    Attributes:
        layout: where the values lie.
        names: of the headers among them.
        is_header: of each value.
        single: the other names, and which value is theirs.
    """

    layout: TextLayout
    names: list[bytes]
    is_header: list[bool]
    single: list[tuple[bytes, int]]


class _Shapes(dict[bytes, _Shape | None]):
    """Shapes by their list. A visitor's next request differs from the last one in few lengths, and
    often in none.

    What was met once has none yet: most lists that are never met again cost little for it.
    """

    def meet(self, entries: StructListReader) -> None:
        """Remember a list whose metadata were found sound."""
        words = entries.words
        if words in self:
            if (layout := TextLayout.of(entries)) is not None:
                names = [name for name, _ in entries.text_pairs(_request_keys)]
                is_header = [name[0] != _COLON for name in names]
                single = [(name, i) for i, name in enumerate(names) if name[0] == _COLON]
                kept = list(compress(names, is_header))
                self[words] = _Shape(layout, kept, is_header, single)
        elif 0 < len(words) <= _REMEMBERED_WORDS:
            # Visitors choose the lengths: they may empty this table, but not make it grow.
            if len(self) >= _REMEMBERED_SHAPES:
                self.clear()
            self[words] = None


class _KeyNames(dict[bytes, bytes]):
    """Metadata keys and the names they stand for, remembered: most requests repeat the same few.

    Keys come with the NUL at their end, as they lie in a message. Those that are no headers map to
    a pseudo-name that begins with a colon.

    Args:
        single: keys that should come once, and their pseudo-names.
        ignored: header names that are none of the reader's business.
    """

    def __init__(self, single: dict[bytes, bytes], ignored: frozenset[bytes]) -> None:
        super().__init__()
        self._single = single
        self._ignored = ignored

    def __missing__(self, key: bytes) -> bytes:
        if key[-1:] not in _TEXT_ENDS:
            raise RemoteProtocolError("a text without a NUL at its end")
        if key.startswith(_HEADER_KEY):
            name = key[len(_HEADER_KEY) : -1].lower()
            if not _TOKEN.fullmatch(name):
                raise RemoteProtocolError("a header name that is no token")
            if name in self._ignored:
                name = _UNKNOWN
        else:
            name = self._single.get(key[:-1], _UNKNOWN)
        if len(key) <= _REMEMBERED_BYTES:
            # Visitors choose names too: they may empty this table, but not make it grow.
            if len(self) >= _REMEMBERED_KEYS:
                self.clear()
            self[key] = name
        return name


def encode_request(head: RequestHead) -> bytes:
    """Signature, version and ConnectRequest: the beginning of a stream, from the edge's side.

    Raises:
        LocalProtocolError: what `decode_request` would refuse.
    """
    method = head.method.encode("utf-8", "replace")
    if not _TOKEN.fullmatch(method):
        raise LocalProtocolError("a request method that is no token")
    if _NO_DEST.search(head.dest):
        raise LocalProtocolError("a control character or space in the destination")
    dest = head.dest + _PADDING[len(head.dest) & 7]
    words = len(dest) >> 3
    first = [(_METHOD_KEY, method)]
    if head.host:
        first.append((_HOST_KEY, head.host))
    pointer, metadata = _encode_metadata(first, head.headers, words)
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
        return _encode_message(struct + text + _PADDING[len(text) & 7])
    if not 100 <= head.status <= 999:
        raise LocalProtocolError(f"status {head.status} is not between 100 and 999")
    first = [(_STATUS_KEY, b"%d" % head.status)]
    pointer, metadata = _encode_metadata(first, head.headers, 0)
    return _encode_message(pack("<QQQ", _RESPONSE_POINTER, 0, pointer) + metadata)


# A metadata key ready to be sent: its text with padding, the second half of its pointer, and by
# how much the first half of the next pointer is larger.
_Key = tuple[bytes, int, int]


def _encode_metadata(
    first: list[tuple[_Key, bytes]], headers: Headers, offset: int
) -> tuple[int, bytes]:
    """The pointer to a list of entries that begins `offset` words behind it, and the list."""
    entries = [*first, *[(_header_keys[name], value) for name, value in headers]]
    count = len(entries)
    if count > MAX_METADATA:
        raise LocalProtocolError(f"{count} metadata entries; at most {MAX_METADATA} are accepted")
    pointers: list[int] = []
    texts: list[bytes] = []
    padding = _PADDING
    # The first half of a pointer: the words from its end to its text, shifted by 2, and a 1. The
    # texts follow the pointers in their order, so each distance comes of the one before: a pointer
    # less to pass, a text more.
    distance = (2 * count - 1) << 2 | 1
    for (text, size_of_key, step), value in entries:
        size = len(value)
        behind_key = distance + step
        pointers += (distance, size_of_key, behind_key, (size + 1) << 3 | _BYTES)
        distance = behind_key + (size >> 3 << 2)
        texts += (text, value, padding[size & 7])
    if _has_line_break(texts[1::3]):
        raise LocalProtocolError("CR, LF or NUL in a metadata value")
    tag = count << 2 | 2 << 48
    body = pack(f"<Q{4 * count}I", tag, *pointers) + b"".join(texts)
    return offset << 2 | 2 * count << 35 | _COMPOSITE_LIST, body


def _encode_message(body: bytes) -> bytes:
    size = 8 + len(body)
    if size > MAX_HEAD_BYTES:
        raise LocalProtocolError(f"a head of {size} bytes; at most {MAX_HEAD_BYTES} are accepted")
    return b"%b%b%b" % (_PREAMBLE, pack("<II", 0, len(body) >> 3), body)


class _HeaderKeys(dict[bytes, _Key]):
    """Header names and their metadata keys, remembered as in `_KeyNames`."""

    def __missing__(self, name: bytes) -> _Key:
        if not _TOKEN.fullmatch(name):
            raise LocalProtocolError("a header name that is no token")
        key = _encode_key(_HEADER_KEY + name)
        if len(name) <= _REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED_KEYS:
                self.clear()
            self[name] = key
        return key


def _encode_key(key: bytes) -> _Key:
    size = len(key)
    return key + _PADDING[size & 7], (size + 1) << 3 | _BYTES, size >> 3 << 2


def _has_line_break(values: Sequence[bytes]) -> bool:
    text = b"".join(values)
    return b"\r" in text or b"\n" in text or b"\0" in text


DATA_SIGNATURE = bytes.fromhex("0a36cd12a13e")  # protocol.md §6.1
RPC_SIGNATURE = bytes.fromhex("52bb825cdb65")
VERSION = b"01"  # the only one there is; a reader skips it
MAX_HEAD_BYTES = 256 << 10  # design.md §5
MAX_METADATA = 1000
_PREAMBLE = DATA_SIGNATURE + VERSION
_PREAMBLE_SIZE = len(_PREAMBLE)

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_NO_DEST = re.compile(rb"[\x00-\x20\x7f]")
_STATUS_CODE = re.compile(rb"[1-9][0-9]{2}")
_KINDS = {kind.value: kind for kind in RequestKind}

_HEADER_KEY = b"HttpHeader:"
_METHOD, _HOST, _STATUS, _UNKNOWN = b":method", b":host", b":status", b":"
_COLON = ord(":")
_TEXT_ENDS = (b"\0", b"")  # a text of no bytes at all is empty too
_REMEMBERED_SHAPES = 128
_REMEMBERED_WORDS = 8 + 16 * 64  # bytes: of 64 entries
_REMEMBERED_RESPONSES = 256
_REMEMBERED_RESPONSE = 1024  # bytes
_REMEMBERED_KEYS = 1024
_REMEMBERED_BYTES = 128
_request_keys = _KeyNames({b"HttpMethod": _METHOD, b"HttpHost": _HOST}, frozenset({b"host"}))
_response_keys = _KeyNames({b"HttpStatus": _STATUS}, frozenset())
_header_keys = _HeaderKeys()
_request_shapes = _Shapes()
_known_responses: dict[tuple[object, ...], bytes] = {}

# Pointers of Cap'n Proto, the offset (from bit 2) left out; capnproto.org/encoding.html.
_BYTES = 2  # a list of bytes, in the second half of a pointer; the count goes to bit 3
_TEXT = 1 | _BYTES << 32  # the same in a whole pointer; the count goes to bit 35
_COMPOSITE = 7  # a list of structs, there
_COMPOSITE_LIST = 1 | _COMPOSITE << 32  # a list of structs; its words go to bit 35
_REQUEST_POINTER = 1 << 32 | 2 << 48  # a struct of 1 word and 2 pointers
# One segment's table; the pointer to a request, its type, the halves of its two pointers.
_REQUEST = Struct("<IIQH6xIIII")
_RESPONSE_POINTER = 2 << 48  # a struct of 2 pointers
_PADDING = tuple(bytes(8 - over) for over in range(8))  # a NUL, and on to the next word
_METHOD_KEY, _HOST_KEY, _STATUS_KEY = map(_encode_key, (b"HttpMethod", b"HttpHost", b"HttpStatus"))
