"""One HTTP exchange between a request stream and an ASGI app."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from asgi_quicktunnel.errors import ConnectionLost, StreamReset
from asgi_quicktunnel.model import ResponseHead
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["HttpCycle"]

logger = logging.getLogger(__name__)


class HttpCycle:
    """One request and its answer, as the app sees them through `receive` and `send`.

    Nothing is read ahead: the edge gets credit for what the app has asked for. Once nobody listens
    any more `receive` says `http.disconnect` and `send` does nothing, as in uvicorn.

    Attributes:
        status: of the answer; None until its head was sent.
        received: body bytes the app took.
        sent: body bytes that went to the visitor.
    """

    __slots__ = (
        "_body_left",
        "_body_over",
        "_ended",
        "_method",
        "_on_end",
        "_over",
        "_stream",
        "_turn",
        "_unsent",
        "_watcher",
        "_withholds_body",
        "received",
        "sent",
        "status",
    )

    def __init__(
        self,
        stream: RequestStream,
        *,
        method: str,
        body_length: int | None,
        on_end: Callable[[HttpCycle], None],
    ) -> None:
        """Prepare one exchange.

        Args:
            stream: the visitor's; ended or reset when `run` returns.
            method: in upper case.
            body_length: bytes the request body has, or None: it ends where the stream ends.
            on_end: called once, when the answer ended or was given up; the app may still run.
        """
        self.status: int | None = None
        self.received = 0
        self.sent = 0
        self._stream = stream
        self._method = method
        self._on_end = on_end
        self._body_left = body_length
        self._body_over = False  # the app was told of the end of the request body
        self._turn: asyncio.Lock | None = None  # streams have one reader at a time, apps may not
        self._unsent: int | None = None  # bytes the answer's Content-Length still promises
        self._withholds_body = False
        self._over = False  # the answer ended, whole or not
        self._ended: asyncio.Event | None = None  # set with _over; made when something waits
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer; whatever it does, the stream is at its end afterwards.

        Raises:
            asyncio.CancelledError: this task was cancelled; an answer under way was reset.
        """
        try:
            await self._call(app, scope)
            if self.status is None and not self._over:
                await self._send_error_page()
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            self._give_up()

    async def _call(self, app: ASGIApp, scope: Scope) -> None:
        """Run the app and log what it did wrong."""
        try:
            returned: Any = await app(scope, self.receive, self.send)  # type: ignore[func-returns-value]  # apps err
        except BaseException as exc:
            if _must_pass(exc):
                raise
            logger.exception("Exception in ASGI application")
            return
        if returned is not None:
            logger.error("ASGI callable should return None, but returned %r.", returned)
        elif self._over:
            pass
        elif self.status is None:
            logger.error("ASGI callable returned without starting response.")
        else:
            logger.error("ASGI callable returned without completing response.")

    async def _send_error_page(self) -> None:
        text = b"Internal Server Error"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(text)),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    async def receive(self) -> Message:
        """ASGI's `receive`: the body as it comes, then `http.disconnect` when it is due."""
        if not self._body_over:
            if self._turn is None:
                self._turn = asyncio.Lock()
            async with self._turn:
                message = await self._receive_body()
            if message is not None:
                return message
        if not self._over:
            await self._until_ended()
        return {"type": "http.disconnect"}

    async def _receive_body(self) -> Message | None:
        """The next part of the body; None when none comes any more."""
        data = b""
        if self._body_left != 0 and not (self._over or self._body_over):
            try:
                data = await self._stream.receive()
            except _GONE:
                self._give_up()
        if self._over or self._body_over:  # perhaps another task's doing while this one waited
            return None
        if self._body_left is None:
            self._body_over = not data
        elif self._body_left and not 0 < len(data) <= self._body_left:
            logger.warning(
                "request refused: its body is %s than its Content-Length",
                "longer" if data else "shorter",
            )
            self._give_up()
            return None
        else:
            self._body_left -= len(data)
            self._body_over = self._body_left == 0
        self.received += len(data)
        return {"type": "http.request", "body": data, "more_body": not self._body_over}

    async def _until_ended(self) -> None:
        """Wait for the end of the answer or the visitor's leaving, whichever is first."""
        if self._ended is None:
            self._ended = asyncio.Event()
            self._watcher = asyncio.create_task(self._watch())
        await self._ended.wait()

    async def _watch(self) -> None:
        await self._stream.disconnected()
        self._give_up()

    async def send(self, message: Message) -> None:
        """ASGI's `send`; waits while the visitor is slow.

        Raises:
            RuntimeError: a message out of order, or a head that HTTP does not allow.
            TypeError: a body or header that is not bytes.
        """
        kind = message["type"]
        if self._over:
            logger.debug("ignored %s: the response is over", kind)
            await asyncio.sleep(0)  # an app that sends without end must not hold the event loop
        elif self.status is None:
            if kind != "http.response.start":
                raise RuntimeError(
                    f"Expected ASGI message 'http.response.start', but got '{kind}'."
                )
            await self._send_head(message)
        elif kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")

    async def _send_head(self, message: Message) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            # 1xx has no place in a stream's one head (protocol.md §6.2).
            raise RuntimeError(f"Invalid HTTP status {status!r}: a response has 200 to 999.")
        headers, length = _response_fields(message.get("headers", ()))
        self._withholds_body = self._method == "HEAD" or status in (204, 304)
        if not self._withholds_body:
            self._unsent = length
        self.status = int(status)
        try:
            await self._stream.respond(ResponseHead(self.status, headers))
        except _GONE:
            self.status = None
            self._give_up()

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
        try:
            if body:
                await self._stream.send(body)
                self.sent += len(body)
            if self._over or more_body:
                return
            if self._unsent:
                logger.error("Response content shorter than Content-Length: stream reset.")
                self._give_up()
            else:
                await self._stream.send_eof()
                self._end()
        except _GONE:
            self._give_up()

    def _give_up(self) -> None:
        """Reset the stream, unless the answer ended: what is still on its way must arrive."""
        if not self._over:
            self._stream.reset()
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._ended is not None:
            self._ended.set()
        self._on_end(self)


def _must_pass(exc: BaseException) -> bool:
    """Whether this is meant for the whole task or process rather than the app's own failure."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(exc, (GeneratorExit, KeyboardInterrupt))


def _response_fields(
    fields: Iterable[tuple[bytes, bytes]],
) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """The headers of the answer without hop-by-hop ones, and what Content-Length says.

    Raises:
        RuntimeError: a name, a value or a Content-Length that HTTP does not allow.
    """
    headers = []
    length: int | None = None
    for field_name, value in fields:
        name = _response_name(field_name)
        if _NOT_IN_VALUE(value):
            raise RuntimeError(f"Invalid HTTP header value: that of {name!r} has a control in it.")
        if name in _HOP_BY_HOP:
            continue
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS:
                raise RuntimeError("Invalid HTTP header value: Content-Length is one number.")
            length = int(value)
        headers.append((name, value))
    return headers, length


@lru_cache(maxsize=1024)
def _response_name(name: bytes) -> bytes:
    """The name in lower case; cached, because apps use few names often."""
    if not _TOKEN(name):
        raise RuntimeError(f"Invalid HTTP header name {name!r}.")
    return name.lower()


_GONE = (StreamReset, ConnectionLost)
_LENGTH_DIGITS = 18  # below 2^63
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 §5.6.2
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search  # RFC 9110 §5.5; tab may be

# RFC 9110 §7.6.1, with the Keep-Alive and Proxy-Connection of older software: they describe a hop
# that does not exist here. cloudflared passes some of them on (protocol.md §6.3).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
