"""The header fields of an answer."""

import pytest

from asgi_quicktunnel.origin import fields
from asgi_quicktunnel.origin.fields import check_fields


@pytest.mark.parametrize("again", range(3))
def test_fields_that_come_again_are_judged_as_before(again):
    """What is remembered changes nothing, nor does what can't be."""
    plain = check_fields([(b"Content-Length", b"5"), (b"TE", b"x"), (b"X-A", b"1")])
    assert plain == ([(b"content-length", b"5"), (b"x-a", b"1")], 5, False)
    lists = check_fields([[b"Content-Type", bytearray(b"text/event-stream")]])
    assert lists == ([(b"content-type", b"text/event-stream")], None, True)
    with pytest.raises(RuntimeError, match="control"):
        check_fields([(b"a", b"b\n")])


def test_a_flood_of_fields_is_not_remembered():
    """An app that never says the same twice costs bounded memory, and so do long fields."""
    for number in range(600):
        check_fields([(b"etag", b"%d" % number)])
        check_fields([(b"set-cookie", b"%d" % number * 1000)])
    assert len(fields._checked) <= 256
    assert max(len(value) for ((_, value),) in fields._checked) <= 1024
