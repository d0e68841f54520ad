"""What was said over a WebSocket, read off the bytes of both sides."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Close, Frame, Opcode

from asgi_quicktunnel.protocol.conversation import Conversation, Utterance

VISITOR, APP = True, False


def framed(opcode, data, *, masked=True, fin=True, extensions=()):
    """A frame as bytes, written by the library's own serializer."""
    return Frame(opcode, data, fin).serialize(mask=masked, extensions=extensions)


def deflater(bits=15, no_takeover=False):
    """permessage-deflate as a peer does it."""
    return PerMessageDeflate(no_takeover, no_takeover, bits, bits)


def read(data, *, from_visitor=VISITOR, step=None, **options):
    """All that one side said, its bytes fed `step` at a time."""
    options.setdefault("is_compressed", False)
    conversation = Conversation(**options)
    said = []
    for at in range(0, len(data), step or len(data) or 1):
        part = data[at : at + (step or len(data))]
        said += conversation.receive_data(part, from_visitor=from_visitor, at=float(at))
    return said


@pytest.mark.parametrize("step", [1, 7, 4096])
@pytest.mark.parametrize("from_visitor", [VISITOR, APP])
def test_every_kind_of_frame_is_read(step, from_visitor):
    """However the bytes are cut, messages and control frames of either side come out in order."""
    parts = [
        (Opcode.TEXT, "hé".encode()),
        (Opcode.BINARY, bytes(300)),
        (Opcode.PING, b"p"),
        (Opcode.PONG, b""),
        (Opcode.CLOSE, Close(1001, "bye").serialize()),
    ]
    data = b"".join(framed(*part, masked=from_visitor) for part in parts)
    said = [each[:2] + each[3:] for each in read(data, from_visitor=from_visitor, step=step)]
    assert said == [
        (from_visitor, "text", "hé".encode(), None),
        (from_visitor, "binary", bytes(300), None),
        (from_visitor, "ping", b"p", None),
        (from_visitor, "pong", b"", None),
        (from_visitor, "close", b"bye", 1001),
    ]


def test_fragments_are_one_message():
    """It counts when the last of them has come, and a ping may stand between them."""
    data = (
        framed(Opcode.TEXT, b"one ", fin=False)
        + framed(Opcode.PING, b"")
        + framed(Opcode.CONT, b"message")
    )
    said = read(data, step=1)
    assert [(each.kind, each.data) for each in said] == [("ping", b""), ("text", b"one message")]
    assert said[1].at == len(data) - 1


def test_both_sides_are_read_apart():
    """Half a frame of one side does not disturb the other."""
    conversation = Conversation(is_compressed=False)
    question, answer = framed(Opcode.TEXT, b"q"), framed(Opcode.TEXT, b"a", masked=False)
    assert conversation.receive_data(question[:3], from_visitor=VISITOR, at=1) == []
    said = conversation.receive_data(answer, from_visitor=APP, at=2)
    said += conversation.receive_data(question[3:], from_visitor=VISITOR, at=3)
    assert said == [Utterance(APP, "text", 2, b"a"), Utterance(VISITOR, "text", 3, b"q")]


@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("from_visitor", [VISITOR, APP])
def test_compression_is_undone(bits, no_takeover, from_visitor):
    """Whatever was agreed upon, and messages that were not compressed pass as they are."""
    extension = deflater(bits, no_takeover)
    messages = [b"the same words again " * number for number in (1, 50, 50)]
    data = b"".join(
        framed(Opcode.TEXT, each, masked=from_visitor, extensions=[extension]) for each in messages
    )
    data += framed(Opcode.TEXT, b"plain", masked=from_visitor)
    said = read(data, from_visitor=from_visitor, is_compressed=True)
    assert [each.data for each in said] == [*messages, b"plain"]


def test_the_library_agrees_on_what_we_undo():
    """The factory of a client still makes the extension that these tests compress with."""
    agreed = ClientPerMessageDeflateFactory().process_response_params([], [])
    assert type(agreed) is PerMessageDeflate


def test_a_bomb_is_not_unpacked():
    """What would inflate beyond the limit is an error, and the memory for it is never asked for."""
    bomb = framed(Opcode.BINARY, bytes(50 << 20), extensions=[deflater()])
    assert len(bomb) < 100 << 10
    (error,) = read(bomb, is_compressed=True)
    assert (error.kind, error.data) == (
        "error",
        b"a message is too long to be shown, with what follows it",
    )


def test_many_small_bombs_share_one_limit():
    """It is the content of a whole side that is bounded."""
    data = b"".join(framed(Opcode.BINARY, bytes(400), extensions=[deflater()]) for _ in range(9))
    said = read(data, is_compressed=True, limit=1000)
    assert [each.kind for each in said] == ["binary", "binary", "error"]


def test_too_many_frames_are_not_read():
    """Also of those without content."""
    data = framed(Opcode.TEXT, b"", fin=False) + framed(Opcode.CONT, b"", fin=False) * 20
    (error,) = read(data, most=10)
    assert error.data == b"there is more, which is not shown"
    assert [each.kind for each in read(framed(Opcode.PING, b"") * 9, most=3)] == [
        "ping",
        "ping",
        "ping",
        "error",
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (framed(Opcode.TEXT, b"x", masked=False), b"incorrect masking"),
        (b"\x83\x80\x00\x00\x00\x00", b"invalid opcode"),
        (b"\xc1\x80\x00\x00\x00\x00", b"reserved bits must be 0"),
        (framed(Opcode.CONT, b"x"), b"the fragments of a message are out of order"),
        (
            framed(Opcode.TEXT, b"x", fin=False) + framed(Opcode.TEXT, b"y"),
            b"the fragments of a message are out of order",
        ),
        (framed(Opcode.CLOSE, b"\x03"), b"close frame too short"),
        (framed(Opcode.CLOSE, b"\x03\xe8\xff"), b"can't decode"),
    ],
    ids=["mask", "opcode", "reserved", "no beginning", "two beginnings", "short", "reason"],
)
def test_a_broken_rule_ends_that_side(data, why):
    """It is said why, and what follows is not read."""
    (error,) = read(data + framed(Opcode.TEXT, b"later"))
    assert error.kind == "error"
    assert why in error.data


def test_broken_compression_ends_that_side():
    """A message that zlib does not take is an error."""
    frame = b"\xc1\x83" + bytes(4) + b"\xff\xff\xff"
    assert [each.kind for each in read(frame, is_compressed=True)] == ["error"]


def test_a_side_that_failed_stays_silent():
    """What comes in later pieces is not read either."""
    conversation = Conversation(is_compressed=False)
    bad = framed(Opcode.CONT, b"x")
    assert len(conversation.receive_data(bad, from_visitor=VISITOR, at=0)) == 1
    assert conversation.receive_data(bad, from_visitor=VISITOR, at=1) == []


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_nothing_that_is_sent_raises(data, from_visitor, is_compressed):
    """Hostile bytes end in what was read and at most one error."""
    said = read(data, from_visitor=from_visitor, is_compressed=is_compressed)
    assert [each.kind for each in said[:-1]].count("error") == 0


def test_incompressible_content_survives():
    """Random bytes come out as they went in."""
    content = os.urandom(5000)
    assert zlib.compress(content) != content
    (said,) = read(framed(Opcode.BINARY, content, extensions=[deflater()]), is_compressed=True)
    assert said.data == content
