"""The rules of an answer."""

import pytest

from asgi_quicktunnel.emulator.answer import AnswerRules
from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead

KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT = (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")  # protocol.md §6.6


@pytest.fixture
def reported():
    return []


@pytest.fixture
def rules_for(reported):
    def build(method="GET", kind=RequestKind.HTTP):
        head = RequestHead(kind, b"http://h/", method, headers=[KEY])
        return AnswerRules(head, lambda rule, detail: reported.append(rule))

    return build


def added(headers):
    """Without what the edge itself adds."""
    return [item for item in headers if item[0] not in (b"date", b"server")]


def test_an_ordinary_answer(rules_for, reported):
    """Headers, body and end pass as they are; the edge names itself and the time."""
    rules = rules_for()
    headers = rules.take_head(
        ResponseHead(200, [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-length", b"3")])
    )
    assert added(headers) == [
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"content-length", b"3"),
    ]
    assert dict(headers)[b"server"] == b"cloudflare"
    assert dict(headers)[b"date"].endswith(b" GMT")
    assert rules.take_data(b"ab") == b"ab"
    assert rules.take_data(b"c") == b"c"
    assert rules.take_end()
    assert reported == []


def test_the_origins_date_is_kept(rules_for):
    """Date is added only where the origin gave none; Server is the edge's."""
    headers = rules_for().take_head(
        ResponseHead(200, [(b"date", b"then"), (b"server", b"uvicorn")])
    )
    assert headers == [(b"date", b"then"), (b"server", b"cloudflare")]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)]
)
def test_bodies_where_none_may_be(rules_for, reported, method, status):
    """They are kept from the visitor; the answer is whole without them."""
    rules = rules_for(method)
    rules.take_head(ResponseHead(status))
    assert rules.take_data(b"") == b""
    assert reported == []
    assert rules.take_data(b"body") == b""
    assert rules.is_over
    assert rules.take_end()
    assert reported == [Rule.BODY_FORBIDDEN]


def test_a_body_beyond_its_length(rules_for, reported):
    """What is too much is cut off, and nothing more need be read."""
    rules = rules_for()
    rules.take_head(ResponseHead(200, [(b"content-length", b"4")]))
    assert rules.take_data(b"abc") == b"abc"
    assert not rules.is_over
    assert rules.take_data(b"def") == b"d"
    assert rules.is_over
    assert rules.take_end()
    assert reported == [Rule.BODY_LENGTH]


def test_a_body_short_of_its_length(rules_for, reported):
    """It is no whole answer."""
    rules = rules_for()
    rules.take_head(ResponseHead(200, [(b"content-length", b"4")]))
    rules.take_data(b"abc")
    assert not rules.take_end()
    assert reported == [Rule.BODY_LENGTH]


@pytest.mark.parametrize("lengths", [[b"x"], [b"-1"], [b""], [b"1", b"2"], [b"9" * 30]])
def test_lengths_that_are_none(rules_for, reported, lengths):
    """The body then has no length towards the visitor."""
    rules = rules_for()
    headers = rules.take_head(ResponseHead(200, [(b"content-length", value) for value in lengths]))
    assert b"content-length" not in dict(headers)
    assert rules.take_data(b"anything") == b"anything"
    assert rules.take_end()
    assert reported == [Rule.BODY_LENGTH]


def test_a_length_that_comes_twice(rules_for, reported):
    """The same length twice is one length."""
    headers = rules_for().take_head(ResponseHead(200, [(b"content-length", b"1")] * 2))
    assert added(headers) == [(b"content-length", b"1")]
    assert reported == []


def test_no_length_with_204(rules_for, reported):
    """RFC 9110 §8.6."""
    assert added(rules_for().take_head(ResponseHead(204, [(b"content-length", b"0")]))) == []
    assert reported == [Rule.BODY_LENGTH]


def test_head_keeps_the_length(rules_for, reported):
    """The length of what GET would bring."""
    rules = rules_for("HEAD")
    assert added(rules.take_head(ResponseHead(200, [(b"content-length", b"9")])))
    assert rules.take_end()
    assert reported == []


@pytest.mark.parametrize("name", [b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"])
def test_hop_by_hop_headers(rules_for, reported, name):
    """They are recorded and taken off."""
    assert added(rules_for().take_head(ResponseHead(200, [(name, b"x")]))) == []
    assert reported == [Rule.HOP_BY_HOP]


def test_values_that_http_does_not_allow(rules_for, reported):
    """Control characters cost the header; blanks around a value are trimmed."""
    headers = [(b"x", b"a\x0bb"), (b"y", b"  a\tb "), (b"z", b"\xff")]
    assert added(rules_for().take_head(ResponseHead(200, headers))) == [
        (b"y", b"a\tb"),
        (b"z", b"\xff"),
    ]
    assert reported == [Rule.HEADER]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(100, RequestKind.HTTP), (103, RequestKind.WEBSOCKET), (101, RequestKind.HTTP)],
)
def test_statuses_that_are_no_answer(rules_for, reported, status, kind):
    """1xx is none, but for 101 to a WebSocket handshake."""
    with pytest.raises(RemoteProtocolError):
        rules_for(kind=kind).take_head(ResponseHead(status))
    assert reported == [Rule.STATUS]


def test_a_switch(rules_for, reported):
    """A whole 101 passes with its headers, and without framing."""
    headers = [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), ACCEPT]
    headers.append((b"content-length", b"0"))
    rules = rules_for(kind=RequestKind.WEBSOCKET)
    assert rules.take_head(ResponseHead(101, headers)) == [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        ACCEPT,
    ]
    assert reported == []


def test_a_switch_without_proof(rules_for, reported):
    """The accept key and the protocol are checked."""
    rules_for(kind=RequestKind.WEBSOCKET).take_head(ResponseHead(101, [ACCEPT[:1] + (b"x",)]))
    assert reported == [Rule.UPGRADE, Rule.UPGRADE]
