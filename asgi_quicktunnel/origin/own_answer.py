"""What an origin says for itself, whoever answers the rest."""

from __future__ import annotations

import html
from http import HTTPStatus

from asgi_quicktunnel.errors import ConnectionLost, OriginError, StreamReset
from asgi_quicktunnel.model import Headers, RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.scope import is_for_connector, shown_path
from asgi_quicktunnel.protocol.readiness import READINESS_PREFIX, answer_for
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["decline", "failure_page", "is_own_business", "prove_readiness", "send_page"]


def is_own_business(head: RequestHead, nonce: str | None) -> bool:
    """Whether an origin answers this for itself: neither the app nor a record is to have it.

    Args:
        head: what was asked for.
        nonce: `Origin.readiness_nonce`.
    """
    return is_for_connector(head) or (nonce is not None and _proof(head, nonce) is not None)


async def prove_readiness(stream: RequestStream, nonce: str) -> bool:
    """Answer the request that asks whether the public URL works; whether it was that one."""
    proof = _proof(stream.head, nonce)
    if proof is None:
        return False
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(proof)),
        (b"cache-control", b"no-store"),
    ]
    try:
        await stream.respond(ResponseHead(200, headers))
        await stream.send(proof)
        await stream.send_eof()
    except (StreamReset, ConnectionLost):
        stream.reset()
    return True


async def decline(stream: RequestStream, report: RequestReport) -> None:
    """Answer with an error reply, which the visitor sees as a 502 page (protocol.md §6.4)."""
    try:
        await stream.respond(ResponseHead(502, error=_NO_TCP))
        await stream.send_eof()
        report.status = 502
    except (StreamReset, ConnectionLost):
        stream.reset()
    report.done()


async def send_page(
    stream: RequestStream, report: RequestReport, status: int, text: bytes, kind: bytes
) -> None:
    """Answer with a page; a HEAD gets its head alone.

    Raises:
        StreamReset: the visitor left.
        ConnectionLost: the connection beneath ended.
    """
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-store"),
    ]
    await stream.respond(ResponseHead(status, headers))
    report.status = status
    if stream.head.method != "HEAD":
        await stream.send(text)
        report.sent += len(text)
    await stream.send_eof()


def failure_page(request: RequestHead, error: OriginError) -> tuple[bytes, bytes]:
    """What the visitor reads when the origin did not answer: text and Content-Type.

    HTML where the visitor takes that, plain text elsewhere. It says what was tried.
    """
    status = HTTPStatus(error.status)
    title = f"{status.value} {status.phrase}"
    explanation = "The tunnel works; what it leads to did not answer."
    if not _takes_html(request.headers):
        return f"{title}\n{explanation}\n{error}\n".encode(), b"text/plain; charset=utf-8"
    page = _PAGE.format(title=title, explanation=explanation, error=html.escape(str(error)))
    return page.encode(), b"text/html; charset=utf-8"


def _proof(head: RequestHead, nonce: str) -> bytes | None:
    if READINESS_PREFIX not in head.dest or head.method != "GET":
        return None
    if head.kind is not RequestKind.HTTP:
        return None
    return answer_for(shown_path(head.dest).encode("ascii"), nonce)


def _takes_html(headers: Headers) -> bool:
    return any(name == b"accept" and b"text/html" in value.lower() for name, value in headers)


_NO_TCP = "this connector serves HTTP; it has no use for a TCP stream"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 40rem }}
code {{ background: #8882; padding: .2em .4em; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{explanation}</p>
<p><code>{error}</code></p>
</html>
"""
