"""The fields of forms."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.diagnostics.forms import multipart_fields, urlencoded_fields


def shown(fields):
    return [(field["name"], field["value"]) for field in fields]


def test_urlencoded():
    """Order, repetition and empty values stay."""
    fields = urlencoded_fields(b"a=1&b=%C3%A9+x&a=&c&&=x&d=%ff")
    assert shown(fields) == [
        ("a", "1"),
        ("b", "é x"),
        ("a", ""),
        ("c", ""),
        ("", "x"),
        ("d", "�"),
    ]
    assert fields[0] == {
        "name": "a",
        "value": "1",
        "filename": None,
        "content_type": None,
        "size": 1,
    }


def multipart(**parts):
    """What httpx makes of a form, and its Content-Type."""
    request = httpx.Request("POST", "http://x.example", **parts)
    return request.read(), request.headers["content-type"]


def test_multipart():
    """Of a file its name, type and size are shown."""
    data, content_type = multipart(
        data={"text": "hé"}, files={"up": ("n\u00e9.bin", b"\x00\xff" * 50, "image/x")}
    )
    assert multipart_fields(data, content_type) == [
        {"name": "text", "value": "hé", "filename": None, "content_type": None, "size": 3},
        {
            "name": "up",
            "value": None,
            "filename": "né.bin",
            "content_type": "image/x",
            "size": 100,
        },
    ]


@pytest.mark.parametrize("kept", [0, 30, 120, 200])
def test_the_beginning_of_a_form(kept):
    """What begins in it is shown, as far as it goes."""
    data, content_type = multipart(files={"a": ("n", b"x" * 500), "b": ("m", b"y")})
    fields = multipart_fields(data[:kept], content_type)
    assert [field["name"] for field in fields] == (["a"] if kept >= 120 else [])
    assert all(field["size"] < 500 for field in fields)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_without_a_boundary_there_are_none(content_type):
    """Such a body can't be read."""
    assert multipart_fields(b"--x\r\n", content_type) is None


def test_another_body_is_no_form():
    """Whatever its header says."""
    assert multipart_fields(b"plain text", "multipart/form-data; boundary=x") is None


def test_a_thousand_fields_are_enough():
    """More are not shown."""
    assert len(urlencoded_fields(b"a=1&" * 5000)) == 1000
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n'
    data = part * 3000 + b"--x--\r\n"
    assert len(multipart_fields(data, "multipart/form-data; boundary=x")) == 1000


@given(st.binary(max_size=300))
def test_nothing_that_is_sent_raises(data):
    """Hostile forms have fields, or none."""
    urlencoded_fields(data)
    for prefix in (b"", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'):
        multipart_fields(prefix + data, "multipart/form-data; boundary=x")
