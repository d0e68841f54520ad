"""The heads of requests and answers, against dumps, against pycapnp, and against bad input."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.protocol import datastream, metadata
from asgi_quicktunnel.protocol.datastream import (
    DATA_SIGNATURE,
    MAX_HEAD_BYTES,
    MAX_METADATA,
    RPC_SIGNATURE,
    VERSION,
    AnswerReader,
    OpeningReader,
    StreamKind,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    read_request,
)

from tests_support import capnp_messages as oracle
from tests_support.vectors import read_vector

PREAMBLE = DATA_SIGNATURE + VERSION
DUMPED_REQUEST = RequestHead(
    kind=RequestKind.HTTP,
    dest=b"https://t.example/a?b=1",
    method="GET",
    host=b"t.example",
    headers=[],
)
REQUEST = RequestHead(
    kind=RequestKind.WEBSOCKET,
    dest=b"https://t.example/%C3%A9?q=\xc3\xa9",
    method="M-SEARCH",
    host=b"t.example:8443",
    headers=[
        (b"accept", b"text/html"),
        (b"cookie", b"a=1"),
        (b"x-latin", b"caf\xe9"),
        (b"cookie", b"b=2"),
        (b"x-empty", b""),
    ],
)
RESPONSE = ResponseHead(
    404,
    [
        (b"set-cookie", b"a=1; Path=/"),
        (b"content-type", b"text/plain; charset=latin-1"),
        (b"set-cookie", b"b=\xff"),
        (b"host", b"kept in answers"),
    ],
)

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
names = st.text(TOKEN_CHARACTERS, min_size=1, max_size=40).map(str.encode)
values = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=60).map(
    str.encode
)
headers = st.lists(st.tuples(names.filter(lambda name: name != b"host"), values), max_size=12)
methods = st.text(TOKEN_CHARACTERS.upper(), min_size=1, max_size=12)
dests = st.text(st.characters(codec="utf-8", min_codepoint=0x21, exclude_characters="\x7f")).map(
    str.encode
)
requests = st.builds(
    RequestHead,
    kind=st.sampled_from(RequestKind),
    dest=dests,
    method=methods,
    host=values,
    headers=headers,
)
responses = st.builds(
    ResponseHead,
    status=st.integers(100, 999),
    headers=st.lists(st.tuples(names, values), max_size=12),
    error=st.none(),
)
first_segments = st.none() | st.integers(1, 40)


def request_message(*entries, dest=b"/", kind=0):
    message = oracle.datastream().ConnectRequest.new_message()
    message.dest = dest
    message.type = kind
    return _with_metadata(message, entries)


def response_message(*entries):
    return _with_metadata(oracle.datastream().ConnectResponse.new_message(), entries)


def _with_metadata(message, entries):
    metadata = message.init("metadata", len(entries))
    for entry, (key, value) in zip(metadata, entries, strict=True):
        entry.key = key
        entry.val = value
    return message.to_bytes()


# The dumps of protocol.md §13


def test_the_dumped_request_is_read_and_written():
    """A request is read as §13.1 says, and written as the same bytes."""
    wire = read_vector("connect_request")
    assert wire.startswith(PREAMBLE)
    assert decode_request(wire[8:]) == DUMPED_REQUEST
    assert encode_request(DUMPED_REQUEST) == wire


def test_the_dumped_response_is_read_and_written():
    """An answer is read as §13.2 says, and written as the same bytes."""
    wire = read_vector("connect_response")
    assert decode_response(wire[8:]) == ResponseHead(200, [])
    assert encode_response(ResponseHead(200)) == wire


def test_the_dumped_error_is_read():
    """An error reply is a 502 with the error's text, with an empty list of metadata or none."""
    wire = read_vector("connect_error")
    assert decode_response(wire[8:]) == ResponseHead(502, error="boom")
    # cloudflared writes no list at all, and so do we: two words less.
    own = encode_response(ResponseHead(502, error="boom"))
    assert decode_response(own[8:]) == ResponseHead(502, error="boom")
    assert len(own) == len(wire) - 8


# pycapnp as the oracle


@given(requests, first_segments)
def test_requests_of_pycapnp_are_read(head, first_segment):
    """Whatever pycapnp writes is read as what it was, in one segment or in many."""
    assert decode_request(oracle.oracle_request(head, first_segment=first_segment)) == head


@given(responses, first_segments)
def test_responses_of_pycapnp_are_read(head, first_segment):
    """Whatever pycapnp writes is read as what it was, in one segment or in many."""
    assert decode_response(oracle.oracle_response(head, first_segment=first_segment)) == head


@given(requests)
def test_requests_are_read_by_pycapnp(head):
    """What we write, pycapnp reads; method and host first, headers in order."""
    dest, kind, pairs = oracle.read_oracle_request(encode_request(head)[8:])
    expected = [("HttpMethod", head.method)]
    if head.host:
        expected.append(("HttpHost", head.host.decode()))
    expected += [(f"HttpHeader:{name.decode()}", value.decode()) for name, value in head.headers]
    assert (dest, kind, pairs) == (head.dest.decode(), head.kind.value, expected)


@given(responses)
def test_responses_are_read_by_pycapnp(head):
    """What we write, pycapnp reads; status first, headers in order."""
    error, pairs = oracle.read_oracle_response(encode_response(head)[8:])
    expected = [("HttpStatus", str(head.status))]
    expected += [(f"HttpHeader:{name.decode()}", value.decode()) for name, value in head.headers]
    assert (error, pairs) == ("", expected)


@given(requests)
def test_our_requests_are_pycapnp_s_byte_for_byte(head):
    """Given the same facts we lay a message out as pycapnp does."""
    if head.host:
        assert encode_request(head)[8:] == oracle.oracle_request(head)


@given(responses)
def test_our_responses_are_pycapnp_s_byte_for_byte(head):
    """Given the same facts we lay a message out as pycapnp does."""
    assert encode_response(head)[8:] == oracle.oracle_response(head)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=80))
def test_errors_pass_both_ways(error):
    """An error's text comes through, between us and pycapnp and back, with no metadata."""
    head = ResponseHead(502, error=error)
    assert decode_response(encode_response(head)[8:]) == head
    assert decode_response(oracle.oracle_response(head)) == head
    assert oracle.read_oracle_response(encode_response(head)[8:]) == (error, [])


@given(
    st.lists(st.tuples(names, st.binary(max_size=30).filter(lambda v: not set(v) & set(b"\r\n\0"))))
)
def test_header_values_are_bytes(pairs):
    """Values need not be text of any encoding."""
    assert decode_response(encode_response(ResponseHead(200, pairs))[8:]).headers == pairs


def test_what_we_write_we_read():
    """Order, repetition, empty and non-ASCII values are kept, for both heads."""
    assert decode_request(encode_request(REQUEST)[8:]) == REQUEST
    assert decode_response(encode_response(RESPONSE)[8:]) == RESPONSE


# What a request may hold


def test_names_come_in_lower_case():
    """cloudflared and the edge write Title-Case."""
    message = request_message(("HttpHeader:X-Foo", "Bar"), ("HttpHeader:ETag", "Q"))
    assert decode_request(message).headers == [(b"x-foo", b"Bar"), (b"etag", b"Q")]


def test_of_single_keys_the_last_one_counts():
    """HttpMethod, HttpHost and HttpStatus may come twice (protocol.md §6.1)."""
    message = request_message(
        ("HttpMethod", "PUT"), ("HttpHost", "one"), ("HttpHost", "two"), ("HttpMethod", "POST")
    )
    head = decode_request(message)
    assert (head.method, head.host) == ("POST", b"two")
    assert decode_response(response_message(("HttpStatus", "200"), ("HttpStatus", "503"))) == (
        ResponseHead(503, [])
    )


def test_an_empty_method_is_get():
    """No method, an empty one, and nothing at all in the message (protocol.md §6.1)."""
    assert decode_request(request_message(("HttpMethod", ""))).method == "GET"
    assert decode_request(oracle.frame(bytes(8))) == RequestHead(RequestKind.HTTP, b"", headers=[])


def test_keys_that_are_not_known_are_left_out():
    """FlowID, cf-trace-id and whatever else comes is no header; HttpHost alone names the host."""
    message = request_message(
        ("FlowID", "1"), ("cf-trace-id", "2"), ("HttpHeader:Host", "3"), ("", ""), ("HTTPHOST", "4")
    )
    head = decode_request(message)
    assert (head.headers, head.host) == ([], b"")


@pytest.mark.parametrize("kind", RequestKind)
def test_every_kind_of_request_is_told(kind):
    """HTTP, WebSocket and TCP are 0, 1 and 2."""
    assert decode_request(request_message(kind=kind.value)).kind is kind


def test_other_kinds_are_refused():
    """A connection type that does not exist."""
    message = bytearray(request_message())
    message[16:18] = pack("<H", 3)
    with pytest.raises(RemoteProtocolError, match="unknown type 3"):
        decode_request(bytes(message))


@pytest.mark.parametrize("dest", ["a b", "/\n", "/\x7f", "/\0", "\t/"])
def test_destinations_with_control_characters_are_refused(dest):
    """Nothing in dest may end a line or a word of an HTTP request."""
    with pytest.raises(RemoteProtocolError, match="destination"):
        decode_request(request_message(dest=dest))


@pytest.mark.parametrize("method", ["G T", "GET\t", "GÉT", "A:B", " "])
def test_methods_that_are_no_token_are_refused(method):
    """RFC 9110 §9.1."""
    with pytest.raises(RemoteProtocolError, match="method"):
        decode_request(request_message(("HttpMethod", method)))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\r\nb", "a\0", "\x7f"])
def test_header_names_that_are_no_token_are_refused(name):
    """RFC 9110 §5.1; cloudflared refuses a second colon too (protocol.md §6.1)."""
    with pytest.raises(RemoteProtocolError, match="header name"):
        decode_request(request_message((f"HttpHeader:{name}", "x")))
    with pytest.raises(RemoteProtocolError, match="header name"):
        decode_response(response_message((f"HttpHeader:{name}", "x"), ("HttpStatus", "200")))


@pytest.mark.parametrize("text", ["key", "value"])
def test_texts_need_their_nul(text):
    """A key or value that runs into what follows it is refused, on the hot path too."""
    message = request_message(("HttpHeader:abcd", "1234567"))
    end = {"key": b"abcd\0", "value": b"1234567\0"}[text]
    assert message.count(end) == 1
    with pytest.raises(RemoteProtocolError, match="NUL"):
        decode_request(message.replace(end, end[:-1] + b"x"))


@pytest.mark.parametrize("value", ["a\r", "\n", "a\r\nb: c", "a\0b"])
@pytest.mark.parametrize("key", ["HttpHeader:x", "HttpHost", "FlowID"])
def test_values_with_line_breaks_are_refused(key, value):
    """CR, LF and NUL (RFC 9110 §5.5), also where the value would not be used."""
    with pytest.raises(RemoteProtocolError, match="CR, LF or NUL"):
        decode_request(request_message((key, value)))


@pytest.mark.parametrize("status", ["", "99", "1000", "0200", "+200", " 200", "20x", "٢٠٠", "000"])
def test_statuses_that_are_none_are_refused(status):
    """Three ASCII digits, 100 to 999."""
    with pytest.raises(RemoteProtocolError, match="status"):
        decode_response(response_message(("HttpStatus", status)))


def test_an_answer_needs_a_status():
    """Without error and without HttpStatus there is nothing to say to the visitor."""
    with pytest.raises(RemoteProtocolError, match="status"):
        decode_response(response_message(("HttpHeader:a", "b")))


def test_what_comes_with_an_error_does_not_matter():
    """A status or malformed metadata beside an error's text change nothing."""
    message = oracle.datastream().ConnectResponse.new_message()
    message.error = "refused"
    entry = message.init("metadata", 1)[0]
    entry.key = "HttpHeader:a b"
    assert decode_response(message.to_bytes()) == ResponseHead(502, error="refused")


def test_an_error_s_text_need_not_be_utf_8():
    """Bytes that are no UTF-8 are replaced: the text is for people."""
    wire = encode_response(ResponseHead(502, error="??")).replace(b"??", b"\xff?")
    assert decode_response(wire[8:]).error == "�?"


def test_as_many_entries_as_allowed():
    """1,000 metadata entries are read, 1,001 are not."""
    entries = [("HttpStatus", "200")] + [("HttpHeader:a", "")] * (MAX_METADATA - 1)
    assert len(decode_response(response_message(*entries)).headers) == MAX_METADATA - 1
    with pytest.raises(RemoteProtocolError, match="1001"):
        decode_response(response_message(*entries, ("HttpHeader:a", "")))


def test_entries_of_no_size_are_counted():
    """A list that claims half a billion structs of no size is refused at once."""
    message = oracle.frame(
        oracle.struct_pointer(0, 0, 2)
        + bytes(8)
        + oracle.list_pointer(0, 7, 0)
        + oracle.struct_pointer((1 << 29) - 1, 0, 0)
    )
    with pytest.raises(RemoteProtocolError, match="536870911"):
        decode_response(message)


@given(requests)
def test_a_request_reads_the_same_each_time(head):
    """Its layout is remembered from the second time on, and the result is no other."""
    message = encode_request(head)[8:]
    assert decode_request(message) == decode_request(message) == decode_request(message)


def _met(head):
    """The message of a request whose layout is known by now."""
    message = encode_request(head)[8:]
    for _ in range(3):
        assert decode_request(message).headers == head.headers
    return message


def test_other_values_in_a_known_layout_are_read():
    """Of metadata with the same lengths each brings its own keys and values."""
    _met(REQUEST)
    for name in (b"cookie", b"kookie"):
        other = [(name, b"z=" + value[2:]) for _, value in REQUEST.headers[1:2]]
        head = RequestHead(
            REQUEST.kind,
            b"/",
            "GREATEST",
            b"u.example:8444",
            [REQUEST.headers[0], *other, *REQUEST.headers[2:]],
        )
        assert decode_request(encode_request(head)[8:]) == head


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0"])
def test_a_known_layout_does_not_hide_line_breaks(bad):
    """Values are looked at each time."""
    message = _met(REQUEST)
    with pytest.raises(RemoteProtocolError, match="CR, LF or NUL"):
        decode_request(message.replace(b"b=2", b"b" + bad + b"2"))


def test_a_known_layout_does_not_hide_a_missing_nul():
    """Nor is a text without its NUL taken, or one that is cut off."""
    message = _met(REQUEST)
    with pytest.raises(RemoteProtocolError, match="NUL"):
        decode_request(message.replace(b"b=2\0", b"b=23"))
    with pytest.raises(RemoteProtocolError, match="outside"):
        decode_request(oracle.frame(message[8:-8]))


def test_padding_is_nobody_s_business():
    """What lies between two texts is not read, in a known layout either."""
    message = _met(REQUEST)
    assert decode_request(message.replace(b"b=2\0\0", b"b=2\0x")) == REQUEST


@pytest.mark.parametrize("change", [1, 2, 4, 8, 0x80, 0xFF])
def test_a_known_shape_changes_no_judgement(change):
    """Whatever one byte is changed to, a request reads or fails as one that was never met."""

    def judged(message):
        try:
            return decode_request(message)
        except RemoteProtocolError as exc:
            return str(exc)

    known = _met(REQUEST)
    for position in range(len(known)):
        message = bytearray(known)
        message[position] ^= change
        metadata.request_shapes.clear()
        fresh = judged(bytes(message))
        _met(REQUEST)
        assert judged(bytes(message)) == fresh, position


def test_a_layout_out_of_order_is_not_remembered():
    """Texts that lie elsewhere are read one by one, however often they come."""
    words = oracle.text(b"b") + oracle.text(b"HttpHeader:a")
    pointers = oracle.list_pointer(2, 2, 13) + oracle.list_pointer(0, 2, 2)
    entries = oracle.list_pointer(0, 7, 2) + oracle.struct_pointer(1, 0, 2) + pointers
    root = oracle.struct_pointer(0, 1, 2) + bytes(16)
    message = oracle.frame(root + entries + words)
    for _ in range(3):
        assert decode_request(message).headers == [(b"a", b"b")]


def test_a_flood_of_layouts_is_not_remembered():
    """Visitors choose the lengths; what is kept of them is bounded."""
    for size in range(600):
        _met(RequestHead(RequestKind.HTTP, b"/", headers=[(b"a", b"x" * size)]))
    assert len(metadata.request_shapes) <= 128
    _met(RequestHead(RequestKind.HTTP, b"/", headers=[(b"a", b"x")] * 100))
    assert all(len(words) <= 1032 for words in metadata.request_shapes)


def test_a_flood_of_names_is_not_remembered():
    """Names that visitors make up neither grow our tables nor push a known key's meaning out."""
    known = metadata.request_keys
    for batch in range(30):
        entries = [(f"HttpHeader:x-{batch}-{i}-{'y' * (2 * i)}", "") for i in range(100)]
        decode_request(request_message(("HttpMethod", "PUT"), *entries))
    assert len(known) <= 1024
    assert max(map(len, known)) <= 128
    assert decode_request(request_message(("HttpMethod", "PUT"))).method == "PUT"

    written = metadata._header_keys
    for batch in range(30):
        heads = [(f"x-{batch}-{i}-{'y' * (2 * i)}".encode(), b"") for i in range(100)]
        assert decode_response(encode_response(ResponseHead(200, heads))[8:]).headers == heads
    assert len(written) <= 1024
    assert max(map(len, written)) <= 128


def test_answers_that_come_again_are_written_as_before():
    """Known heads and new ones, also with values that can't be remembered."""
    for value in (b"a=1", bytearray(b"a=1"), b"a=1", b"x" * 2000):
        written = encode_response(ResponseHead(200, [(b"set-cookie", value)]))
        assert decode_response(written[8:]).headers == [(b"set-cookie", value)]
    for number in range(300):
        head = ResponseHead(200, [(b"set-cookie", b"%d" % number)])
        assert decode_response(encode_response(head)[8:]) == head
    assert len(datastream._known_responses) <= 256


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PREAMBLE,
        PREAMBLE + bytes(4),
        encode_request(REQUEST)[:-1],
        RPC_SIGNATURE + bytes(200),
        b"\0" * 200,
    ],
)
def test_first_bytes_that_are_no_whole_request_are_left_alone(data):
    """What is cut, or is something else, is for an OpeningReader."""
    assert read_request(data) is None


def test_a_whole_request_is_read_at_once():
    """What follows it comes beside it."""
    assert read_request(encode_request(REQUEST)) == (REQUEST, b"")
    assert read_request(encode_request(REQUEST) + b"body") == (REQUEST, b"body")


# What we refuse to write


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(RequestKind.HTTP, b"/", method=""),
        RequestHead(RequestKind.HTTP, b"/", method="GÉT"),
        RequestHead(RequestKind.HTTP, b"/", method="G\ud800T"),
        RequestHead(RequestKind.HTTP, b"/ /"),
        RequestHead(RequestKind.HTTP, b"/", host=b"a\r\nb"),
        RequestHead(RequestKind.HTTP, b"/", headers=[(b"a b", b"")]),
        RequestHead(RequestKind.HTTP, b"/", headers=[(b"a", b"\n")]),
        RequestHead(RequestKind.HTTP, b"/", headers=[(b"a", b"")] * MAX_METADATA),
        RequestHead(RequestKind.HTTP, b"/" * MAX_HEAD_BYTES),
    ],
)
def test_requests_that_we_would_refuse_are_not_written(head):
    """Whoever asks for them hears of it, and nothing goes out."""
    with pytest.raises(LocalProtocolError):
        encode_request(head)


@pytest.mark.parametrize(
    "head",
    [
        ResponseHead(99),
        ResponseHead(1000),
        ResponseHead(502, error=""),
        ResponseHead(200, [(b"", b"")]),
        ResponseHead(200, [(b"a:", b"")]),
        ResponseHead(200, [(b"a", b"b\r\nc: d")]),
        ResponseHead(200, [(b"a", b"\0")]),
        ResponseHead(200, [(b"a", b"")] * MAX_METADATA),
        ResponseHead(200, [(b"a", b"x" * MAX_HEAD_BYTES)]),
        ResponseHead(502, error="x" * MAX_HEAD_BYTES),
    ],
)
def test_responses_that_we_would_refuse_are_not_written(head):
    """A header that breaks out of its line, an error without text, too much of anything."""
    with pytest.raises(LocalProtocolError):
        encode_response(head)


def test_an_error_may_hold_anything():
    """An error's text that can't be encoded is sent as far as it can."""
    wire = encode_response(ResponseHead(502, error="\ud800 broke"))
    assert decode_response(wire[8:]).error == "? broke"


# The beginning of a stream


def test_the_largest_head_is_read():
    """A head of exactly 256 KiB."""
    room = MAX_HEAD_BYTES - len(encode_response(ResponseHead(200, [(b"a", b"")]))) + 8
    head = ResponseHead(200, [(b"a", b"x" * (room + 7))])
    wire = encode_response(head)
    assert len(wire) == 8 + MAX_HEAD_BYTES
    assert AnswerReader().receive_data(wire) == head


@pytest.mark.parametrize("kind", ["request", "response"])
def test_heads_survive_every_cut(kind):
    """However a stream's beginning is cut, the same head comes out, and the body behind it."""
    reader, wire, head = {
        "request": (OpeningReader, encode_request(REQUEST), REQUEST),
        "response": (AnswerReader, encode_response(RESPONSE), RESPONSE),
    }[kind]
    for cut in range(1, len(wire) + 1):
        one = reader()
        first = one.receive_data(wire[:cut])
        if cut < len(wire):
            assert first is None
            assert one.rest == b""
            first = one.receive_data(wire[cut:] + b"body")
            assert one.rest == b"body"
        assert first == head
    byte_by_byte = reader()
    received = [byte_by_byte.receive_data(bytes([byte])) for byte in wire]
    assert received == [None] * (len(wire) - 1) + [head]
    assert byte_by_byte.rest == b""


def test_an_rpc_stream_is_told_at_its_signature():
    """A stream of calls has no version and no message: what follows is the RPC's."""
    reader = OpeningReader()
    assert reader.receive_data(RPC_SIGNATURE[:2]) is None
    assert reader.receive_data(RPC_SIGNATURE[2:] + b"calls") is StreamKind.RPC
    assert reader.rest == b"calls"


def test_the_version_is_read_and_not_checked():
    """Any two bytes (protocol.md §6.1)."""
    wire = read_vector("connect_request")
    assert OpeningReader().receive_data(wire[:6] + b"\xff\0" + wire[8:]) == DUMPED_REQUEST


@pytest.mark.parametrize("reader", [OpeningReader, AnswerReader])
@pytest.mark.parametrize("data", [b"G", b"\x0a\x37", DATA_SIGNATURE[:5] + b"?", b"\x52\xbb\0"])
def test_other_signatures_are_refused_at_the_first_wrong_byte(reader, data):
    """Nothing is waited for once no signature can come of it."""
    with pytest.raises(RemoteProtocolError, match="begins with"):
        reader().receive_data(data)


def test_an_answer_is_no_rpc():
    """The connector never answers a request with calls."""
    with pytest.raises(RemoteProtocolError, match="begins with"):
        AnswerReader().receive_data(RPC_SIGNATURE)


@pytest.mark.parametrize("table", [pack("<II", 0, 1 << 15), pack("<I", 512)])
def test_heads_that_are_too_large_are_refused_by_their_table(table):
    """The size that is declared is enough; and nothing above the limit is ever kept."""
    with pytest.raises(RemoteProtocolError, match="at most"):
        OpeningReader().receive_data(PREAMBLE + table)


def test_a_head_is_read_once():
    """What follows the head is not the reader's."""
    reader = OpeningReader()
    reader.receive_data(read_vector("connect_request"))
    with pytest.raises(LocalProtocolError):
        reader.receive_data(b"body")
