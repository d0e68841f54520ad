"""One visitor's request to an ASGI app, through `AsgiOrigin` and a stream in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio

from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.origin.base import ConnectionFacts

from tests_support.fake_stream import FakeStream

FACTS = ConnectionFacts(conn_index=1, colo="bog01")
HOST = b"four-random-test-words.trycloudflare.com"


class Visit:
    """A request that was made and not yet answered: `await visit.run()` lets the app answer.

    With `body` the request is whole: it has a Content-Length, all of the body, and the end.
    """

    def __init__(
        self,
        app,
        method="GET",
        dest=b"/",
        headers=(),
        *,
        body: bytes | None = None,
        kind=RequestKind.HTTP,
        host=HOST,
        root_path="",
        websocket=None,
        **stream_options,
    ) -> None:
        headers = list(headers)
        if body is not None:
            headers.append((b"content-length", b"%d" % len(body)))
        head = RequestHead(kind=kind, dest=dest, method=method, host=host, headers=headers)
        self.stream = FakeStream(head, **stream_options)
        if body is not None:
            self.stream.feed(body)
            self.stream.feed_eof()
        self.events = []
        self.origin = AsgiOrigin(
            app, emit=self.events.append, root_path=root_path, websocket=websocket
        )

    async def run(self):
        """Serve the request to its end; returns self."""
        await self.origin.serve(self.stream, FACTS)
        return self

    @asynccontextmanager
    async def running(self):
        """Serve the request while the block plays the visitor; 5 s at most."""
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.run)
                yield self.stream

    @property
    def status(self):
        return None if self.stream.response is None else self.stream.response.status

    @property
    def headers(self):
        return dict(self.stream.response.headers)

    @property
    def body(self):
        return bytes(self.stream.sent)

    @property
    def done(self):
        """The one event that the request emitted."""
        (event,) = self.events
        return event
