"""The header fields that an app gives, checked before they go out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["AnswerFields", "check_fields"]


class AnswerFields(NamedTuple):
    """What `check_fields` found.

    Attributes:
        headers: in order, names in lower case, without hop-by-hop ones; not to be changed.
        length: what Content-Length says, or None.
        is_event_stream: whether Content-Type is text/event-stream.
    """

    headers: list[tuple[bytes, bytes]]
    length: int | None
    is_event_stream: bool


def check_fields(fields: Iterable[tuple[bytes, bytes]]) -> AnswerFields:
    """Take an app's headers apart, once.

    Raises:
        RuntimeError: a name, a value or a Content-Length that HTTP does not allow.
    """
    key = tuple(fields)
    try:
        checked = _checked.get(key)
    except TypeError:  # a pair that is a list, a value that is a bytearray
        return _check(key)
    if checked is None:
        checked = _check(key)
        # Apps give the same few again and again; those that are long are their visitors' own.
        if sum([len(name) + len(value) for name, value in key]) <= _REMEMBERED_BYTES:
            if len(_checked) >= _REMEMBERED_FIELDS:
                _checked.clear()
            _checked[key] = checked
    return checked


def _check(fields: Iterable[tuple[bytes, bytes]]) -> AnswerFields:
    headers = []
    length: int | None = None
    is_event_stream = False
    for field_name, value in fields:
        name = _lower_name(field_name)
        if _NOT_IN_VALUE(value):
            raise RuntimeError(f"Invalid HTTP header value: that of {name!r} has a control in it.")
        if name in _HOP_BY_HOP:
            continue
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS:
                raise RuntimeError("Invalid HTTP header value: Content-Length is one number.")
            length = int(value)
        elif name == b"content-type":
            is_event_stream = value.lower().startswith(b"text/event-stream")
        headers.append((name, value))
    return AnswerFields(headers, length, is_event_stream)


@lru_cache(maxsize=1024)
def _lower_name(name: bytes) -> bytes:
    """The name in lower case; cached, because apps use few names often."""
    if not _TOKEN(name):
        raise RuntimeError(f"Invalid HTTP header name {name!r}.")
    return name.lower()


_checked: dict[tuple[tuple[bytes, bytes], ...], AnswerFields] = {}
_REMEMBERED_FIELDS = 256
_REMEMBERED_BYTES = 1024
_LENGTH_DIGITS = 18  # below 2^63
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 §5.6.2
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search  # RFC 9110 §5.5; tab may be

# RFC 9110 §7.6.1, with the Keep-Alive and Proxy-Connection of older software: they describe a hop
# that does not exist here. cloudflared passes some of them on (protocol.md §6.3).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
