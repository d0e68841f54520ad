"""Exchanges that go through a `RecordedStream`, with a stream in memory beneath."""

from __future__ import annotations

from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead

from tests_support.fake_stream import FakeStream
from tests_support.visit import FACTS, HOST


def request(method="GET", dest=b"/", headers=(), *, body=b"", kind=RequestKind.HTTP, host=HOST):
    """A head; with `body` it has the length of that."""
    headers = list(headers)
    if body:
        headers.append((b"content-length", b"%d" % len(body)))
    return RequestHead(kind, dest, method, host, headers)


async def exchange(
    head=None,
    *,
    store=None,
    body=b"",
    status=200,
    headers=(),
    answer=(),
    end="eof",
    facts=FACTS,
):
    """The record of one exchange: the body is read, the answer given in its parts, then the end.

    `status` None gives no answer; `end` is "eof", "reset" or None.
    """
    head = request("POST" if body else "GET", body=body) if head is None else head
    stream = FakeStream(head, window=1 << 30, high_water=1 << 30)
    record = (store or RequestStore()).begin(stream, facts)
    if body:
        stream.feed(body)
        stream.feed_eof()
        while await record.receive():
            pass
    if status is not None:
        await record.respond(ResponseHead(status, list(headers)))
        for part in answer:
            await record.send(part)
    if end == "eof":
        await record.send_eof()
    elif end == "reset":
        record.reset()
    return record
