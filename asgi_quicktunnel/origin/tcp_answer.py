"""The answer of an origin behind a socket: bytes in, facts out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.origin.fields import check_fields

__all__ = ["AnswerHead", "AnswerReader"]


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The head of an answer, as the visitor is to get it.

    Attributes:
        status: 200..999, or 101.
        headers: in order, names in lower case; hop-by-hop ones only with a 101.
        is_event_stream: whether Content-Type is text/event-stream.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    is_event_stream: bool


class AnswerReader:
    """Reads one answer of HTTP/1.x (RFC 9112), which may arrive cut anywhere.

    Answers of 1xx before it are read over; those of 101 end it, and what follows is `body`. What is
    ambiguous is refused rather than guessed at: two lengths, a length beside chunks, an unknown
    transfer coding, folded headers, controls in them.

    Attributes:
        head: once it was read.
        body: what arrived of the body, without chunk framing; the caller empties it.
        buffered: bytes in `body`.
        has_begun: whether anything arrived at all.
        is_complete: whether the whole answer was read.
        is_reusable: whether another request may follow on the connection.
        may_continue: whether 100 Continue, or a later answer, was read.
        idle_timeout: seconds that the origin keeps the connection, where it said so.
    """

    __slots__ = (
        "_ends_with_connection",
        "_fault",
        "_fields",
        "_fields_size",
        "_is_head",
        "_is_informational",
        "_may_switch",
        "_parser",
        "_silent",
        "body",
        "buffered",
        "has_begun",
        "head",
        "idle_timeout",
        "is_complete",
        "is_reusable",
        "may_continue",
    )

    def __init__(self, *, is_head: bool = False, may_switch: bool = False) -> None:
        """Expect an answer.

        Args:
            is_head: to a HEAD request, so that no body follows.
            may_switch: whether the request asked to leave HTTP, so that 101 may answer it.
        """
        self.head: AnswerHead | None = None
        self.body: list[bytes] = []
        self.buffered = 0
        self.has_begun = False
        self.is_complete = False
        self.is_reusable = False
        self.may_continue = False
        self.idle_timeout: float | None = None
        self._is_head = is_head
        self._may_switch = may_switch
        self._is_informational = False
        self._ends_with_connection = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._fields_size = 0
        self._silent = 0  # bytes since the last one that was of use
        self._fault: str | None = None
        self._parser = httptools.HttpResponseParser(self)

    @property
    def has_switched(self) -> bool:
        """Whether the answer is 101, and what follows is no HTTP."""
        return self.head is not None and self.head.status == 101

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            RemoteProtocolError: this is no answer that could be passed on; the message says why.
        """
        if self.has_switched:
            self._take(data)
            return
        if self.is_complete:
            self.is_reusable = False  # nobody asked for this
            return
        has_begun, self.has_begun = self.has_begun, True
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            if rest := data[exc.args[0] :]:
                self._take(rest)
        except httptools.HttpParserError as exc:
            if self.is_complete:
                self.is_reusable = False
                return
            if not has_begun and data.startswith(_TLS_ALERT):
                raise RemoteProtocolError("it answered with TLS, as https:// does") from exc
            raise RemoteProtocolError(self._fault or _words(exc)) from exc
        if self._silent > MAX_ANSWER_HEAD:
            raise RemoteProtocolError(f"more than {MAX_ANSWER_HEAD} bytes of head or framing")

    def receive_eof(self) -> None:
        """Take note that the origin sends nothing more.

        Raises:
            RemoteProtocolError: in the middle of the answer.
        """
        self.is_reusable = False
        if self.is_complete:
            return
        if self.has_switched or self._ends_with_connection:
            self.is_complete = True
        elif self.head is not None:
            raise RemoteProtocolError("it closed the connection in the middle of its answer")
        elif self.has_begun:
            raise RemoteProtocolError("it closed the connection within the head of its answer")
        else:
            raise RemoteProtocolError("it closed the connection without an answer")

    def on_message_begin(self) -> None:
        """The parser found the first byte of an answer."""
        if self.is_complete:
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser read a header or a trailer."""
        if self.head is not None:
            return  # a trailer, for which the tunnel has no place (protocol.md §6.2)
        self._fields_size += len(name) + len(value)
        if self._fields_size > MAX_ANSWER_HEAD:
            self._refuse(f"more than {MAX_ANSWER_HEAD} bytes of headers")
        if len(self._fields) >= _MAX_FIELDS:
            self._refuse(f"more than {_MAX_FIELDS} headers")
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser read a head, perhaps of 1xx."""
        if self.head is not None:
            return  # of an answer behind this one
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in _VERSIONS or not 100 <= status <= 999:
            self._refuse(f"HTTP/{version} with status {status}")
        if status == 100 or status >= 200:
            self.may_continue = True
        if status == 101:
            self._switch()
        elif status < 200:
            self._is_informational = True
            self._fields.clear()
        else:
            self._silent = 0
            self._begin(status, is_persistent=version == "1.1")

    def on_body(self, data: bytes) -> None:
        """The parser read a part of the body."""
        if self.is_complete:
            self.is_reusable = False
        else:
            self._take(data)

    def on_message_complete(self) -> None:
        """The parser read the end of an answer, perhaps of 1xx."""
        if self._is_informational:
            self._is_informational = False
        elif not self.has_switched:
            self.is_complete = True

    def _switch(self) -> None:
        if not self._may_switch:
            self._refuse("101 Switching Protocols, which nobody asked for")
        names = {name.lower() for name, _ in self._fields}
        if not names >= {b"connection", b"upgrade"}:
            self._refuse("101 Switching Protocols, without saying to which")
        headers = [
            (name.lower(), value)
            for name, value in self._fields
            if name.lower() not in _NOT_WITH_A_SWITCH
        ]
        self.head = AnswerHead(101, headers, is_event_stream=False)

    def _begin(self, status: int, *, is_persistent: bool) -> None:
        options: set[bytes] = set()
        codings: list[bytes] = []
        for name, value in self._fields:
            lower = name.lower()
            if lower == b"connection":
                options.update(option.strip().lower() for option in value.split(b","))
            elif lower == b"transfer-encoding":
                codings.append(value.strip().lower())
            elif lower == b"keep-alive" and (kept := _KEPT(value)):
                self.idle_timeout = float(kept[1])
        if codings and (codings != [b"chunked"] or not is_persistent):
            self._refuse("a Transfer-Encoding other than chunked")
        try:
            fields = check_fields(self._fields)
        except RuntimeError as exc:
            self._refuse(str(exc))
        dropped = options | _NOT_WITH_CONTENT if status == 204 else options
        if dropped:
            kept_fields = [field for field in fields.headers if field[0] not in dropped]
        else:
            kept_fields = fields.headers
        self.head = AnswerHead(status, kept_fields, fields.is_event_stream)
        has_body = not self._is_head and status not in (204, 304)
        self._ends_with_connection = has_body and not codings and fields.length is None
        persists = b"close" not in options and (is_persistent or b"keep-alive" in options)
        self.is_reusable = persists and not self._ends_with_connection
        if not has_body:
            self.is_complete = True  # whatever length it declares, which the parser would wait for

    def _take(self, data: bytes) -> None:
        self._silent = 0
        self.body.append(data)
        self.buffered += len(data)

    def _refuse(self, fault: str) -> None:
        """Stop the parser."""
        self._fault = fault
        raise RemoteProtocolError(fault)


def _words(error: httptools.HttpParserError) -> str:
    """What the parser says, which never repeats what it read."""
    return str(error) or type(error).__name__


MAX_ANSWER_HEAD = 128 << 10  # bytes; protocol.md §12, what the edge takes
_MAX_FIELDS = 900  # below what a head has room for (design.md §5)
_VERSIONS = ("1.0", "1.1")
_TLS_ALERT = b"\x15\x03"  # RFC 8446 §5.1, what plain HTTP at a TLS port gets
_NOT_WITH_A_SWITCH = frozenset({b"content-length", b"transfer-encoding"})  # RFC 9112 §6.3
_NOT_WITH_CONTENT = frozenset({b"content-length"})  # RFC 9110 §8.6
_KEPT = re.compile(rb"(?:^|,)\s*timeout=\"?([0-9]{1,6})", re.IGNORECASE).search
