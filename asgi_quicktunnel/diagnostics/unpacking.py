"""Undoes the Content-Encoding of a body, whatever it claims to grow to."""

from __future__ import annotations

import zlib

__all__ = ["UNPACKED_LIMIT", "unpack"]


def unpack(data: bytes, encodings: str) -> bytes | None:
    """A body without its Content-Encoding (RFC 9110 §8.4), at most `UNPACKED_LIMIT` bytes of it.

    Args:
        data: as it passed, perhaps only the beginning.
        encodings: the header's value, such as "gzip"; "" for none.

    Returns:
        What could be read, or None where the encoding is not known here or not what it says.
    """
    names = [name.strip().lower() for name in encodings.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        return None
    for name in reversed(names):
        unpacked = None
        for bits in _WINDOWS.get(name, ()):
            unpacked = unpacked or _inflate(data, bits)
        if unpacked is None:
            return None
        data = unpacked
    return data


def _inflate(data: bytes, bits: int) -> bytes | None:
    try:
        return zlib.decompressobj(bits).decompress(data, UNPACKED_LIMIT)
    except zlib.error:
        return None


UNPACKED_LIMIT = 1 << 20  # bytes
_MOST_ENCODINGS = 2  # nobody needs more, and each may grow a thousandfold

# zlib's windows. What is called "deflate" is often sent without zlib's frame (RFC 9110 §8.4.1.2).
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
