"""What a page wants different when a request is sent once more, read from JSON."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.edits import Edits

__all__ = ["MOST_JSON", "read_edits"]


def read_edits(data: bytes) -> Edits:
    """Read `{"method", "path", "headers": [[name, value]...], "body" or "body_base64"}`.

    Each may be missing, as may the object. Meanings as in `Edits`; a `body` is sent as UTF-8.

    Raises:
        ReplayError: it is not that, or can't be sent; its status is 400.
    """
    try:
        given = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise _unusable("the body is no JSON") from exc
    if not isinstance(given, dict):
        raise _unusable("the body is no JSON object")
    unknown = sorted(given.keys() - _KEYS)
    if unknown:
        raise _unusable(f"there is no {unknown[0][:80]!r} to change")
    return Edits(
        method=_text(given, "method"),
        path=_text(given, "path"),
        headers=_headers(given.get("headers")),
        body=_body(given),
    )


def _text(given: dict[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise _unusable(f"{key} is no text")
    return value


def _headers(value: Any) -> tuple[tuple[str, str], ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(_is_pair(pair) for pair in value):
        raise _unusable("headers is no list of pairs of texts")
    return tuple((name, text) for name, text in value)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _body(given: dict[str, Any]) -> bytes | None:
    text, encoded = _text(given, "body"), _text(given, "body_base64")
    if text is not None and encoded is not None:
        raise _unusable("there are a body and a body_base64")
    try:
        if encoded is not None:
            return base64.b64decode(encoded, validate=True)
        return None if text is None else text.encode()
    except (binascii.Error, ValueError) as exc:
        raise _unusable("body_base64 is no Base64, or the body no text") from exc


def _unusable(what: str) -> ReplayError:
    return ReplayError(
        f'{what}: this takes an object with "method", "path", "headers" and "body" or '
        '"body_base64", all optional',
        status=400,
    )


MOST_JSON = 4 << 20  # bytes; a body of 1 MiB with escapes in it
_KEYS = frozenset({"method", "path", "headers", "body", "body_base64"})
