"""A visitor's request as bytes for an origin behind a socket."""

from __future__ import annotations

from dataclasses import dataclass

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import Headers, RequestHead, RequestKind
from asgi_quicktunnel.origin.mark import MARK, MARK_HEADER, REPLAY_HEADER
from asgi_quicktunnel.origin.scope import read_fields, request_target

__all__ = ["TcpRequest"]


@dataclass(frozen=True, slots=True)
class TcpRequest:
    """A request of HTTP/1.1 (RFC 9112 §3), and what is to be known of it while it is sent.

    Attributes:
        method: as the visitor sent it.
        head: the bytes up to the body.
        body_length: bytes of the body; 0 for none; None: it goes out in chunks.
        may_switch: whether it asks to leave HTTP.
        expects_continue: whether the body waits for the origin's word (RFC 9110 §10.1.1).
        is_repeatable: whether asking twice is as good as once (RFC 9110 §9.2.2).
    """

    method: str
    head: bytes
    body_length: int | None
    may_switch: bool
    expects_continue: bool
    is_repeatable: bool

    @classmethod
    def of(
        cls,
        head: RequestHead,
        *,
        authority: str,
        host_header: str | None,
        replay_of: str | None = None,
    ) -> TcpRequest:
        """Translate what the edge sent (protocol.md §6.2, §6.6).

        Host is the one that the visitor asked for, or `host_header`; then X-Forwarded-Host names
        the former. What describes a hop is left out, and so is our mark, which is added anew.

        Args:
            head: the visitor's.
            authority: Host where the edge names none.
            host_header: replaces Host, or None.
            replay_of: as in `ConnectionFacts`.

        Raises:
            RemoteProtocolError: what no HTTP request can have.
        """
        method, target, host = request_target(head)
        host = host or authority.encode("ascii")
        fields = read_fields(head.headers)
        body_length = fields.body_length
        replaced = {MARK_HEADER} if host_header is None else {MARK_HEADER, _FORWARDED_HOST}
        headers = [field for field in fields.headers if field[0] not in replaced]
        if host_header is not None:
            headers.append((_FORWARDED_HOST, host))
            host = host_header.encode("ascii")
        headers.append((MARK_HEADER, MARK))
        if replay_of is not None:
            headers.append((REPLAY_HEADER, replay_of.encode("ascii")))
        protocol = _protocol_wanted(head)
        if protocol is not None:
            if body_length != 0:
                raise RemoteProtocolError("a request to leave HTTP has a body")
            headers += [(b"connection", b"Upgrade"), (b"upgrade", protocol)]
            if head.kind is RequestKind.WEBSOCKET and not _has(headers, _WEBSOCKET_VERSION[0]):
                headers.append(_WEBSOCKET_VERSION)
        else:
            headers.append(_KEEP_ALIVE)
            if body_length is None:
                headers.append((b"transfer-encoding", b"chunked"))
            elif body_length == 0 and method in _WITH_CONTENT and not _has(headers, _EMPTY[0]):
                headers.append(_EMPTY)
        lines = [b"%b: %b\r\n" % field for field in headers]
        start = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode("ascii"), target, host)
        return cls(
            method=method,
            head=b"".join((start, *lines, b"\r\n")),
            body_length=body_length,
            may_switch=protocol is not None,
            expects_continue=body_length != 0 and _expects_continue(headers),
            is_repeatable=method in _IDEMPOTENT and protocol is None,
        )


def _protocol_wanted(head: RequestHead) -> bytes | None:
    """What the visitor wants instead of HTTP; the edge passes on what it can carry."""
    if head.kind is RequestKind.WEBSOCKET:
        return b"websocket"
    options = {
        option.strip().lower()
        for name, value in head.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    if b"upgrade" not in options:
        return None
    return next((value for name, value in head.headers if name == b"upgrade"), None)


def _has(headers: Headers, wanted: bytes) -> bool:
    return any(name == wanted for name, _ in headers)


def _expects_continue(headers: Headers) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


_FORWARDED_HOST = b"x-forwarded-host"
_WEBSOCKET_VERSION = (b"sec-websocket-version", b"13")  # RFC 6455 §4.1; the edge takes it off
_KEEP_ALIVE = (b"connection", b"keep-alive")  # for servers of HTTP/1.0; RFC 9112 §C.2.2
_EMPTY = (b"content-length", b"0")
_WITH_CONTENT = frozenset({"PATCH", "POST", "PUT"})  # RFC 9110 §8.6: they say that there is none
_IDEMPOTENT = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
