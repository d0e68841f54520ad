import logging
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol.websocket import Closure, WebSocket

from tests_support.websocket_visitor import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    VisitorSocket,
    raw_frame,
)

# RFC 6455 §1.3
SAMPLE_KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
SAMPLE_ACCEPT = (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
MIB = 1 << 20

DEFLATE = pytest.mark.parametrize("deflate", [None, True], ids=["plain", "deflate"])


def opened(*, limit=MIB, **visitor_options):
    """Both ends of a WebSocket after the handshake."""
    visitor = VisitorSocket(**visitor_options)
    socket = WebSocket(visitor.handshake, max_message_size=limit)
    visitor.accept(socket.accept_headers)
    return socket, visitor


def deliver(socket, visitor):
    """What the connector has to send reaches the visitor."""
    if data := socket.data_to_send():
        visitor.receive(data)


def deflated(data, *, final=False):
    """A message as RFC 7692 §7.2.1 compresses it."""
    compressor = zlib.compressobj(wbits=-12)
    if final:
        return compressor.compress(data) + compressor.flush(zlib.Z_FINISH) + b"\0"
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


# The handshake


def test_the_accept_key_is_that_of_the_rfc():
    """A bare handshake is answered by Upgrade, Connection and the accept key, and no more."""
    socket = WebSocket([SAMPLE_KEY], max_message_size=1)

    assert sorted(socket.accept_headers) == [
        (b"connection", b"Upgrade"),
        SAMPLE_ACCEPT,
        (b"upgrade", b"websocket"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"connection", b"keep-alive"), (b"upgrade", b"h2c"), (b"sec-websocket-version", b"8")],
        [(b"cookie", b"a=\xff"), (b"origin", b"https://a"), (b"origin", b"https://b")],
        [(b"sec-websocket-protocol", b"\xff,,")],
    ],
)
def test_what_the_edge_takes_off_does_not_matter(headers):
    """Only the key and the extensions of a handshake are looked at."""
    assert WebSocket([*headers, SAMPLE_KEY], max_message_size=1).accept_headers


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "Key"),
        ([SAMPLE_KEY, SAMPLE_KEY], "Key"),
        ([(b"sec-websocket-key", b"short")], "Key"),
        ([(b"sec-websocket-key", b"\xff" * 24)], "Key"),
        ([SAMPLE_KEY, (b"sec-websocket-extensions", b"a;;;=,")], "Extensions"),
    ],
)
def test_a_malformed_handshake_is_refused(headers, why):
    """Without one good key, or with extensions that are no list, RemoteProtocolError says so."""
    with pytest.raises(RemoteProtocolError, match=why):
        WebSocket(headers, max_message_size=1)


@pytest.mark.parametrize(
    "offer",
    [
        b"permessage-deflate",
        b"permessage-deflate; client_max_window_bits",
        b"permessage-deflate; server_max_window_bits=9; client_no_context_takeover",
        b"x-unknown, permessage-deflate; bad_parameter, permessage-deflate",
    ],
)
def test_compression_is_agreed_upon_when_it_is_offered(offer):
    """Each offer that can be honoured is, and is answered once."""
    headers = [SAMPLE_KEY, (b"sec-websocket-extensions", offer)]
    (agreed,) = [
        value
        for name, value in WebSocket(headers, max_message_size=1).accept_headers
        if name == b"sec-websocket-extensions"
    ]
    assert agreed.startswith(b"permessage-deflate")
    assert agreed.count(b"permessage-deflate") == 1


@pytest.mark.parametrize("offer", [b"x-unknown", b"permessage-deflate; server_max_window_bits=8"])
def test_what_can_not_be_honoured_is_not_agreed_upon(offer):
    """An extension that we do not have, or a window that zlib does not, is left out."""
    headers = [SAMPLE_KEY, (b"sec-websocket-extensions", offer)]
    names = [name for name, _ in WebSocket(headers, max_message_size=1).accept_headers]

    assert b"sec-websocket-extensions" not in names


# Messages


SAID = ["", "text", "é€😀" * 50, b"", b"\0\xff" * 40_000, "x" * 70_000]


@DEFLATE
@pytest.mark.parametrize("step", [1, 7, 4096, 10**6])
def test_messages_survive_any_cut(deflate, step):
    """However the bytes are cut, the same messages come out, text as str and binary as bytes."""
    socket, visitor = opened(deflate=deflate)
    said = SAID if step > 1 else SAID[:4]
    wire = visitor.say(*said)
    parts = [wire[at : at + step] for at in range(0, len(wire), step)]

    assert [m for part in parts for m in socket.receive_data(part)] == said
    assert (socket.data_to_send(), socket.is_over) == (b"", False)


@DEFLATE
def test_messages_reach_the_visitor(deflate):
    """What is sent is what arrives, of every length of header."""
    socket, visitor = opened(deflate=deflate)
    for message in SAID:
        socket.send(message)
    deliver(socket, visitor)

    assert visitor.messages == SAID


@DEFLATE
@pytest.mark.parametrize("message", ["é€😀" * 5, b"\x80binary", "", b""])
def test_fragments_become_one_message(deflate, message):
    """A message in fragments, with a ping between each two, arrives whole."""
    socket, visitor = opened(deflate=deflate)
    fragments = visitor.say_in_fragments(message, 1)

    assert socket.receive_data(fragments + visitor.say("next")) == [message, "next"]


def test_control_frames_may_stand_between_fragments():
    """A ping in the middle of a message is answered at once, and a pong ignored."""
    socket, visitor = opened()
    assert socket.receive_data(raw_frame(TEXT, b"on", fin=False) + raw_frame(PING, b"?")) == []
    deliver(socket, visitor)
    assert visitor.pongs == [b"?"]

    assert socket.receive_data(raw_frame(PONG) + raw_frame(CONT, b"e")) == ["one"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text() | st.binary(), max_size=5),
    st.integers(1, 50),
    st.sampled_from(
        [
            None,
            ClientPerMessageDeflateFactory(),
            ClientPerMessageDeflateFactory(server_no_context_takeover=True),
            ClientPerMessageDeflateFactory(client_no_context_takeover=True),
            ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=10),
        ]
    ),
)
def test_any_messages_pass_both_ways(messages, size, deflate):
    """Whatever is said, fragmented or not, with any agreement, comes back the same."""
    socket, visitor = opened(deflate=deflate)
    wire = b"".join(visitor.say(m) + visitor.say_in_fragments(m, size) for m in messages)
    heard = socket.receive_data(wire)
    for message in heard:
        socket.send(message)
    deliver(socket, visitor)

    assert heard == [m for message in messages for m in (message, message)]
    assert visitor.messages == heard


def test_a_final_block_ends_no_conversation():
    """RFC 7692 §7.2.3.4 lets a sender end its deflate stream with a message, and go on."""
    socket, _ = opened(deflate=True)
    frame = raw_frame(BINARY, deflated(b"a" * 50, final=True), reserved=4)

    assert socket.receive_data(frame + frame) == [b"a" * 50] * 2


def test_a_visitor_may_leave_a_message_uncompressed():
    """With compression agreed upon, each message says whether it is compressed."""
    socket, visitor = opened(deflate=True)
    plain = raw_frame(TEXT, b"pl", fin=False) + raw_frame(CONT, b"ain")

    assert socket.receive_data(plain + visitor.say("packed") + plain) == [
        "plain", "packed", "plain"
    ]  # fmt: skip


def test_a_ping_reaches_the_visitor():
    """A ping is sent while the WebSocket is open, and not once it is closing."""
    socket, visitor = opened()
    socket.ping()
    deliver(socket, visitor)
    assert visitor.pings == [b""]

    socket.close(1000, "")
    socket.data_to_send()
    socket.ping()
    assert socket.data_to_send() == b""


# The end


def test_the_visitors_close_is_echoed_and_ends_it():
    """Code and reason are the visitor's; the same goes back, and then the end."""
    socket, visitor = opened()
    assert socket.receive_data(visitor.say("last") + visitor.bid_farewell(3001, "bye")) == ["last"]
    assert socket.closure == Closure(3001, "bye")
    assert socket.is_over

    deliver(socket, visitor)
    assert visitor.closed_with == (3001, "bye")


def test_a_close_without_a_code_is_1005():
    """RFC 6455 §7.1.5 has a number for none."""
    socket, _ = opened()
    socket.receive_data(raw_frame(CLOSE))

    assert (socket.closure, socket.is_over) == (Closure(1005, ""), True)


def test_our_close_waits_for_the_visitors():
    """Messages that cross our Close are dropped; the visitor's Close ends it."""
    socket, visitor = opened()
    crossing = visitor.say("crossing") + visitor.say_in_fragments(b"binary")
    socket.close(4000, "enough")
    assert socket.closure == Closure(4000, "enough")
    assert not socket.is_over

    deliver(socket, visitor)
    assert visitor.closed_with == (4000, "enough")
    assert socket.receive_data(crossing) == []
    assert not socket.is_over
    socket.receive_data(visitor.data_to_send())

    assert socket.is_over
    assert socket.closure == Closure(4000, "enough")
    assert socket.data_to_send() == b""


def test_a_second_close_is_not_sent():
    """Closing twice, or after the visitor did, sends one Close."""
    socket, visitor = opened()
    socket.receive_data(visitor.bid_farewell(1000))
    once = socket.data_to_send()
    socket.close(1001, "")
    socket.fail(1011, "")

    assert once
    assert socket.data_to_send() == b""
    assert socket.closure == Closure(1000, "")


def test_an_end_without_a_close_is_no_closure():
    """FIN alone: over, and nobody said why."""
    socket, _ = opened()
    socket.receive_eof()

    assert socket.is_over
    assert socket.closure is None
    assert socket.data_to_send() == b""


def test_failing_ends_it_without_waiting():
    """A Close is sent and the end is due at once."""
    socket, visitor = opened()
    socket.fail(1012, "")
    assert socket.is_over
    deliver(socket, visitor)

    assert visitor.closed_with == (1012, "")
    assert socket.receive_data(visitor.data_to_send() + raw_frame(TEXT, b"x")) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0, ""), (999, ""), (1004, ""), (1005, ""), (1006, ""), (1015, ""), (2999, ""), (5000, ""),
     (1000, "x" * 124), (1000, "é" * 62)],
)  # fmt: skip
def test_a_close_that_can_not_be_sent_is_refused(code, reason):
    """A code that RFC 6455 §7.4 keeps off the wire, or a reason above 123 bytes; it stays open."""
    socket, visitor = opened()
    with pytest.raises(LocalProtocolError, match=str(code)):
        socket.close(code, reason)
    socket.send("still here")
    deliver(socket, visitor)

    assert visitor.messages == ["still here"]


def test_nothing_is_sent_after_a_close():
    """A message after a Close of either side raises."""
    socket, _ = opened()
    socket.close(1000, "")

    with pytest.raises(LocalProtocolError):
        socket.send("too late")


# Bad input

HOSTILE = {
    "an unmasked frame": (raw_frame(TEXT, b"x", masked=False), 1002),
    "a reserved bit": (raw_frame(TEXT, b"x", reserved=1), 1002),
    "RSV1 without compression": (raw_frame(TEXT, b"x", reserved=4), 1002),
    "RSV1 on a ping": (raw_frame(PING, reserved=4), 1002),
    "a reserved opcode": (raw_frame(3), 1002),
    "a reserved control opcode": (raw_frame(11), 1002),
    "a ping of 126 bytes": (raw_frame(PING, b"x" * 126), 1002),
    "a fragmented ping": (raw_frame(PING, fin=False), 1002),
    "a continuation of nothing": (raw_frame(CONT, b"x"), 1002),
    "a message within a message": (raw_frame(TEXT, b"x", fin=False) + raw_frame(TEXT), 1002),
    "a close of one byte": (raw_frame(CLOSE, b"\x03"), 1002),
    "a close code of 999": (raw_frame(CLOSE, b"\x03\xe7"), 1002),
    "a close code of 1006": (raw_frame(CLOSE, b"\x03\xee"), 1002),
    "bad UTF-8 in a close": (raw_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "bad UTF-8": (raw_frame(TEXT, b"caf\xe9"), 1007),
    "UTF-8 cut off": (raw_frame(TEXT, b"\xe2\x82"), 1007),
    "a surrogate": (raw_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "bad UTF-8 in a fragment": (raw_frame(TEXT, b"ok\xff", fin=False), 1007),
    "UTF-8 cut off in fragments": (
        raw_frame(TEXT, b"\xe2", fin=False) + raw_frame(CONT, b"\x82"),
        1007,
    ),
    "a frame of 8 EiB": (raw_frame(BINARY, b"x", length=(1 << 63) - 1), 1009),
    "a frame of 2^64 - 1 bytes": (raw_frame(BINARY, b"x", length=(1 << 64) - 1), 1009),
}


@DEFLATE
@pytest.mark.parametrize("step", [1, 10**6])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_broken_rule_closes_with_its_code(what, step, deflate):
    """What came before it is delivered, what comes after it is not."""
    wire, code = HOSTILE[what]
    if deflate and what == "RSV1 without compression":
        wire = raw_frame(TEXT, b"x", reserved=6)
    socket, visitor = opened(deflate=deflate)
    after = raw_frame(CONT if what == "bad UTF-8 in a fragment" else TEXT, b"after")
    wire = visitor.say("before") + wire + after
    parts = [wire[at : at + step] for at in range(0, len(wire), step)]

    assert [m for part in parts for m in socket.receive_data(part)] == ["before"]
    assert socket.is_over
    deliver(socket, visitor)
    assert visitor.closed_with[0] == code
    if what not in ("a close of one byte", "bad UTF-8 in a close"):
        assert socket.closure == visitor.closed_with


def test_bad_text_is_refused_before_its_end():
    """A fragment that can't be text closes at once: its message need not be completed."""
    socket, visitor = opened()

    assert socket.receive_data(raw_frame(TEXT, b"\xe2", fin=False)) == []
    assert not socket.is_over
    assert socket.receive_data(raw_frame(CONT, b"x", fin=False)) == []
    assert socket.is_over
    deliver(socket, visitor)
    assert visitor.closed_with[0] == 1007


@pytest.mark.parametrize(
    "wire",
    [
        raw_frame(TEXT, b"\xff\xff\xff", reserved=4),
        raw_frame(TEXT, deflated(b"x" * 9), reserved=4, fin=False)
        + raw_frame(CONT, b"", reserved=4),
        raw_frame(TEXT, b"x", reserved=6),
    ],
    ids=["noise", "RSV1 on a continuation", "RSV2"],
)
def test_broken_compression_closes_with_1002(wire):
    """What does not inflate, or is marked twice, is a protocol error."""
    socket, visitor = opened(deflate=True)

    assert socket.receive_data(wire) == []
    deliver(socket, visitor)
    assert visitor.closed_with[0] == 1002


@DEFLATE
@pytest.mark.parametrize("fragmented", [False, True], ids=["whole", "fragmented"])
@pytest.mark.parametrize("content", ["zeros", "noise"])
@pytest.mark.parametrize("limit", [1, 300, 100_000])
def test_exactly_the_limit_passes_and_one_more_byte_closes_with_1009(
    deflate, fragmented, content, limit
):
    """The limit is about what the message says, however it is packed."""
    data = bytes(limit + 1) if content == "zeros" else os.urandom(limit + 1)
    for message in (data[:limit], data):
        socket, visitor = opened(limit=limit, deflate=deflate)
        if fragmented:
            wire = visitor.say_in_fragments(message, max(limit // 3, 1))
        else:
            wire = visitor.say(message)
        heard = socket.receive_data(wire)
        deliver(socket, visitor)
        if len(message) == limit:
            assert heard == [message]
            assert visitor.closed_with is None
        else:
            assert heard == []
            assert visitor.closed_with[0] == 1009


def test_a_ping_near_the_limit_is_no_part_of_the_message():
    """Control frames do not count."""
    socket, visitor = opened(limit=200)
    socket.receive_data(raw_frame(BINARY, b"x" * 199, fin=False) + raw_frame(PING, b"?" * 125))

    assert socket.receive_data(raw_frame(CONT, b"x")) == [b"x" * 200]
    deliver(socket, visitor)
    assert visitor.pongs == [b"?" * 125]


def peak_of(action):
    """The most memory that Python's allocator had in use above the start, in bytes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fragments", [1, 8])
def test_a_deflate_bomb_closes_with_1009_in_little_memory(fragments):
    """No more is inflated than the limit allows: 64 MiB of zeros cost about the limit."""
    limit = MIB
    socket, visitor = opened(limit=limit, deflate=True)
    packed = deflated(bytes(64 * MIB))
    part = -(-len(packed) // fragments)
    cuts = [packed[at : at + part] for at in range(0, len(packed), part)]
    wire = b"".join(
        raw_frame(CONT if index else BINARY, cut, reserved=0 if index else 4, fin=cut is cuts[-1])
        for index, cut in enumerate(cuts)
    )

    assert peak_of(lambda: socket.receive_data(wire)) < 4 * limit
    deliver(socket, visitor)
    assert visitor.closed_with[0] == 1009


def test_a_bomb_at_the_very_limit_stays_within_it():
    """A fragment of just the limit, and then one that inflates to a thousand times its size."""
    limit = 200_000
    socket, visitor = opened(limit=limit, deflate=True)
    compressor = zlib.compressobj(wbits=-12)
    first = compressor.compress(bytes(limit)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    second = compressor.compress(bytes(4 * MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    wire = raw_frame(BINARY, first, reserved=4, fin=False) + raw_frame(CONT, second[:4000])

    assert peak_of(lambda: socket.receive_data(wire)) < 4 * limit
    deliver(socket, visitor)
    assert visitor.closed_with[0] == 1009


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"xyz"])
def test_a_message_in_countless_fragments_costs_its_bytes(data):
    """20,000 fragments take up what is in them, not an object each."""
    socket, _ = opened()
    fragments = raw_frame(CONT, data, fin=False) * 1000
    socket.receive_data(raw_frame(BINARY, data, fin=False))

    def receive():
        for _ in range(20):
            socket.receive_data(fragments)

    assert peak_of(receive) < 400_000
    assert socket.receive_data(raw_frame(CONT)) == [data * 20_001]


def test_nothing_that_is_said_is_logged(caplog):
    """Neither messages nor reasons are in the log, at any level."""
    caplog.set_level(logging.DEBUG)
    socket, visitor = opened()
    socket.receive_data(visitor.say("s3cret"))
    socket.send("s3cret")
    socket.receive_data(visitor.bid_farewell(1000, "s3cret"))
    socket.receive_eof()

    assert not [r for r in caplog.records if r.name != "websockets.client"]
