"""A record as JSON types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from asgi_quicktunnel.diagnostics.bodies import describe_body, first_value
from asgi_quicktunnel.diagnostics.forms import urlencoded_fields
from asgi_quicktunnel.diagnostics.frames import describe_frames
from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.diagnostics.snippets import Snippet
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.inspector.replay import why_not_replayable
from asgi_quicktunnel.model import Headers, RequestKind
from asgi_quicktunnel.origin.scope import printable, request_target, shown_path

__all__ = ["VIEW_VERSION", "describe", "summarize"]


def summarize(record: Record) -> dict[str, Any]:
    """One line of a list.

    Keys: `id`, `kind` ("http", "websocket" or "tcp"), `method`, `path`, `query`, `host`, `status`
    (null before the answer), `state` ("open", "done" or "reset"), `started` (seconds since the
    epoch), `first_byte` and `elapsed` (seconds, or null), `received` and `sent` (bytes),
    `content_type` (of the answer, or null), `visitor` (address), `country`, `ray_id` (by
    Cloudflare's word, or null), `conn_index`, `colo`, `replay_of` (an id, or null).
    """
    head, facts, response = record.head, record.facts, record.response
    told = _told(head.headers)
    return {
        "id": record.id,
        "kind": head.kind.name.lower(),
        "method": printable(head.method),
        "path": shown_path(head.dest),
        "query": printable(_query(head.dest).decode("latin-1")),
        "host": _host(record),
        "status": record.status,
        "state": record.state.value,
        "started": record.started,
        "first_byte": record.first_byte,
        "elapsed": record.elapsed,
        "received": record.received,
        "sent": record.sent,
        "content_type": first_value(response.headers, b"content-type") if response else None,
        "visitor": told.visitor,
        "country": told.country,
        "ray_id": told.ray_id,
        "conn_index": facts.conn_index,
        "colo": facts.colo,
        "replay_of": record.replay_of,
    }


def describe(
    record: Record, replays: Iterable[Record], redaction: Redaction, base_url: str | None
) -> dict[str, Any]:
    """All that is known of one exchange.

    Keys: `version`, those of `summarize`, `replayable`, `why_not` (a sentence, or null), `replays`
    (ids of the records that repeat it), `curl` and `httpx` (see `Snippet`; null for what is no HTTP
    request), `request` (`headers`, `query`, as pairs, and `body`), `response` (`headers`, `body`;
    null before the answer) and `frames` (see `describe_frames`; null but for a WebSocket that was
    accepted). Bodies are those of `describe_body`.

    Args:
        record: what is described.
        replays: records that repeat it.
        redaction: which values are masked.
        base_url: of the tunnel, or None.
    """
    head, response = record.head, record.response
    why_not = why_not_replayable(record)
    snippet = _snippet(record, redaction, base_url)
    query = urlencoded_fields(_query(head.dest))
    described: dict[str, Any] = {
        "version": VIEW_VERSION,
        **summarize(record),
        "replayable": why_not is None,
        "why_not": why_not,
        "replays": [replay.id for replay in replays],
        "curl": snippet and snippet.curl(),
        "httpx": snippet and snippet.httpx(),
        "request": {
            "headers": redaction.show(head.headers),
            "query": [(field["name"], field["value"]) for field in query],
            "body": describe_body(record.request_body, record.received, head.headers),
        },
        "response": None,
        "frames": describe_frames(record),
    }
    if response is not None:
        described["response"] = {
            "headers": redaction.show(response.headers),
            "body": describe_body(record.response_body, record.sent, response.headers),
        }
    return described


def _snippet(record: Record, redaction: Redaction, base_url: str | None) -> Snippet | None:
    if record.head.kind is not RequestKind.HTTP:
        return None
    try:
        return Snippet(record, redaction, base_url)
    except RemoteProtocolError:
        return None


class _Told(NamedTuple):
    """What Cloudflare says of a visitor."""

    visitor: str | None
    country: str | None
    ray_id: str | None


def _told(headers: Headers) -> _Told:
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in _TOLD:
            found.setdefault(name, printable(value.decode("latin-1")))
    return _Told(*(found.get(name) for name in _TOLD))


def _query(dest: bytes) -> bytes:
    return dest.partition(b"#")[0].partition(b"?")[2]


def _host(record: Record) -> str:
    try:
        host = request_target(record.head)[2]
    except RemoteProtocolError:
        host = record.head.host
    return printable(host.decode("latin-1"))


VIEW_VERSION = 1
_TOLD = (b"cf-connecting-ip", b"cf-ipcountry", b"cf-ray")
