"""RequestHead to ASGI scope: what the edge says of a request, as an app expects to read it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.types import Scope

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import Headers, RequestHead
from asgi_quicktunnel.origin.base import TUNNEL_SCOPE_KEY, ConnectionFacts, TunnelMark
from asgi_quicktunnel.origin.mark import REPLAY_HEADER

__all__ = [
    "RequestFields",
    "http_scope",
    "is_for_connector",
    "printable",
    "read_fields",
    "request_target",
    "shown_path",
    "websocket_scope",
]


@dataclass(slots=True)
class RequestFields:
    """What one pass over the headers of a request finds.

    Attributes:
        headers: those the app is to see, in their order, without Host.
        body_length: bytes the body has; 0 for none; None: it ends where the stream ends.
        client: the visitor's address, or None when it is missing, malformed or loopback.
        forwarded_proto: "http", "https", or "" when the edge named neither.
        ray_id: Cloudflare's name for the request, or None.
        country: the visitor's, or None.
    """

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body_length: int | None = 0
    client: tuple[str, int] | None = None
    forwarded_proto: str = ""
    ray_id: str | None = None
    country: str | None = None


def read_fields(headers: Headers) -> RequestFields:
    """Sort the headers of a request into what the app sees and what we act upon.

    A numeric Content-Length is the length of the body and stays visible; without one, a
    Transfer-Encoding that contains "chunked" means a body up to the stream's end; without either
    there is none (protocol.md §6.2). Removed is what describes a hop rather than the request
    (`_DROPPED`). Fields that a Connection header names are *not* removed: the visitor's Connection
    ended at the edge, and honouring it here would let a visitor hide what the edge wrote.

    Raises:
        RemoteProtocolError: a Content-Length that is repeated or no number (RFC 9112 §6.3).
    """
    values = dict(headers)
    if len(values) < len(headers):
        _settle_repeated(headers, values)
    get = values.get
    is_clean = _DROPPED.isdisjoint(values)
    fields = RequestFields(
        [*headers] if is_clean else [header for header in headers if header[0] not in _DROPPED]
    )
    if (value := get(b"cf-connecting-ip")) is not None and len(value) <= _LONGEST_ADDRESS:
        fields.client = _visitor(value)
    if (value := get(b"x-forwarded-proto")) is not None:
        fields.forwarded_proto = _SCHEMES.get(value.lower(), "")
    if (value := get(b"cf-ray")) is not None:
        fields.ray_id = value.decode("latin-1")
    if (value := get(b"cf-ipcountry")) is not None:
        fields.country = value.decode("latin-1")
    if (value := get(b"content-length")) is not None:
        fields.body_length = _parse_length(value)
    elif not is_clean and b"chunked" in get(b"transfer-encoding", b"").lower():
        fields.body_length = None
    return fields


def _settle_repeated(headers: Headers, values: dict[bytes, bytes]) -> None:
    """Make of a field that came more than once what it says as a whole; elsewhere the last counts.

    Raises:
        RemoteProtocolError: a Content-Length that is repeated.
    """
    names = [name for name, _ in headers]
    if names.count(b"content-length") > 1:
        raise RemoteProtocolError("Content-Length was given more than once")
    if names.count(b"cf-connecting-ip") > 1:
        del values[b"cf-connecting-ip"]
    if names.count(b"transfer-encoding") > 1:
        codings = [value for name, value in headers if name == b"transfer-encoding"]
        values[b"transfer-encoding"] = b", ".join(codings)


def http_scope(
    head: RequestHead,
    fields: RequestFields,
    *,
    facts: ConnectionFacts,
    public_url: str | None,
    state: Mapping[str, Any],
    root_path: str = "",
) -> Scope:
    """The scope of one HTTP request (ASGI HTTP specification, "HTTP Connection Scope").

    Args:
        head: what the visitor asked for.
        fields: `read_fields` of its headers.
        facts: the HA connection it came over, and what it repeats.
        public_url: the tunnel's, for `server`; None takes the Host of the request.
        state: copied, so that one request's additions are not seen by the next.
        root_path: where the app is mounted; goes before `path` and `raw_path`, as uvicorn does.

    Raises:
        RemoteProtocolError: a method, destination or Host that no HTTP request can have.
    """
    method = _method(head.method)
    dest_scheme, authority, raw_path, query, path = _target(head.dest)
    if raw_path == b"*" and method != "OPTIONS":
        raise RemoteProtocolError("the destination * belongs to OPTIONS alone")
    host = head.host or authority
    name, port = _split_host(host)
    scheme = fields.forwarded_proto or _SCHEMES.get(dest_scheme.lower(), "https")
    server = (name, port or _DEFAULT_PORTS[scheme]) if name else None
    if public_url:
        server = _server_of(public_url)
    if root_path and raw_path != b"*":
        path = root_path + path
        raw_path = root_path.encode() + raw_path
    conn_index, colo, ray_id, country = facts.conn_index, facts.colo, fields.ray_id, fields.country
    headers = [(b"host", host), *fields.headers] if host else list(fields.headers)
    if facts.replay_of is not None:
        headers.append((REPLAY_HEADER, facts.replay_of.encode("ascii")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": headers,
        "client": fields.client,
        "server": server,
        "state": dict(state),
        "extensions": {
            # What can't be honoured is not offered: a stream has one head, so no early hints (1xx),
            # and no trailers; TLS ended at the edge, and nobody would read debug information.
            "http.response.pathsend": {},
            "quicktunnel": {
                "colo": colo,
                "ray_id": ray_id,
                "country": country,
                "conn_index": conn_index,
            },
        },
        TUNNEL_SCOPE_KEY: TunnelMark(conn_index, colo, ray_id, country),
    }


def websocket_scope(handshake: Scope) -> Scope:
    """The scope of one WebSocket (ASGI WebSocket specification, "Websocket Connection Scope").

    Args:
        handshake: `http_scope` of its handshake; it becomes the result.

    Raises:
        RemoteProtocolError: the handshake is no GET (RFC 6455 §4.1).
    """
    scope = handshake
    if scope.pop("method") != "GET":
        raise RemoteProtocolError("the WebSocket handshake is no GET")
    headers = scope["headers"]
    scope["type"] = "websocket"
    scope["asgi"]["spec_version"] = WEBSOCKET_SPEC_VERSION
    scope["scheme"] = "ws" if scope["scheme"] == "http" else "wss"
    scope["subprotocols"] = [
        item.strip().decode("latin-1")
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for item in value.split(b",")
        if item.strip()
    ]
    # The edge takes these off; the visitor sent them, and a server shows them (protocol.md §6.6).
    headers += _TAKEN_OFF
    if not any(name == b"sec-websocket-version" for name, _ in headers):
        headers.append((b"sec-websocket-version", b"13"))
    del scope["extensions"]["http.response.pathsend"]
    scope["extensions"]["websocket.http.response"] = {}
    return scope


def request_target(head: RequestHead) -> tuple[str, bytes, bytes]:
    """Method, target and Host for an origin that reads HTTP/1.1 (RFC 9112 §3).

    Method, path and query are as they came; the Host is b"" when the edge names none.

    Raises:
        RemoteProtocolError: what no HTTP request can have.
    """
    _method(head.method)
    _, authority, raw_path, query, _ = _target(head.dest)
    if raw_path == b"*" and head.method != "OPTIONS":
        raise RemoteProtocolError("the destination * belongs to OPTIONS alone")
    host = head.host or authority
    _split_host(host)
    has_query = query or b"?" in head.dest.partition(b"#")[0]
    return head.method, b"%b?%b" % (raw_path, query) if has_query else raw_path, host


def is_for_connector(head: RequestHead) -> bool:
    """Whether Cloudflare means the connector itself; the app must not see it (protocol.md §11)."""
    try:
        name, _ = _split_host(head.host or _target(head.dest).authority)
    except RemoteProtocolError:
        return False
    return name in _CONNECTOR_HOSTS


def shown_path(dest: bytes) -> str:
    """The path of a destination as it came, for logs and events; all of it when it has none.

    The query, which may hold secrets, is left out; what is no printable ASCII is escaped.
    """
    try:
        path = _target(dest).raw_path
    except RemoteProtocolError:
        path = dest.partition(b"?")[0]
    return printable(path.decode("latin-1"))


def printable(text: str) -> str:
    """The text, with escapes for what is no printable ASCII."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


class _Target(NamedTuple):
    """The parts of a destination; each as it came but for `path`, which is decoded."""

    scheme: bytes
    authority: bytes
    raw_path: bytes
    query: bytes
    path: str


def _target(dest: bytes) -> _Target:
    """Take a destination apart; the fragment is cut off.

    Raises:
        RemoteProtocolError: it is neither a URL nor a path.
    """
    return _known_target(dest) if len(dest) <= _LONGEST_KNOWN else _parse_target(dest)


def _parse_target(dest: bytes) -> _Target:
    match = _DEST.fullmatch(dest)
    if match is None:
        raise RemoteProtocolError("the destination is neither a URL nor a path")
    scheme, authority, raw_path, query = match.groups(b"")
    raw_path = raw_path or b"/"
    return _Target(
        scheme, authority.rpartition(b"@")[2], raw_path, query, _percent_decoded(raw_path)
    )


@lru_cache(maxsize=64)
def _method(method: str) -> str:
    """The method as ASGI wants it, in upper case.

    Raises:
        RemoteProtocolError: it is no token (RFC 9110 §9.1).
    """
    if not _METHOD(method):
        raise RemoteProtocolError("the method is malformed")
    return method.upper()


def _parse_length(value: bytes) -> int:
    # bytes.isdigit is about ASCII only; int() alone would take "+5", " 5" and "5_0".
    if not value.isdigit() or len(value) > _LENGTH_DIGITS:
        raise RemoteProtocolError("Content-Length is not a number")
    return int(value)


def _percent_decoded(raw_path: bytes) -> str:
    if b"%" in raw_path:
        raw_path = unquote_to_bytes(raw_path)
    return raw_path.decode("utf-8", "replace")


@lru_cache(maxsize=1024)
def _visitor(value: bytes) -> tuple[str, int] | None:
    """An address for `scope["client"]`; its port is unknown, hence 0.

    Loopback is refused: code that trusts localhost must not trust a visitor (design.md §5).
    """
    try:
        text = value.decode("ascii")
        if ":" in text:
            packed = socket.inet_pton(socket.AF_INET6, text)
        else:
            packed = _V4_MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None
    if packed == _LOOPBACK_V6 or (packed.startswith(_V4_MAPPED) and packed[12] == 127):
        return None
    return text, 0


@lru_cache(maxsize=64)
def _server_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


@lru_cache(maxsize=256)
def _split_host(host: bytes) -> tuple[str, int | None]:
    """Name, in lower case and without brackets, and port; ("", None) for no host.

    Raises:
        RemoteProtocolError: it is no host with an optional port (RFC 3986 §3.2).
    """
    match = _HOST.fullmatch(host)
    if match is None or int(match[3] or 0) > 65535:
        raise RemoteProtocolError("the Host is malformed")
    literal, name, port = match.groups(b"")
    return (literal or name).decode("latin-1").lower().rstrip("."), int(port) if port else None


# Starlette listens for http.disconnect beside a streaming response up to 2.3; from 2.4 on it
# expects `send` to raise OSError instead. Like uvicorn we ignore what is sent to nobody.
SPEC_VERSION = "2.3"
WEBSOCKET_SPEC_VERSION = "2.4"  # there `send` does raise OSError

# What describes one hop (RFC 9110 §7.6.1, with the Keep-Alive and Proxy-Connection of older
# clients), what is the connector's own business, Host, which `RequestHead` has apart (protocol.md
# §6.2), and the mark of a replay, which only we set.
_DROPPED = frozenset(
    {
        b"cf-cloudflared-proxy-connection-upgrade",
        b"cf-trace-id",
        b"connection",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        REPLAY_HEADER,
    }
)
_TAKEN_OFF = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONNECTOR_HOSTS = frozenset({"management.argotunnel.com", "management.fed.argotunnel.com"})
_LENGTH_DIGITS = 18  # below 2^63, and far above anything that could arrive

# The results of these are cached, so what is kept must not be as long as a visitor likes.
_LONGEST_KNOWN = 512  # bytes, of a destination
_known_target = lru_cache(maxsize=512)(_parse_target)
_LONGEST_ADDRESS = 45  # bytes, of an IPv6 address with an IPv4 one inside
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^\[\]:/?#@\x00-\x20\x7f]{1,255}))(?::([0-9]{1,5})?)?|"
)
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}").fullmatch  # RFC 9110 §5.6.2

# scheme, authority, path, query, and a fragment that is cut off (RFC 3986 §3). Spaces and controls
# are in no part; bytes above ASCII may be, since the edge sends bytes.
_DEST = re.compile(
    rb"(?:([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\x00-\x20\x7f]*))?"
    rb"(/[^?#\x00-\x20\x7f]*|\*)?(?:\?([^#\x00-\x20\x7f]*))?(?:#[^\x00-\x20\x7f]*)?"
)
_V4_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 §2.5.5.2
_LOOPBACK_V6 = bytes(15) + b"\x01"
