"""A request as a command or a program that sends it again, through the tunnel."""

from __future__ import annotations

import base64
import re
import shlex

from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.inspector.edits import MASK
from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.model import Headers
from asgi_quicktunnel.origin.scope import request_target

__all__ = ["Snippet"]


class Snippet:
    """One request, without what Cloudflare or the client's own library adds anew.

    Values that are masked stay so: whoever runs it puts in their own.

    Args:
        record: of the request; only what was kept of its body is sent.
        redaction: which values are masked.
        base_url: such as "https://example.trycloudflare.com"; None takes the Host of the request.

    Raises:
        RemoteProtocolError: it is malformed, as no client would send it.
    """

    def __init__(self, record: Record, redaction: Redaction, base_url: str | None) -> None:
        head = record.head
        self._method, target, host = request_target(head)
        base = base_url or f"https://{host.decode('latin-1')}"
        self._url = base + "".join(map(_url_character, target))
        self._headers = _own_headers(head.headers, redaction)
        self._accepts_encodings = any(name == b"accept-encoding" for name, _ in head.headers)
        self._body = record.request_body
        self._note = ""
        if record.received > len(self._body):
            self._note = (
                f"# only {len(self._body)} of {record.received} bytes of the body are known"
            )

    def curl(self) -> str:
        """A command for a POSIX shell; a body that is no text goes through base64(1)."""
        words = ["curl"]
        # curl takes dot segments out and reads braces and brackets as patterns, unless told not to.
        if "/." in self._url:
            words.append("--path-as-is")
        if set(self._url) & set("{}[]"):
            words.append("--globoff")
        if self._method == "HEAD" and not self._body:
            words.append("--head")
        elif self._method != ("POST" if self._body else "GET"):
            words += ["-X", self._method]
        words.append(self._url)
        for name, value in self._headers:
            # "name:" alone would take a header out of the request.
            line = name + b": " + value if value else name + b";"
            words += ["-H", line.decode("utf-8", "surrogateescape")]
        if self._body and not _has(self._headers, b"content-type"):
            words += ["-H", "content-type:"]  # rather than that of a form
        if self._accepts_encodings:
            words.append("--compressed")
        before = ""
        if self._body:
            text = _text(self._body)
            if text is None:
                encoded = base64.b64encode(self._body).decode("ascii")
                before = f"printf %s {encoded} | base64 -d | "
                words += ["--data-binary", "@-"]
            else:
                words += ["--data-raw", text]
        command = before + " ".join(_quoted(word) for word in words)
        return f"{self._note}\n{command}" if self._note else command

    def httpx(self) -> str:
        """A Python program."""
        lines = [self._note, "import httpx", "", "response = httpx.request("]
        lines += [f"    {self._method!r},", f"    {self._url!r},"]
        if self._headers:
            lines.append("    headers=[")
            lines += [
                f"        ({name!r}, {value!r})," for name, value in map(_ascii, self._headers)
            ]
            lines.append("    ],")
        if self._body:
            lines.append(f"    content={self._body!r},")
        lines += [")", "print(response.status_code, response.text)"]
        return "\n".join(lines[0 if self._note else 1 :]) + "\n"


def _own_headers(headers: Headers, redaction: Redaction) -> list[tuple[bytes, bytes]]:
    return [
        (name, MASK.encode() if redaction.masks(name) else value)
        for name, value in headers
        if name not in _ADDED and not name.startswith(_ADDED_PREFIXES)
    ]


def _has(headers: Headers, wanted: bytes) -> bool:
    return any(name == wanted for name, _ in headers)


def _text(body: bytes) -> str | None:
    """The body where it can be a word of a command and survives a terminal, else None."""
    if len(body) > _LONGEST_WORD or _CONTROL.search(body):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _url_character(byte: int) -> str:
    """A byte of a target; what no URL may have is percent-encoded (RFC 3986 §2.1)."""
    return chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}"


def _quoted(word: str) -> str:
    """A word for the shell; of one that is no UTF-8, each byte as an octal number."""
    raw = word.encode("utf-8", "surrogateescape")
    if raw == word.encode("utf-8", "replace"):
        return shlex.quote(word)
    octal = "".join(f"\\{byte:03o}" for byte in raw)
    return f"\"$(printf '{octal}')\""


def _ascii(header: tuple[bytes, bytes]) -> tuple[str | bytes, str | bytes]:
    name, value = header
    return (name.decode(), value.decode()) if value.isascii() else (name, value)


_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_WORD = 100_000  # bytes; Linux takes 128 KiB (execve(2))

# What the edge adds, what belongs to a connection, and what a client sets by itself.
_ADDED = frozenset(
    {
        b"accept-encoding",
        b"cdn-loop",
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"transfer-encoding",
        b"upgrade",
        b"x-quicktunnel-replay",
        b"x-real-ip",
    }
)
_ADDED_PREFIXES = (b"cf-", b"x-forwarded-")
