"""What is kept of bodies, and what keeping it costs."""

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.inspector.kept import keep, weigh, weigh_chunks, weigh_head

from tests_support.recorded import request


def kept(parts, limit=1 << 20):
    """Chunks, and what keeping them was said to cost."""
    chunks, size, cost = [], 0, 0
    for part in parts:
        if size < limit:
            cost += keep(chunks, part, limit - size)
        size += len(part)
    return chunks, cost


@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 20_000))
def test_it_is_the_beginning(parts, limit):
    """However a body is cut, its first bytes are kept and no more."""
    chunks, _ = kept(parts, limit)
    assert b"".join(chunks) == b"".join(parts)[:limit]


def test_large_chunks_are_not_copied():
    """What fits is kept as the very object that passed."""
    parts = [bytes(2000), bytes(3000)]
    chunks, _ = kept(parts)
    assert all(chunk is part for chunk, part in zip(chunks, parts, strict=True))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_might_change_or_holds_on_to_more_is_copied(kind):
    """A bytearray may be written to later; a view keeps all that it is a view of."""
    passed = kind(bytearray(b"content" * 1000))
    (chunk,), _ = kept([passed])
    assert type(chunk) is bytes
    assert chunk == bytes(passed)


def test_the_rest_of_a_long_chunk_is_not_held():
    """Of a chunk beyond the limit the kept part is an object of its own."""
    (chunk,), _ = kept([bytes(5000)], limit=10)
    assert chunk == bytes(10)


@pytest.mark.parametrize("size", [1, 7, 100, 1023])
def test_small_chunks_are_gathered(size):
    """A body in tiny pieces is few objects, and costs little more than its size."""
    chunks, cost = kept([b"x" * size for _ in range(200_000 // size)])
    assert len(chunks) <= 2
    assert cost < 200_000 * (1.5 + 9 / size)


@pytest.mark.parametrize("size", [1, 60, 1024, 5000, 100_000])
def test_the_cost_is_not_less_than_the_memory(size):
    """Measured by the interpreter itself, for chunks of any size."""
    gc.collect()
    tracemalloc.start()
    try:
        chunks, cost = kept([bytes([number % 256]) * size for number in range(100_000 // size)])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= cost + 1000  # the measuring itself
    assert weigh_chunks(chunks) <= cost


@pytest.mark.parametrize(("count", "length"), [(1000, 1), (1, 100_000), (20, 20)])
def test_the_weight_of_headers_is_not_less_than_the_memory(count, length):
    """Of many short ones and of a long one."""
    gc.collect()
    tracemalloc.start()
    try:
        headers = [
            (b"x-%d" % number + bytes(length), bytes([number % 256]) * length)
            for number in range(count)
        ]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= weigh(headers) + 1000
    assert weigh_head(request(headers=headers)) > weigh(headers)
