"""Undoes the Content-Encoding of a body."""

import gzip
import tracemalloc
import zlib

import pytest

from asgi_quicktunnel.diagnostics.unpacking import UNPACKED_LIMIT, unpack

TEXT = b"some text, again and again " * 100


def raw_deflate(data):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("data", "encodings"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), " X-GZip "),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
        (gzip.compress(zlib.compress(TEXT)), "deflate, gzip"),
    ],
    ids=["none", "identity", "gzip", "x-gzip", "zlib", "deflate", "both"],
)
def test_it_is_undone(data, encodings):
    """In the order that the header says."""
    assert unpack(data, encodings) == TEXT


def test_of_a_part_what_can_be_read_is_read():
    """The beginning of a compressed body has the beginning of the text."""
    begun = unpack(gzip.compress(TEXT, 0)[:500], "gzip")
    assert len(begun) > 400
    assert TEXT.startswith(begun)


@pytest.mark.parametrize("encodings", ["br", "zstd", "gzip, br", "gzip, gzip, gzip", "nonsense"])
def test_what_is_not_known_is_none(encodings):
    """Or what is there too often."""
    assert unpack(gzip.compress(gzip.compress(gzip.compress(TEXT))), encodings) is None


def test_what_is_not_what_it_says_is_none():
    """Neither is an error."""
    assert unpack(b"plain", "gzip") is None
    assert unpack(b"\xff\xff", "deflate") is None


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_stays_small(layers):
    """However much it claims to be, no more than the limit is made of it."""
    bomb = bytes(100 << 20)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    tracemalloc.start()
    try:
        unpacked = unpack(bomb, ", ".join(["gzip"] * layers))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(unpacked) == UNPACKED_LIMIT
    assert peak < 4 * UNPACKED_LIMIT
