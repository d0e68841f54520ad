"""What visitors see when no connector answers for the edge (protocol.md §1, §6.4, §12)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from asgi_quicktunnel.model import Headers

__all__ = [
    "BAD_GATEWAY",
    "NO_TUNNEL",
    "TOO_MANY_REQUESTS",
    "Page",
    "refusal",
]


PASSED_ON = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"  # among whatever else is not refused


@dataclass(frozen=True, slots=True)
class Page:
    """A complete answer of the edge's own.

    Attributes:
        status: HTTP status.
        body: what it says.
        content_type: of the body.
        allow: methods that would do, with a 405 (RFC 9110 §15.5.6).
    """

    status: int
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    allow: bytes = b""

    @property
    def headers(self) -> Headers:
        """Those that describe the body; the page is never to be cached."""
        allowed = [(b"allow", self.allow)] if self.allow else []
        return [
            *allowed,
            (b"content-type", self.content_type.encode("ascii")),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
        ]


def _page(status: int, title: str, text: str) -> Page:
    html = (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><h1>{title}</h1><p>{text}</p><hr><p>embedded edge of asgi-quicktunnel</p>"
        "</body></html>\n"
    )
    return Page(status, html.encode())


def refusal(status: int, *, allow: bytes = PASSED_ON) -> Page:
    """For a request that the edge itself can't take: 400, 405, 431.

    Args:
        status: of the answer.
        allow: what a 405 names as the methods that would do.
    """
    page = _page(status, f"Error {status}", "The edge could not understand this request.")
    return replace(page, allow=allow) if status == 405 else page


NO_TUNNEL = _page(
    530,
    "Cloudflare Tunnel error",
    "error code: 1033. No connector is registered for this name.",
)
BAD_GATEWAY = _page(
    502, "Error 502: Bad gateway", "The connector could not get an answer from its origin."
)
TOO_MANY_REQUESTS = _page(
    429, "Error 429: Too many requests", "Too many requests are in flight on this tunnel."
)
