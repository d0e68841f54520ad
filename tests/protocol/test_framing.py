"""Stream framing: messages out of bytes that are cut anywhere."""

import tracemalloc
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.protocol.framing import (
    MAX_SEGMENTS,
    MessageSplitter,
    framed_size,
    segments,
)

from tests_support.capnp_messages import frame

SEGMENTS = [
    [b"one-----"],
    [b""],
    [b"two-----", b"three---four----"],
    [b"a-------", b"", b"b-------"],
    [b"%08d" % number for number in range(MAX_SEGMENTS)],
]
MESSAGES = [frame(*parts) for parts in SEGMENTS]
WIRE = b"".join(MESSAGES)


@pytest.mark.parametrize("step", [1, 3, 7, 8, 4096])
def test_messages_survive_any_cut(step):
    """However the bytes are cut, the same messages come out, and nothing is kept."""
    splitter = MessageSplitter(1 << 20)
    parts = [WIRE[i : i + step] for i in range(0, len(WIRE), step)]

    assert [m for part in parts for m in splitter.receive_data(part)] == MESSAGES
    assert splitter.buffered == 0


def test_messages_survive_every_single_cut():
    """There is no place where one cut changes what comes out."""
    wire = b"".join(MESSAGES[:4])
    for cut in range(len(wire)):
        splitter = MessageSplitter(1 << 20)
        received = splitter.receive_data(wire[:cut])
        assert splitter.buffered == cut - sum(map(len, received))
        assert received + splitter.receive_data(wire[cut:]) == MESSAGES[:4]


@given(st.lists(st.lists(st.integers(0, 9).map(lambda n: b"-" * 8 * n), min_size=1, max_size=9)))
def test_segments_are_what_was_framed(messages):
    """A message is taken apart into the segments it was made of."""
    splitter = MessageSplitter(1 << 20)
    received = splitter.receive_data(b"".join(frame(*parts) for parts in messages))

    assert [segments(message) for message in received] == messages


def test_a_message_of_exactly_the_limit_is_taken():
    """`max_bytes` counts the whole message, and may be reached but not passed."""
    message = frame(bytes(24))
    assert len(message) == 32
    assert MessageSplitter(32).receive_data(message) == [message]
    with pytest.raises(RemoteProtocolError, match="32 bytes; at most 31"):
        MessageSplitter(31).receive_data(message)


@pytest.mark.parametrize(
    "table",
    [
        pack("<II", 0, 1 << 20),
        pack("<II", 0, 0xFFFFFFFF),
        pack("<IIII", 1, 1, 0xFFFFFFFF, 0),
        pack("<I", MAX_SEGMENTS),
        pack("<I", 0xFFFFFFFF),
    ],
)
def test_what_is_declared_too_large_is_refused_before_it_comes(table):
    """Size and number of segments are refused as soon as they are declared, and for good."""
    splitter = MessageSplitter(1 << 20)
    with pytest.raises(RemoteProtocolError):
        splitter.receive_data(table)
    assert splitter.buffered == 0
    with pytest.raises(RemoteProtocolError, match="lost its framing"):
        splitter.receive_data(b"")


def test_storage_follows_what_came():
    """A large declared size takes no memory until the bytes are there."""
    splitter = MessageSplitter(64 << 20)
    tracemalloc.start()
    try:
        splitter.receive_data(pack("<II", 0, 4 << 20))
        assert tracemalloc.get_traced_memory()[1] < 20_000
        splitter.receive_data(bytes(100_000))
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert splitter.buffered == 100_008


def test_a_message_in_many_pieces_costs_as_much_as_in_one():
    """The size is worked out when its table is there, not again with each piece."""
    wire = memoryview(frame(bytes(1 << 20)))
    splitter = MessageSplitter(2 << 20)
    received = []
    for i in range(0, len(wire), 16):
        received += splitter.receive_data(wire[i : i + 16])
    assert received == [bytes(wire)]


@pytest.mark.parametrize("message", [b"", b"\0\0\0", pack("<II", 0, 1), frame(b"") + b"-"])
def test_segments_of_something_else_are_refused(message):
    """Bytes that are not exactly one framed message have no segments."""
    with pytest.raises(RemoteProtocolError, match=r"shorter or longer|at most"):
        segments(message)


def test_a_size_is_found_anywhere_in_a_buffer():
    """`framed_size` starts where it is told, and says None for an incomplete table."""
    wire = b"???" + MESSAGES[3]
    assert framed_size(wire, 3, 1 << 20) == len(MESSAGES[3])
    assert [framed_size(wire[:n], 3, 1 << 20) for n in (3, 6, 7, 10, 18)] == [None] * 5
