"""The parts of a request that are ours, timed alone: python -m bench.micro [pyperf's options]

The codec of heads, the ASGI scope, and one whole cycle from a request to its answer on a stream in
memory: 20 headers, a bare app with 100 bytes.
"""

from __future__ import annotations

import pyperf

from asgi_quicktunnel.model import RequestHead, ResponseHead
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.scope import http_scope, read_fields
from asgi_quicktunnel.protocol.datastream import (
    AnswerReader,
    OpeningReader,
    encode_request,
    encode_response,
)

from bench.heads import REQUEST, RESPONSE, URL, request_with

FACTS = ConnectionFacts(conn_index=0, colo="lis01")
ANSWER_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"100")]
START = {"type": "http.response.start", "status": 200, "headers": ANSWER_HEADERS}
BODY = {"type": "http.response.body", "body": b"x" * 100}


class Stream:
    """A request that is complete, and an answer that goes nowhere."""

    head = REQUEST

    async def receive(self) -> bytes:
        return b""

    async def respond(self, head: ResponseHead) -> None:
        encode_response(head)

    async def send(self, data: bytes) -> None:
        pass

    async def send_eof(self) -> None:
        pass

    def reset(self, code: int = 0) -> None:
        raise AssertionError("the cycle failed")

    async def disconnected(self) -> None:
        pass


async def app(scope, receive, send):
    await send(START)
    await send(BODY)


def main() -> None:
    """Time each part."""
    request, response = encode_request(REQUEST), encode_response(RESPONSE)
    origin = AsgiOrigin(app, emit=lambda event: None)
    origin.public_url = URL

    def scope(head: RequestHead) -> None:
        http_scope(head, read_fields(head.headers), facts=FACTS, public_url=URL, state={})

    async def cycle() -> None:
        await origin.serve(Stream(), FACTS)

    runner = pyperf.Runner(program_args=("-m", "bench.micro"))
    runner.bench_func("decode request", lambda: OpeningReader().receive_data(request))
    runner.bench_func("encode request", lambda: encode_request(REQUEST))
    runner.bench_func("decode response", lambda: AnswerReader().receive_data(response))
    runner.bench_func("encode response", lambda: encode_response(RESPONSE))
    for headers in (0, 20, 200):
        runner.bench_func(f"scope, {headers} headers", scope, request_with(headers))
    runner.bench_async_func("cycle", cycle)


if __name__ == "__main__":
    main()
