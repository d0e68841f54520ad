"""The rules of one answer: what a visitor gets of it, and what a connector did wrong."""

from __future__ import annotations

import base64
import hashlib
import re
from email.utils import formatdate

from asgi_quicktunnel.emulator.violations import Report, Rule
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import Headers, RequestHead, RequestKind, ResponseHead

__all__ = ["AnswerRules"]


class AnswerRules:
    """Goes along with one answer, in order: head, data, end.

    Args:
        request: what is answered.
        report: told of every rule that is broken.

    Attributes:
        is_over: more came than may be passed on, so that the rest need not be read.
    """

    def __init__(self, request: RequestHead, report: Report) -> None:
        self._request = request
        self._report = report
        self.is_over = False
        self._remaining: int | None = None  # bytes still to come, where a length was declared
        self._body_allowed = True

    def take_head(self, head: ResponseHead) -> Headers:
        """The headers for the visitor.

        Raises:
            RemoteProtocolError: there is no way to pass this answer on.
        """
        status = head.status
        switching = status == 101
        if status < 200 and not (switching and self._request.kind is RequestKind.WEBSOCKET):
            self._report(Rule.STATUS, f"status {status} to a {self._request.kind.name} request")
            raise RemoteProtocolError(f"status {status} is no answer to this request")
        headers = self._without_illegal(head.headers)
        if switching:
            return self._upgrade(headers)
        self._body_allowed = self._request.method != "HEAD" and status not in (204, 304)
        headers = self._with_length(self._without_hop_by_hop(headers), status)
        # The real edge names itself and the time.
        names = {name for name, _ in headers}
        if b"date" not in names:
            headers.append((b"date", formatdate(usegmt=True).encode()))
        return [*((name, value) for name, value in headers if name != b"server"), _SERVER]

    def take_data(self, data: bytes) -> bytes:
        """What of the data belongs to the body."""
        if not data:
            return data
        if not self._body_allowed:
            self._report(Rule.BODY_FORBIDDEN, f"{len(data)} bytes of body where none may be")
            self.is_over = True
            return b""
        if self._remaining is None:
            return data
        if len(data) > self._remaining:
            surplus = len(data) - self._remaining
            self._report(Rule.BODY_LENGTH, f"{surplus} bytes beyond the Content-Length")
            self.is_over = True
            data = data[: self._remaining]
        self._remaining -= len(data)
        return data

    def take_end(self) -> bool:
        """Whether the answer is whole."""
        if self._body_allowed and self._remaining:
            self._report(Rule.BODY_LENGTH, f"the end came {self._remaining} bytes early")
            return False
        return True

    def _without_illegal(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        kept = []
        for name, value in headers:
            if _ILLEGAL.search(value):
                self._report(Rule.HEADER, f"control characters in the value of {name!r}")
            else:
                kept.append((name, value.strip(b" \t")))
        return kept

    def _without_hop_by_hop(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        kept = []
        for name, value in headers:
            if name in _HOP_BY_HOP:
                self._report(Rule.HOP_BY_HOP, f"{name!r} in an answer")
            else:
                kept.append((name, value))
        return kept

    def _with_length(self, headers: Headers, status: int) -> list[tuple[bytes, bytes]]:
        """The headers with one usable Content-Length or none; remembers the length."""
        lengths = {value for name, value in headers if name == b"content-length"}
        others = [item for item in headers if item[0] != b"content-length"]
        if not lengths:
            return others
        if status == 204:
            self._report(Rule.BODY_LENGTH, "a Content-Length with status 204 (RFC 9110 §8.6)")
            return others
        length = lengths.pop()
        if lengths or not _LENGTH.fullmatch(length):
            self._report(Rule.BODY_LENGTH, "a Content-Length that is no number, or several")
            return others
        self._remaining = int(length)
        return [*others, (b"content-length", length)]

    def _upgrade(self, headers: Headers) -> Headers:
        """The headers of a 101, whole: clients refuse it otherwise."""
        values = dict(headers)
        key = next((value for name, value in self._request.headers if name.lower() == _KEY), b"")
        digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
        if values.get(b"sec-websocket-accept") != base64.b64encode(digest):
            self._report(Rule.UPGRADE, "Sec-WebSocket-Accept does not prove the visitor's key")
        if values.get(b"upgrade", b"").lower() != b"websocket":
            self._report(Rule.UPGRADE, "101 without 'Upgrade: websocket'")
        others = [item for item in headers if item[0] not in _FRAMING]
        return [(b"connection", b"Upgrade"), (b"upgrade", b"websocket"), *others]


_HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
_FRAMING = {b"connection", b"content-length", b"transfer-encoding", b"upgrade"}
_SERVER = (b"server", b"cloudflare")
_ILLEGAL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_KEY = b"sec-websocket-key"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
