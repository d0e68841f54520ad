"""A request and an answer as they are usual: what the timed parts get to work on."""

from __future__ import annotations

from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead

__all__ = ["HEADERS", "REQUEST", "RESPONSE", "URL", "request_with"]


def request_with(headers: int) -> RequestHead:
    """The request with so many headers."""
    repeated = (HEADERS * (headers // len(HEADERS) + 1))[:headers]
    return RequestHead(RequestKind.HTTP, DEST, "GET", HOST, repeated)


URL = "https://words-of-the-day.trycloudflare.com"
DEST = URL.encode() + b"/items/42?page=3&sort=name"
HOST = URL.removeprefix("https://").encode()
HEADERS = [
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, br"),
    (b"accept-language", b"en-GB,en;q=0.7,de;q=0.3"),
    (b"cache-control", b"no-cache"),
    (b"cdn-loop", b"cloudflare; loops=1"),
    (b"cf-connecting-ip", b"203.0.113.7"),
    (b"cf-ipcountry", b"PT"),
    (b"cf-ray", b"8f2f6a1b2c3d4e5f-LIS"),
    (b"cf-visitor", b'{"scheme":"https"}'),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"dnt", b"1"),
    (b"pragma", b"no-cache"),
    (b"referer", b"https://words-of-the-day.trycloudflare.com/"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
    (b"upgrade-insecure-requests", b"1"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
]  # a browser's, and what the edge adds (protocol.md §6.8)
REQUEST = request_with(20)
RESPONSE = ResponseHead(200, HEADERS)
