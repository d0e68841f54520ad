"""The bytes of an origin, from the well-meant to the hostile."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.origin.tcp_answer import MAX_ANSWER_HEAD, AnswerReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKS = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n"
)
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nhello"
AFTER_1XX = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + LENGTH


def read(data, *, step=1 << 20, **options):
    reader = AnswerReader(**options)
    for start in range(0, len(data), step):
        reader.receive_data(data[start : start + step])
    return reader


@pytest.mark.parametrize("step", [1, 7, 4096])
@pytest.mark.parametrize("wire", [LENGTH, CHUNKS, TO_THE_END, AFTER_1XX])
def test_answers_survive_any_cut(wire, step):
    """However it is cut, the same head and body come out, without chunks, trailers and 1xx."""
    reader = read(wire, step=step)
    if wire is TO_THE_END:
        assert not reader.is_complete
        reader.receive_eof()

    assert b"".join(reader.body) == b"hello"
    assert reader.buffered == 5
    assert reader.is_complete
    assert reader.head.status == (201 if wire is CHUNKS else 200)
    assert reader.is_reusable == (wire is not TO_THE_END)
    names = [name for name, _ in reader.head.headers]
    assert not {b"transfer-encoding", b"trailer", b"x-t", b"link"} & set(names)
    if wire is LENGTH:
        assert reader.head.headers == [(b"content-length", b"5"), (b"x-a", b"1"), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("head", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_another_request_may_follow(head, is_reusable):
    """Version and Connection decide (RFC 9112 §9.3)."""
    reader = read(head + b"\r\n")
    assert reader.is_complete
    assert reader.is_reusable is is_reusable


@pytest.mark.parametrize("surplus", [b"x", b"\0", LENGTH, b"HTTP/1.1 200", b"HTTP/1.1 500 No\r\n"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("wire", "options"),
    [
        (LENGTH, {}),
        (CHUNKS, {}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", {"is_head": True}),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {"is_head": True}),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", {}),
        (b"HTTP/1.1 204 No Content\r\n\r\n", {}),
    ],
)
def test_what_nobody_asked_for_ends_the_connection_and_no_answer(wire, options, surplus, together):
    """The answer is as it was; the connection serves nobody else."""
    if together:
        reader = read(wire + surplus, **options)
    else:
        reader = read(wire, **options)
        assert reader.is_reusable
        reader.receive_data(surplus)

    assert reader.is_complete
    assert not reader.is_reusable
    assert b"".join(reader.body) in (b"hello", b"")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_are_complete_with_their_head(status):
    """A length stays where it says what a GET would give; a 204 has none (RFC 9110 §8.6)."""
    reader = read(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert reader.is_complete
    assert reader.head.headers == ([(b"content-length", b"5")] if status == 304 else [])


def test_the_answer_to_head_has_no_body():
    """Whatever length it declares."""
    reader = read(LENGTH.removesuffix(b"hello"), is_head=True)
    assert reader.is_complete
    assert reader.is_reusable
    assert (b"content-length", b"5") in reader.head.headers


def test_a_switch_keeps_its_headers_and_what_follows_is_raw():
    """101 answers a request that asked for it; nothing behind it is HTTP."""
    wire = b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-A: 1\r\n\r\nraw"
    for step in (1, 1000):
        reader = read(wire + b"HTTP/1.1 200", step=step, may_switch=True)
        assert reader.has_switched
        assert reader.head.headers == [
            (b"connection", b"Upgrade"),
            (b"upgrade", b"x"),
            (b"x-a", b"1"),
        ]
        assert b"".join(reader.body) == b"rawHTTP/1.1 200"
        assert not reader.is_reusable
        reader.receive_eof()
        assert reader.is_complete


def test_a_switch_declined_is_an_ordinary_answer():
    """Also one that advertises protocols, as Apache does."""
    wire = b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok"
    reader = read(wire, may_switch=True)
    assert (reader.head.status, reader.body, reader.is_reusable) == (200, [b"ok"], True)
    assert reader.head.headers == [(b"content-length", b"2")]


def test_headers_of_the_hop_are_dropped():
    """Those of RFC 9110 §7.6.1, and what Connection names."""
    reader = read(
        b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5, max=9\r\n"
        b"X-End: 2\r\nContent-Length: 0\r\n\r\n"
    )
    assert reader.head.headers == [(b"x-end", b"2"), (b"content-length", b"0")]
    assert reader.idle_timeout == 5.0


def test_an_event_stream_is_known_by_its_type():
    """So that a drain can end it."""
    assert read(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").head.is_event_stream


def test_may_continue_is_said_by_100_or_a_final_answer():
    """103 says nothing about the body."""
    reader = AnswerReader()
    reader.receive_data(b"HTTP/1.1 103 Hints\r\n\r\n")
    assert not reader.may_continue
    reader.receive_data(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert reader.may_continue
    assert read(LENGTH).may_continue


HOSTILE = {
    "nothing like it": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d",
    "an unknown version": b"HTTP/2.0 200 OK\r\n\r\n",
    "a status too low": b"HTTP/1.1 099 X\r\n\r\n",
    "a status too short": b"HTTP/1.1 20 X\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "a DEL": b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n",
    "a control": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "a space in a name": b"HTTP/1.1 200 OK\r\nX y: a\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "chunks and length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    ),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "a length beyond reason": b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked twice": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "a misspelt coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a malformed chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a huge chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a switch unasked": b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x46",
}


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("wire", HOSTILE.values(), ids=HOSTILE)
def test_what_is_ambiguous_or_broken_is_refused(wire, step):
    """A RemoteProtocolError of printable text, and nothing to pass on after it."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(wire, step=step)
    assert str(caught.value).isprintable()


def test_a_switch_to_nothing_is_refused():
    """101 names the protocol (RFC 9110 §15.2.2)."""
    with pytest.raises(RemoteProtocolError):
        read(b"HTTP/1.1 101 S\r\n\r\n", may_switch=True)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"", b"HTTP/1.1 102 X\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
    ],
    ids=["long", "many", "one", "reason", "1xx", "trailers", "extension"],
)
def test_endless_heads_and_framing_are_refused(start, more):
    """Memory is bounded: past the limit the answer is given up."""
    reader = AnswerReader()
    reader.receive_data(start)
    allowed = MAX_ANSWER_HEAD // len(more) + 1
    with pytest.raises(RemoteProtocolError, match="more than"):
        feed(reader, more, times=allowed)


def feed(reader, data, *, times):
    for _ in range(times):
        reader.receive_data(data)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nX", "within the head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "middle"),
    ],
)
def test_an_end_too_early_is_said(wire, words):
    """An answer that is cut never passes for whole."""
    reader = read(wire)
    with pytest.raises(RemoteProtocolError, match=words):
        reader.receive_eof()
    assert not reader.is_complete


@given(st.binary(max_size=400), st.integers(1, 50), st.booleans(), st.booleans())
def test_any_bytes_are_an_answer_or_refused(data, step, is_head, may_switch):
    """Whatever comes, only RemoteProtocolError is raised."""
    wire = b"HTTP/1.1 2" + data
    with contextlib.suppress(RemoteProtocolError):
        read(wire, step=step, is_head=is_head, may_switch=may_switch).receive_eof()
