"""What is kept of bodies and heads, and what keeping it costs."""

from __future__ import annotations

from sys import getsizeof

from asgi_quicktunnel.model import Headers, RequestHead

__all__ = ["CHUNK_COST", "HEADER_COST", "Chunks", "keep", "weigh", "weigh_chunks", "weigh_head"]

Chunks = list[bytes | bytearray]


def keep(chunks: Chunks, data: bytes, room: int) -> int:
    """Add the beginning of `data` to what is kept.

    Bytes are referred to, not copied, unless there are more of them than there is room, or they
    might change or hold on to more than themselves. Small chunks that follow each other are
    gathered, so that a body in pieces of one byte does not cost a hundred times its size.

    Args:
        chunks: what is kept so far.
        data: what follows.
        room: how many bytes of it may be kept.

    Returns:
        How many bytes of memory it takes; rather more than less.
    """
    size = len(data)
    if size > room or type(data) is not bytes:
        data = bytes(data[:room])
        size = len(data)
    if not size:
        return 0
    if chunks and size < _SMALL:
        last = chunks[-1]
        if type(last) is bytearray:
            last += data
            return size + (size >> 2) + 8  # a growing bytearray asks for an eighth more
        if len(last) < _SMALL:
            gathered = bytearray(last)
            gathered += data
            chunks[-1] = gathered
            return size + (len(gathered) >> 2) + CHUNK_COST
    chunks.append(data)
    return size + CHUNK_COST


def weigh(headers: Headers) -> int:
    """How many bytes of memory headers take; rather more than less."""
    size = HEADER_COST * len(headers)
    for name, value in headers:
        size += len(name) + len(value)
    return size


def weigh_head(head: RequestHead) -> int:
    """How many bytes of memory a head takes; rather more than less."""
    return len(head.dest) + len(head.method) + len(head.host) + weigh(head.headers)


def weigh_chunks(chunks: Chunks) -> int:
    """How many bytes of memory a body takes; no more than `keep` said."""
    return sum([getsizeof(chunk) + _PLACE for chunk in chunks])


_SMALL = 1024  # bytes
_PLACE = 16  # bytes; in a list that has grown

# Bytes besides the content, CPython 3.11, 64 bits: an object's own and its place in a list, twice
# as many for a header with the pair, both rounded up to what is handed out.
CHUNK_COST = 96
HEADER_COST = 192
