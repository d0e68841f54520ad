"""What one ASGI scope costs: `python bench/scope.py` prints microseconds per request."""

from __future__ import annotations

import statistics
import timeit

from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.scope import http_scope, read_fields

ROUNDS, CALLS = 9, 5_000

# What a browser sends and the edge adds (protocol.md §6.8): 20 headers.
HEADERS = [
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, br"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"cache-control", b"max-age=0"),
    (b"cdn-loop", b"cloudflare; loops=1"),
    (b"cf-connecting-ip", b"203.0.113.7"),
    (b"cf-ipcountry", b"PT"),
    (b"cf-ray", b"8d1f0e2b3c4d5e6f-LIS"),
    (b"cf-visitor", b'{"scheme":"https"}'),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"dnt", b"1"),
    (b"priority", b"u=0, i"),
    (b"referer", b"https://four-random-test-words.trycloudflare.com/"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
    (b"upgrade-insecure-requests", b"1"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
]
FACTS = ConnectionFacts(conn_index=0, colo="lis01")
URL = "https://four-random-test-words.trycloudflare.com"


def request(count: int, path: bytes) -> RequestHead:
    headers = (HEADERS * (count // len(HEADERS) + 1))[:count]
    return RequestHead(RequestKind.HTTP, URL.encode() + path, "GET", URL[8:].encode(), headers)


def build(head: RequestHead) -> None:
    http_scope(head, read_fields(head.headers), facts=FACTS, public_url=URL, state={})


def main() -> None:
    for name, head in (
        ("no headers", request(0, b"/items/17?page=2")),
        ("20 headers", request(20, b"/items/17?page=2")),
        ("20 headers, percent-encoded path", request(20, b"/caf%C3%A9/%E2%82%AC?page=2")),
        ("200 headers", request(200, b"/items/17?page=2")),
    ):
        rounds = timeit.repeat(lambda head=head: build(head), number=CALLS, repeat=ROUNDS)
        microseconds = [seconds / CALLS * 1e6 for seconds in rounds]
        print(
            f"{name:34} {statistics.median(microseconds):7.2f} µs"
            f"  ({min(microseconds):.2f} .. {max(microseconds):.2f})"
        )


if __name__ == "__main__":
    main()
