"""The answer to one request, as an app gives it message by message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread
from starlette.types import Message

from asgi_quicktunnel.errors import ConnectionLost, StreamReset
from asgi_quicktunnel.model import ResponseHead
from asgi_quicktunnel.origin.fields import check_fields
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["Answer", "AnswerTypes"]

logger = logging.getLogger(__name__)


class AnswerTypes(NamedTuple):
    """The types of the messages that an answer is made of; `file` where files may be named."""

    start: str = "http.response.start"
    body: str = "http.response.body"
    file: str | None = "http.response.pathsend"


class Answer:
    """Head, body and end of an answer on their way to a stream.

    Once nobody listens any more, what the app still sends is ignored, as in uvicorn.
    """

    __slots__ = (
        "_draining",
        "_ended",
        "_is_endless",
        "_method",
        "_on_event_stream",
        "_over",
        "_report",
        "_stream",
        "_types",
        "_unsent",
        "_withholds_body",
    )

    def __init__(
        self,
        stream: RequestStream,
        report: RequestReport,
        *,
        method: str,
        types: AnswerTypes | None = None,
        on_event_stream: Callable[[bytes], None] | None = None,
    ) -> None:
        """Prepare one answer.

        Args:
            stream: the visitor's.
            report: gets status and bytes, and is told of the end.
            method: the request's, in upper case.
            types: what the app calls its messages; None for those of HTTP.
            on_event_stream: called with the destination when the answer to a GET turns out to be
                text/event-stream.
        """
        self._stream = stream
        self._report = report
        self._method = method
        self._types = types or _HTTP
        self._on_event_stream = on_event_stream
        self._unsent: int | None = None  # bytes the answer's Content-Length still promises
        self._withholds_body = False
        self._is_endless = False
        self._draining = False
        self._over = False
        self._ended: asyncio.Event | None = None  # set with _over; made when something waits

    @property
    def has_begun(self) -> bool:
        """Whether the head was sent."""
        return self._report.status is not None

    @property
    def is_over(self) -> bool:
        """Whether it ended, whole or not."""
        return self._over

    async def wait_over(self) -> None:
        """Return once it ended, whole or not."""
        if self._over:
            return
        if self._ended is None:
            self._ended = asyncio.Event()
        await self._ended.wait()

    async def send(self, message: Message) -> None:
        """ASGI's `send`; waits while the visitor is slow.

        Raises:
            RuntimeError: a message out of order, or a head that HTTP does not allow.
            TypeError: a body or header that is not bytes.
            OSError: a file that can't be read.
        """
        kind = message["type"]
        types = self._types
        if self._over:
            logger.debug("ignored %s: the response is over", kind)
            await asyncio.sleep(0)  # an app that sends without end must not hold the event loop
        elif self._report.status is None:
            if kind != types.start:
                raise RuntimeError(f"Expected ASGI message '{types.start}', but got '{kind}'.")
            await self._send_head(message)
        elif kind == types.body:
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        elif kind == types.file and not self._report.sent:
            await self._send_file(message["path"])
        else:
            raise RuntimeError(f"Expected ASGI message '{types.body}', but got '{kind}'.")

    async def send_error_page(self) -> None:
        """Say 500, instead of an app that failed before it began."""
        text = b"Internal Server Error"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(text)),
        ]
        await self.send({"type": self._types.start, "status": 500, "headers": headers})
        await self.send({"type": self._types.body, "body": text})

    async def drain(self) -> None:
        """End an event-stream, also one that has yet to begin; anything else goes on."""
        self._draining = True
        if self._is_endless and not self._over:
            await self._finish()

    def give_up(self) -> None:
        """Reset the stream, unless the answer ended: what is still on its way must arrive."""
        if not self._over:
            self._stream.reset()
            self._end()

    async def _send_head(self, message: Message) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            # 1xx has no place in a stream's one head (protocol.md §6.2); above 599 nothing is valid
            # (RFC 9110 §15).
            raise RuntimeError(f"Invalid HTTP status {status!r}: a response has 200 to 599.")
        fields = check_fields(message.get("headers", ()))
        self._withholds_body = self._method == "HEAD" or status in (204, 304)
        if not self._withholds_body:
            self._unsent = fields.length
        self._report.status = int(status)
        try:
            await self._stream.respond(ResponseHead(self._report.status, fields.headers))
        except _GONE:
            self._report.status = None
            self.give_up()
            return
        if fields.is_event_stream and self._method == "GET":
            self._is_endless = True
            if self._on_event_stream is not None:
                self._on_event_stream(self._stream.head.dest)
            if self._draining:
                await self.drain()

    async def _send_body(self, body: bytes, more_body: bool) -> None:
        if not isinstance(body, bytes):
            body = bytes(memoryview(body))
        if self._withholds_body:
            body = b""
            await asyncio.sleep(0)  # nothing else here would let the event loop run
        elif self._unsent is not None:
            if len(body) > self._unsent:
                logger.error("Response content longer than Content-Length: cut.")
                body = body[: self._unsent]
                more_body = False
            self._unsent -= len(body)
        if body:
            try:
                await self._stream.send(body)
            except _GONE:
                self.give_up()
                return
            self._report.sent += len(body)
        if not (self._over or more_body):
            await self._finish()

    async def _send_file(self, path: str) -> None:
        """The file as the whole body, read in a thread as fast as the visitor takes it."""
        if not self._withholds_body:
            file = await anyio.to_thread.run_sync(_open, path)
            with file:
                while not self._over and (
                    data := await anyio.to_thread.run_sync(file.read, _FILE_CHUNK)
                ):
                    await self._send_body(data, more_body=True)
        if not self._over:
            await self._finish()

    async def _finish(self) -> None:
        """End the answer; one that is shorter than it said must not pass for whole."""
        if self._unsent:
            logger.error("Response content shorter than Content-Length: stream reset.")
            self.give_up()
            return
        await self._stream.send_eof()
        self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._ended is not None:
            self._ended.set()
        self._report.done()


def _open(path: str) -> FileIO:
    return Path(path).open("rb", buffering=0)


_HTTP = AnswerTypes()
_GONE = (StreamReset, ConnectionLost)
_FILE_CHUNK = 256 << 10  # bytes; large enough that changing threads costs little
