"""Headers as they may be shown."""

import pytest

from asgi_quicktunnel.diagnostics.redaction import Redaction, text_of

ALWAYS = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"]


@pytest.mark.parametrize("name", ALWAYS)
def test_what_opens_something_is_never_shown(name):
    """In any case of the name, however often it comes."""
    shown = Redaction().show([(name, b"secret"), (name.upper(), b"secret"), (b"accept", b"x")])
    assert shown == [(name.decode(), "***"), (name.decode().upper(), "***"), ("accept", "x")]


def test_more_names_can_be_masked():
    """Those that the option gives, besides the others."""
    redaction = Redaction({"x-api-key"})
    shown = redaction.show([(b"x-api-key", b"secret"), (b"X-Api-Key", b"secret"), (b"cookie", b"")])
    assert [value for _, value in shown] == ["***"] * 3


def test_any_bytes_are_text():
    """UTF-8 where they are that."""
    assert (text_of("é".encode()), text_of(b"\xe9\xff")) == ("é", "éÿ")
