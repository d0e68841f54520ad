"""What is to be different when a request is sent once more."""

import pytest

from asgi_quicktunnel.errors import QuickTunnelError, ReplayError
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.model import RequestKind

from tests_support.recorded import request

SECRET = (b"authorization", b"Bearer secret")


def test_without_edits_it_is_the_same():
    """Head and body, and the length that the body has."""
    head = request("POST", b"/a?b=1", [SECRET], body=b"abc")
    assert Edits().apply(head, b"abc") == (head, b"abc")


def test_a_request_without_a_body_gets_no_length():
    """As most visitors leave it out."""
    head = request(headers=[SECRET])
    assert Edits().apply(head, b"") == (head, b"")


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding"])
def test_the_length_is_that_of_the_body(name):
    """Whatever the original or the edits say of it."""
    head = request("POST", headers=[(name, b"chunked")])
    changed, body = Edits(headers=((name.decode(), "99"),), body=b"longer").apply(head, b"x")
    assert (list(changed.headers), body) == ([(b"content-length", b"6")], b"longer")
    emptied, body = Edits(body=b"").apply(head, b"x")
    assert (list(emptied.headers), body) == ([(b"content-length", b"0")], b"")


@pytest.mark.parametrize(
    ("dest", "expected"),
    [(b"/a?b", b"/new?x=1"), (b"https://a.example/a?b=/#c", b"https://a.example/new?x=1")],
)
def test_the_path_is_replaced_with_its_query(dest, expected):
    """The host stays, in whichever form the edge named it."""
    head, _ = Edits(method="PUT", path="/new?x=1").apply(request(dest=dest), b"")
    assert (head.method, head.dest, head.kind) == ("PUT", expected, RequestKind.HTTP)


def test_a_masked_value_stays_what_it_was():
    """Also where a name comes twice, and in another case."""
    kept = [(b"cookie", b"a=1"), SECRET, (b"cookie", b"b=2"), (b"x", b"y")]
    shown = (("Cookie", "***"), ("authorization", "***"), ("cookie", "c=3"), ("x", "z"))
    head, _ = Edits(headers=shown).apply(request(headers=kept), b"")
    assert head.headers == [(b"cookie", b"a=1"), SECRET, (b"cookie", b"c=3"), (b"x", b"z")]


def test_three_stars_without_an_original_are_three_stars():
    """There is nothing that they could stand for."""
    head, _ = Edits(headers=(("x", "***"),)).apply(request(), b"")
    assert head.headers == [(b"x", b"***")]


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"caf\xe9"])
def test_a_value_that_was_not_changed_keeps_its_bytes(value):
    """Whichever encoding its text was read with."""
    for text in (value.decode("latin-1"), value.decode("utf-8", "replace")):
        head, _ = Edits(headers=(("x", text),)).apply(request(headers=[(b"x", value)]), b"")
        assert head.headers == [(b"x", value)]


@pytest.mark.parametrize(
    "edit",
    [
        {"method": ""},
        {"method": "G T"},
        {"method": "GET\r\nX: y"},
        {"method": "G" * 65},
        {"path": ""},
        {"path": "a"},
        {"path": "http://evil.example/"},
        {"path": "/a b"},
        {"path": "/a\r\nx: y"},
        {"path": "/\u00e9"},
        {"path": "/" + "a" * 16_384},
        {"headers": (("", "x"),)},
        {"headers": (("a b", "x"),)},
        {"headers": (("a\n", "x"),)},
        {"headers": (("a", "x\ny"),)},
        {"headers": (("a", "x\x00"),)},
        {"headers": (("a", "\ud800"),)},
        {"headers": (("a", "x"),) * 1001},
        {"headers": (("a", "x" * (256 << 10)),)},
        {"body": bytes((1 << 20) + 1)},
    ],
)
def test_what_no_request_can_have_is_refused(edit):
    """With a sentence, and the status of a bad request."""
    with pytest.raises(ReplayError) as caught:
        Edits(**edit)
    assert caught.value.status == 400
    assert isinstance(caught.value, QuickTunnelError)
    assert not caught.value.retryable
    assert len(str(caught.value)) < 300


def test_a_refused_value_of_a_header_is_not_repeated():
    """It may be a secret."""
    with pytest.raises(ReplayError) as caught:
        Edits(headers=(("authorization", "secret\n"),))
    assert "secret" not in str(caught.value)


def test_a_million_bytes_are_not_too_many():
    """Exactly the limit is allowed."""
    _, body = Edits(body=bytes(1 << 20), path="/" + "a" * 16_383).apply(request(), b"")
    assert len(body) == 1 << 20
