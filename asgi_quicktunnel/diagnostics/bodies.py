"""A body that was kept, as JSON types."""

from __future__ import annotations

import base64
import codecs
import re
from typing import Any

from asgi_quicktunnel.diagnostics.forms import multipart_fields, urlencoded_fields
from asgi_quicktunnel.diagnostics.redaction import text_of
from asgi_quicktunnel.diagnostics.unpacking import UNPACKED_LIMIT, unpack
from asgi_quicktunnel.model import Headers

__all__ = ["describe_body", "first_value", "readable_text"]


def describe_body(data: bytes, passed: int, headers: Headers) -> dict[str, Any]:
    """What is shown of a body.

    Keys: `size` (bytes that passed), `kept` (how many of those), `truncated` (whether that is not
    all, or unpacking it was cut short), `content_type` (or null), `kind` ("empty", "json", "form",
    "multipart", "text", "image" or "binary"), `text` (of "json", "form" and "text", unpacked),
    `base64` (of "image" and "binary"), `fields` (of "form" and "multipart": `name`, `value`,
    `filename`, `content_type`, `size`; the value of a file is null). What a key is not of is null.

    Args:
        data: what is kept, as it passed.
        passed: bytes that there were.
        headers: of the request or answer, names in lower case.
    """
    content_type = first_value(headers, b"content-type")
    unpacked = unpack(data, first_value(headers, b"content-encoding") or "")
    readable = data if unpacked is None else unpacked
    kind = _kind(readable, content_type or "") if unpacked is not None else "binary"
    text = binary = fields = None
    if kind == "multipart":
        fields = multipart_fields(readable, content_type or "")
        kind = "binary" if fields is None else kind
    elif kind == "form":
        fields = urlencoded_fields(readable)
    if kind in _WITH_TEXT:
        text = _decoded(readable, content_type or "")
    elif kind in _WITH_BASE64:
        binary = base64.b64encode(readable).decode("ascii")
    return {
        "size": passed,
        "kept": len(data),
        "truncated": len(data) < passed or len(readable) >= UNPACKED_LIMIT,
        "content_type": content_type,
        "kind": kind if data else "empty",
        "text": text if data else None,
        "base64": binary if data else None,
        "fields": fields,
    }


def readable_text(data: bytes, headers: Headers) -> str:
    """The text of a body, "" for what is none; as `describe_body` finds it."""
    content_type = first_value(headers, b"content-type") or ""
    unpacked = unpack(data, first_value(headers, b"content-encoding") or "")
    if not unpacked or _kind(unpacked, content_type) not in _WITH_TEXT:
        return ""
    return _decoded(unpacked, content_type)


def first_value(headers: Headers, wanted: bytes) -> str | None:
    """The first value of a header as text, or None."""
    for name, value in headers:
        if name == wanted:
            return text_of(value)
    return None


def _kind(data: bytes, content_type: str) -> str:
    """What a body is: images by what they are, the rest by what they are called."""
    if data.startswith(_PICTURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return "image"
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return "json"
    if media_type == "application/x-www-form-urlencoded":
        return "form"
    if media_type == "multipart/form-data":
        return "multipart"
    if media_type.startswith("text/") or _TEXT.fullmatch(media_type):
        return "text"
    return "text" if _looks_like_text(data) else "binary"


def _looks_like_text(data: bytes) -> bool:
    """Whether this is UTF-8 without controls; the end may be cut off within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(data) is None


def _decoded(data: bytes, content_type: str) -> str:
    match = _CHARSET.search(content_type)
    charset = match[1].lower() if match else "utf-8"
    return data.decode(charset if charset in _CHARSETS else "utf-8", "replace")


_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
_TEXT = re.compile(r"(application|image)/(.+\+)?(xml|javascript|yaml|x-ndjson|graphql|svg)")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)

# The codecs that a page may have, rather than all that Python knows: some of those take long.
_CHARSETS = frozenset(
    {
        "ascii",
        "big5",
        "cp1251",
        "cp1252",
        "euc-jp",
        "euc-kr",
        "gb18030",
        "gb2312",
        "gbk",
        "iso-8859-1",
        "iso-8859-15",
        "iso-8859-2",
        "koi8-r",
        "latin-1",
        "shift_jis",
        "us-ascii",
        "utf-16",
        "utf-16be",
        "utf-16le",
        "utf-8",
        "windows-1251",
        "windows-1252",
    }
)
_WITH_TEXT = ("json", "form", "text")
_WITH_BASE64 = ("image", "binary")
