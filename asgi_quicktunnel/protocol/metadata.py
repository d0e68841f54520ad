"""The metadata of a head: its list of keys and values, read and written (protocol.md §6.1).

The hot path of `datastream`: most requests of a visitor repeat keys, lengths and layout of the one
before, so those are remembered, in tables that visitors may empty but not make grow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress
from struct import pack
from typing import NamedTuple

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import Headers
from asgi_quicktunnel.protocol.reader import StructListReader, TextLayout

__all__ = [
    "BYTES",
    "COMPOSITE",
    "HOST",
    "HOST_KEY",
    "MAX_METADATA",
    "METHOD",
    "METHOD_KEY",
    "PADDING",
    "STATUS",
    "STATUS_KEY",
    "TOKEN",
    "Metadata",
    "decode_metadata",
    "encode_metadata",
    "has_line_break",
    "request_keys",
    "request_shapes",
    "response_keys",
]

# What comes once, by pseudo-name, and the headers in order.
Metadata = tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]


def decode_metadata(entries: StructListReader, names: KeyNames) -> Metadata:
    """What comes once, and the headers in order.

    Raises:
        RemoteProtocolError: malformed, more than `MAX_METADATA` entries, a header name that is no
            token (RFC 9110 §5.1), CR, LF or NUL in a value.
    """
    if len(entries) > MAX_METADATA:
        raise RemoteProtocolError(f"{len(entries)} headers; at most {MAX_METADATA} are accepted")
    pairs = entries.text_pairs(names)
    if has_line_break([value for _, value in pairs]):
        raise RemoteProtocolError("CR, LF or NUL in a metadata value")
    headers = [pair for pair in pairs if pair[0][0] != _COLON]
    return {name: value for name, value in pairs if name[0] == _COLON}, headers


class Shape(NamedTuple):
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


class Shapes(dict[bytes, Shape | None]):
    """Shapes by their list. A visitor's next request differs from the last one in few lengths, and
    often in none.

    What was met once has none yet: most lists that are never met again cost little for it.
    """

    def meet(self, entries: StructListReader) -> None:
        """Remember a list whose metadata were found sound."""
        words = entries.words
        if words in self:
            if (layout := TextLayout.of(entries)) is not None:
                names = [name for name, _ in entries.text_pairs(request_keys)]
                is_header = [name[0] != _COLON for name in names]
                single = [(name, i) for i, name in enumerate(names) if name[0] == _COLON]
                kept = list(compress(names, is_header))
                self[words] = Shape(layout, kept, is_header, single)
        elif 0 < len(words) <= _REMEMBERED_WORDS:
            # Visitors choose the lengths: they may empty this table, but not make it grow.
            if len(self) >= _REMEMBERED_SHAPES:
                self.clear()
            self[words] = None


class KeyNames(dict[bytes, bytes]):
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
            if not TOKEN.fullmatch(name):
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


# A metadata key ready to be sent: its text with padding, the second half of its pointer, and by
# how much the first half of the next pointer is larger.
Key = tuple[bytes, int, int]


def encode_metadata(
    first: list[tuple[Key, bytes]], headers: Headers, offset: int
) -> tuple[int, bytes]:
    """The pointer to a list of entries that begins `offset` words behind it, and the list.

    Raises:
        LocalProtocolError: what `decode_metadata` would refuse.
    """
    entries = [*first, *[(_header_keys[name], value) for name, value in headers]]
    count = len(entries)
    if count > MAX_METADATA:
        raise LocalProtocolError(f"{count} metadata entries; at most {MAX_METADATA} are accepted")
    pointers: list[int] = []
    texts: list[bytes] = []
    padding = PADDING
    # The first half of a pointer: the words from its end to its text, shifted by 2, and a 1. The
    # texts follow the pointers in their order, so each distance comes of the one before: a pointer
    # less to pass, a text more.
    distance = (2 * count - 1) << 2 | 1
    for (text, size_of_key, step), value in entries:
        size = len(value)
        behind_key = distance + step
        pointers += (distance, size_of_key, behind_key, (size + 1) << 3 | BYTES)
        distance = behind_key + (size >> 3 << 2)
        texts += (text, value, padding[size & 7])
    if has_line_break(texts[1::3]):
        raise LocalProtocolError("CR, LF or NUL in a metadata value")
    tag = count << 2 | 2 << 48
    body = pack(f"<Q{4 * count}I", tag, *pointers) + b"".join(texts)
    return offset << 2 | 2 * count << 35 | _COMPOSITE_LIST, body


class _HeaderKeys(dict[bytes, Key]):
    """Header names and their metadata keys, remembered as in `KeyNames`."""

    def __missing__(self, name: bytes) -> Key:
        if not TOKEN.fullmatch(name):
            raise LocalProtocolError("a header name that is no token")
        key = _encode_key(_HEADER_KEY + name)
        if len(name) <= _REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED_KEYS:
                self.clear()
            self[name] = key
        return key


def _encode_key(key: bytes) -> Key:
    size = len(key)
    return key + PADDING[size & 7], (size + 1) << 3 | BYTES, size >> 3 << 2


def has_line_break(values: Sequence[bytes]) -> bool:
    """Whether CR, LF or NUL stands in any of these values."""
    text = b"".join(values)
    return b"\r" in text or b"\n" in text or b"\0" in text


MAX_METADATA = 1000  # design.md §5
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
METHOD, HOST, STATUS, _UNKNOWN = b":method", b":host", b":status", b":"

_HEADER_KEY = b"HttpHeader:"
_COLON = ord(":")
_TEXT_ENDS = (b"\0", b"")  # a text of no bytes at all is empty too
_REMEMBERED_SHAPES = 128
_REMEMBERED_WORDS = 8 + 16 * 64  # bytes: of 64 entries
_REMEMBERED_KEYS = 1024
_REMEMBERED_BYTES = 128

# Pointers of Cap'n Proto, the offset (from bit 2) left out; capnproto.org/encoding.html.
BYTES = 2  # a list of bytes, in the second half of a pointer; the count goes to bit 3
COMPOSITE = 7  # a list of structs, there
_COMPOSITE_LIST = 1 | COMPOSITE << 32  # a list of structs; its words go to bit 35
PADDING = tuple(bytes(8 - over) for over in range(8))  # a NUL, and on to the next word

request_keys = KeyNames({b"HttpMethod": METHOD, b"HttpHost": HOST}, frozenset({b"host"}))
response_keys = KeyNames({b"HttpStatus": STATUS}, frozenset())
request_shapes = Shapes()
_header_keys = _HeaderKeys()
METHOD_KEY, HOST_KEY, STATUS_KEY = map(_encode_key, (b"HttpMethod", b"HttpHost", b"HttpStatus"))
