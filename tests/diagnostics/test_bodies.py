"""A body that was kept, as JSON types."""

import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.diagnostics.bodies import describe_body, first_value, readable_text
from asgi_quicktunnel.diagnostics.unpacking import UNPACKED_LIMIT

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def described(data, content_type=None, *, encoding=None, passed=None):
    headers = []
    if content_type is not None:
        headers.append((b"content-type", content_type.encode()))
    if encoding is not None:
        headers.append((b"content-encoding", encoding.encode()))
    return describe_body(data, len(data) if passed is None else passed, headers)


@pytest.mark.parametrize(
    ("data", "content_type", "kind"),
    [
        (b"", "text/plain", "empty"),
        (b'{"a": 1}', "application/json; charset=utf-8", "json"),
        (b'{"a": 1}', "application/problem+json", "json"),
        (b"not json", "application/json", "json"),
        (b"a=1", "application/x-www-form-urlencoded", "form"),
        (b"hello", "text/plain", "text"),
        (b"hello", None, "text"),
        (b"hello", "application/octet-stream", "text"),
        (b"<svg/>", "image/svg+xml", "text"),
        (b"<p>", "text/html", "text"),
        (b"<a/>", "application/atom+xml", "text"),
        (b"1;", "application/javascript", "text"),
        ("naïve".encode()[:3], None, "text"),
        (PNG, "image/png", "image"),
        (PNG, "text/html", "image"),
        (b"\xff\xd8\xff\xe0", None, "image"),
        (b"GIF89a..", None, "image"),
        (b"RIFF....WEBPVP8 ", None, "image"),
        (b"RIFF....WAVE", None, "text"),
        (b"<script>", "image/png", "text"),
        (b"\x00\x01", None, "binary"),
        (b"\xff\xfe\xfd", "image/png", "binary"),
    ],
)
def test_kinds(data, content_type, kind):
    """An image is what is one; the rest goes by its name, and unnamed text by its looks."""
    body = described(data, content_type)
    assert body["kind"] == kind
    assert (body["text"] is not None) == (kind in ("json", "form", "text"))
    assert (body["base64"] is not None) == (kind in ("image", "binary"))
    assert (body["size"], body["kept"], body["truncated"]) == (len(data), len(data), False)
    assert body["content_type"] == content_type
    if body["base64"] is not None:
        assert base64.b64decode(body["base64"]) == data


def test_what_passed_and_what_is_kept():
    """A body that was cut says so."""
    body = described(b"hel", "text/plain", passed=5)
    assert (body["size"], body["kept"], body["truncated"], body["text"]) == (5, 3, True, "hel")


def test_a_packed_body_is_unpacked():
    """Its sizes are those that passed."""
    data = gzip.compress(b'{"a": 1}')
    body = described(data, "application/json", encoding="gzip")
    assert (body["kind"], body["text"], body["size"]) == ("json", '{"a": 1}', len(data))


def test_what_can_not_be_unpacked_is_binary():
    """As it passed."""
    body = described(b"\x0b\x02\x80hello", "text/plain", encoding="br")
    assert (body["kind"], body["text"]) == ("binary", None)
    assert base64.b64decode(body["base64"]) == b"\x0b\x02\x80hello"


def test_a_bomb_is_cut():
    """And the body says that there is more."""
    body = described(gzip.compress(bytes(10 << 20)), "text/plain", encoding="gzip")
    assert (len(body["text"]), body["truncated"]) == (UNPACKED_LIMIT, True)


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("é".encode("latin-1"), "iso-8859-1", "é"),
        ("é".encode("utf-16"), '"UTF-16"', "é"),
        ("é".encode(), "rot13", "é"),
        ("é".encode(), "no-such-charset", "é"),
        (b"\xff", "utf-8", "�"),
    ],
)
def test_charsets(data, charset, text):
    """Those that pages have; any other is read as UTF-8."""
    assert described(data, f"text/plain; charset={charset}")["text"] == text


def test_forms_have_fields():
    """Text stays beside those of the simple kind."""
    body = described(b"a=1&b=2", "application/x-www-form-urlencoded")
    assert [field["name"] for field in body["fields"]] == ["a", "b"]
    assert body["text"] == "a=1&b=2"
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n--x--\r\n'
    body = described(part, "multipart/form-data; boundary=x")
    assert (body["kind"], body["text"], body["base64"]) == ("multipart", None, None)
    assert [field["value"] for field in body["fields"]] == ["v"]


def test_a_form_that_can_not_be_read_is_binary():
    """So that it can be looked at all the same."""
    body = described(b"nonsense", "multipart/form-data; boundary=x")
    assert (body["kind"], body["fields"]) == ("binary", None)
    assert base64.b64decode(body["base64"]) == b"nonsense"


def test_the_text_of_a_body():
    """For who searches; what is no text has none."""
    assert readable_text(b"hello", []) == "hello"
    packed = [(b"content-encoding", b"gzip"), (b"content-type", b"text/plain")]
    assert readable_text(gzip.compress(b"hello"), packed) == "hello"
    assert readable_text(PNG, []) == readable_text(b"", []) == readable_text(b"x", packed) == ""


def test_the_first_value():
    """Of several headers of one name."""
    assert first_value([(b"a", b"1"), (b"b", b"2"), (b"b", b"3")], b"b") == "2"
    assert first_value([], b"b") is None


@given(
    st.binary(max_size=200),
    st.sampled_from(["text/plain", "application/json", "multipart/form-data; boundary=x", None]),
    st.sampled_from(["gzip", "deflate", "br", None]),
)
def test_any_body_is_json(data, content_type, encoding):
    """Hostile bytes are shown like any others."""
    json.dumps(described(data, content_type, encoding=encoding))
