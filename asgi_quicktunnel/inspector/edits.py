"""What is to be different when a request is sent once more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.model import Headers, RequestHead

__all__ = ["MASK", "Edits"]


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to one request; None leaves as it is.

    Attributes:
        method: a token (RFC 9110 §5.6.2).
        path: with the query; begins with "/".
        headers: all of them, in order, besides Host. A value of `MASK` stands for the one that
            was kept under this name, and a value that is the same text as the one that was kept
            stands for its bytes. Content-Length and Transfer-Encoding are set by the body.
        body: at most 1 MiB.

    Raises:
        ReplayError: a change that no HTTP request can have; its status is 400.
    """

    method: str | None = None
    path: str | None = None
    headers: tuple[tuple[str, str], ...] | None = None
    body: bytes | None = None

    def __post_init__(self) -> None:
        if self.method is not None and not _METHOD.fullmatch(self.method):
            raise _unusable("method", self.method, "a token of up to 64 characters, such as GET")
        if self.path is not None and not _PATH.fullmatch(self.path):
            raise _unusable(
                "path", self.path, 'up to 16 KiB of ASCII that begins with "/", without spaces'
            )
        if self.body is not None and len(self.body) > _MOST_BODY:
            raise ReplayError(f"the body has more than {_MOST_BODY} bytes", status=400)
        for name, value in self.headers or ():
            if not _NAME.fullmatch(name):
                raise _unusable("header name", name, "a token such as x-api-key")
            if _NOT_IN_VALUE.search(value):
                raise _unusable(f"value of header {name}", "...", "text without line breaks")
        size = sum(len(name) + len(value) for name, value in self.headers or ())
        if size > _MOST_HEADER_BYTES or len(self.headers or ()) > _MOST_HEADERS:
            most = f"{_MOST_HEADERS} headers and {_MOST_HEADER_BYTES} bytes of them"
            raise ReplayError(f"there may be at most {most}", status=400)

    def apply(self, head: RequestHead, body: bytes) -> tuple[RequestHead, bytes]:
        """The request as it is to be sent.

        Args:
            head: of the original.
            body: of the original.
        """
        headers = head.headers if self.headers is None else _real(self.headers, head.headers)
        if self.body is not None:
            body = self.body
        has_body = bool(body) or any(name in _LENGTHS for name, _ in head.headers)
        headers = [header for header in headers if header[0] not in _LENGTHS]
        if has_body:
            headers.append((b"content-length", b"%d" % len(body)))
        dest = head.dest
        if self.path is not None:
            base = _BASE.match(dest)
            dest = (base[0] if base else b"") + self.path.encode("ascii")
        method = head.method if self.method is None else self.method
        return head._replace(method=method, dest=dest, headers=headers), body


def _real(shown: Iterable[tuple[str, str]], kept: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as bytes; of a name that is there several times the first means the first."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in kept:
        values.setdefault(name, []).append(value)
    headers = []
    for name_text, text in shown:
        name = name_text.lower().encode("ascii")
        originals = values.get(name)
        original = originals.pop(0) if originals else None
        if original is not None and (text == MASK or text in _texts(original)):
            headers.append((name, original))
        else:
            headers.append((name, text.encode()))
    return headers


def _texts(value: bytes) -> tuple[str, str]:
    """What a value may look like as text."""
    return value.decode("utf-8", "replace"), value.decode("latin-1")


def _unusable(what: str, value: str, takes: str) -> ReplayError:
    return ReplayError(f"{what} {value[:80]!r} can't be used: it takes {takes}", status=400)


MASK = "***"
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110 §5.6.2
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_PATH = re.compile(r"/[!-~]{0,16383}")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # RFC 9110 §5.5
_BASE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
_MOST_BODY = 1 << 20  # bytes
_MOST_HEADERS = 1000  # as of what the edge sends, and
_MOST_HEADER_BYTES = 256 << 10  # (design.md §5)
