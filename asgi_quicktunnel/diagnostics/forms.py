"""The fields of forms, as far as they were kept."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

__all__ = ["multipart_fields", "urlencoded_fields"]


def urlencoded_fields(data: bytes) -> list[dict[str, Any]]:
    """The fields of application/x-www-form-urlencoded (WHATWG URL §5.1), or of a query."""
    fields = []
    for pair in data.split(b"&", _MOST_FIELDS)[:_MOST_FIELDS]:
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            fields.append(_field(_percent_decoded(name), _percent_decoded(value), size=len(value)))
    return fields


def multipart_fields(data: bytes, content_type: str) -> list[dict[str, Any]] | None:
    """The fields of multipart/form-data (RFC 7578); files without what is in them.

    python-multipart reads it, as it does for Starlette and FastAPI: what is shown is what such an
    app sees.

    Returns:
        Those that begin in `data`, or None where it can't be read.
    """
    # Not for who never looks at a form.
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return None
    parts = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_name,
                "on_header_value": parts.add_value,
                "on_header_end": parts.end_header,
                "on_part_data": parts.add_data,
            },
        )
        parser.write(data)
    except FormParserError:
        return None
    return [part.described() for part in parts.all if b"name" in part.options]


class _Part:
    """One part: parameters of its Content-Disposition, its Content-Type, and its bytes."""

    def __init__(self) -> None:
        self.options: dict[bytes, bytes] = {}
        self.content_type: str | None = None
        self.data = bytearray()

    def described(self) -> dict[str, Any]:
        filename = self.options.get(b"filename")
        name = self.options[b"name"].decode("utf-8", "replace")
        if filename is None:
            value = self.data.decode("utf-8", "replace")
            return _field(name, value, size=len(self.data), content_type=self.content_type)
        return _field(
            name,
            None,
            size=len(self.data),
            content_type=self.content_type,
            filename=filename.decode("utf-8", "replace"),
        )


class _Parts:
    """Gathers what the parser calls out."""

    def __init__(self) -> None:
        self.all: list[_Part] = []
        self._part = _Part()
        self._name = b""
        self._value = b""

    def begin(self) -> None:
        self._part = _Part()
        if len(self.all) < _MOST_FIELDS:
            self.all.append(self._part)

    def add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        from python_multipart.multipart import parse_options_header

        name, self._name = self._name.lower(), b""
        value, self._value = self._value, b""
        if name == b"content-disposition":
            self._part.options = parse_options_header(value)[1]
        elif name == b"content-type":
            self._part.content_type = value.decode("latin-1")

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self._part.data += data[start:end]


def _field(
    name: str,
    value: str | None,
    *,
    size: int,
    content_type: str | None = None,
    filename: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "filename": filename,
        "content_type": content_type,
        "size": size,
    }


def _percent_decoded(text: bytes) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


_MOST_FIELDS = 1000
