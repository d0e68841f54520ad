"""Cap'n Proto messages for the tests: by pycapnp, the oracle, and word by word."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from struct import pack

import capnp

import asgi_quicktunnel.protocol
from asgi_quicktunnel.model import RequestHead, ResponseHead

__all__ = [
    "datastream",
    "far_pointer",
    "frame",
    "list_pointer",
    "oracle_request",
    "oracle_response",
    "read_oracle_request",
    "read_oracle_response",
    "struct_pointer",
    "text",
]


@cache
def datastream():
    """pycapnp's module of datastream.capnp, in a parser of its own."""
    folder = Path(asgi_quicktunnel.protocol.__file__).parent / "schemas"
    return capnp.SchemaParser().load(str(folder / "datastream.capnp"))


def oracle_request(head: RequestHead, *, first_segment: int | None = None) -> bytes:
    """A ConnectRequest as pycapnp writes it; a small first segment (words) makes it have many."""
    message = datastream().ConnectRequest.new_message(num_first_segment_words=first_segment)
    message.dest = head.dest
    message.type = head.kind.value
    entries = [(b"HttpMethod", head.method.encode()), (b"HttpHost", head.host)]
    _fill(message, entries + _entries(head.headers))
    return message.to_bytes()


def oracle_response(head: ResponseHead, *, first_segment: int | None = None) -> bytes:
    """A ConnectResponse as pycapnp writes it."""
    message = datastream().ConnectResponse.new_message(num_first_segment_words=first_segment)
    if head.error is not None:
        message.error = head.error
    else:
        _fill(message, [(b"HttpStatus", b"%d" % head.status), *_entries(head.headers)])
    return message.to_bytes()


def read_oracle_request(message: bytes):
    """dest, type and metadata of a ConnectRequest as pycapnp reads it; texts must be UTF-8."""
    with datastream().ConnectRequest.from_bytes(message, len(message)) as reader:
        pairs = [(entry.key, entry.val) for entry in reader.metadata]
        return reader.dest, reader.type.raw, pairs


def read_oracle_response(message: bytes):
    """error and metadata of a ConnectResponse as pycapnp reads it; texts must be UTF-8."""
    with datastream().ConnectResponse.from_bytes(message, len(message)) as reader:
        return reader.error, [(entry.key, entry.val) for entry in reader.metadata]


def frame(*segments: bytes) -> bytes:
    """A framed message of these segments."""
    table = pack(f"<{1 + len(segments)}I", len(segments) - 1, *[len(s) // 8 for s in segments])
    return table.ljust((len(table) + 7) & ~7, b"\0") + b"".join(segments)


def struct_pointer(offset: int, data: int, pointers: int) -> bytes:
    """A pointer to a struct `offset` words behind it."""
    return pack("<iHH", offset << 2, data, pointers)


def list_pointer(offset: int, kind: int, count: int) -> bytes:
    """A pointer to a list `offset` words behind it."""
    return pack("<iI", offset << 2 | 1, count << 3 | kind)


def far_pointer(segment: int, position: int, *, double: bool = False) -> bytes:
    """A pointer to a landing pad, `position` words into a segment."""
    return pack("<II", position << 3 | double << 2 | 2, segment)


def text(value: bytes) -> bytes:
    """The words of a text."""
    return value + bytes(8 - len(value) % 8)


def _fill(message, entries):
    metadata = message.init("metadata", len(entries))
    for entry, (key, value) in zip(metadata, entries, strict=True):
        entry.key = key
        entry.val = value


def _entries(headers):
    return [(b"HttpHeader:" + name, value) for name, value in headers]
