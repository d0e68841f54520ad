"""What was said over a WebSocket, as JSON types."""

from __future__ import annotations

import base64
from typing import Any

from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.protocol.conversation import Conversation, Utterance

__all__ = ["describe_frames"]


def describe_frames(record: Record) -> list[dict[str, Any]] | None:
    """What is known of a conversation, in order; None where there was none.

    Keys: `from` ("visitor" or "app"), `type` ("text", "binary", "ping", "pong", "close", or "error"
    where no more of that side can be shown), `at` (seconds since the request came), `size` (bytes,
    decompressed), `text` (of "text", the reason of "close", the sentence of "error"), `base64` (of
    the rest, unless they are empty), `code` (of "close"). What a key is not of is null.
    """
    passed = record.conversation
    if passed is None or record.response is None:
        return None
    is_compressed = any(
        name == b"sec-websocket-extensions" and b"permessage-deflate" in value.lower()
        for name, value in record.response.headers
    )
    conversation = Conversation(is_compressed=is_compressed)
    return [
        _describe(utterance)
        for part in passed
        for utterance in conversation.receive_data(
            part.data, from_visitor=part.from_visitor, at=part.at
        )
    ]


def _describe(utterance: Utterance) -> dict[str, Any]:
    has_text = utterance.kind in _WITH_TEXT
    data = utterance.data
    return {
        "from": "visitor" if utterance.from_visitor else "app",
        "type": utterance.kind,
        "at": utterance.at,
        "size": 0 if utterance.kind == "error" else len(data),
        "text": data.decode("utf-8", "replace") if has_text else None,
        "base64": base64.b64encode(data).decode("ascii") if data and not has_text else None,
        "code": utterance.code,
    }


_WITH_TEXT = ("text", "close", "error")
