"""One HTTP exchange between a request stream and an ASGI app."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Scope

from asgi_quicktunnel.errors import ConnectionLost, StreamReset
from asgi_quicktunnel.origin.answer import Answer
from asgi_quicktunnel.origin.call import call_app
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["HttpCycle"]

logger = logging.getLogger(__name__)


class HttpCycle:
    """One request and its answer, as the app sees them through `receive` and `send`.

    Nothing is read ahead: the edge gets credit for what the app has asked for. Once nobody listens
    any more `receive` says `http.disconnect`.
    """

    __slots__ = ("_answer", "_body_left", "_body_over", "_report", "_stream", "_turn", "_watcher")

    def __init__(
        self,
        stream: RequestStream,
        answer: Answer,
        report: RequestReport,
        *,
        body_length: int | None,
    ) -> None:
        """Prepare one exchange.

        Args:
            stream: the visitor's; ended or reset when `run` returns.
            answer: to the same stream.
            report: gets the body bytes that the app took.
            body_length: bytes the request body has, or None: it ends where the stream ends.
        """
        self._stream = stream
        self._answer = answer
        self._report = report
        self._body_left = body_length
        self._body_over = False  # the app was told of the end of the request body
        self._turn: asyncio.Lock | None = None  # streams have one reader at a time, apps may not
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer; whatever it does, the stream is at its end afterwards.

        Raises:
            asyncio.CancelledError: this task was cancelled; an answer under way was reset.
        """
        answer = self._answer
        try:
            returned = await call_app(app, scope, self.receive, answer.send)
            if not answer.is_over:
                if returned:
                    what = "completing" if answer.has_begun else "starting"
                    logger.error("ASGI callable returned without %s response.", what)
                if not answer.has_begun:
                    await answer.send_error_page()
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            answer.give_up()

    async def receive(self) -> Message:
        """ASGI's `receive`: the body as it comes, then `http.disconnect` when it is due."""
        if not self._body_over:
            if self._turn is None:
                self._turn = asyncio.Lock()
            async with self._turn:
                message = await self._receive_body()
            if message is not None:
                return message
        if self._watcher is None and not self._answer.is_over:
            self._watcher = asyncio.create_task(self._watch())
        await self._answer.wait_over()
        return {"type": "http.disconnect"}

    async def _receive_body(self) -> Message | None:
        """The next part of the body; None when none comes any more."""
        data = b""
        if self._body_left != 0 and not (self._answer.is_over or self._body_over):
            try:
                data = await self._stream.receive()
            except _GONE:
                self._answer.give_up()
        if self._answer.is_over or self._body_over:  # perhaps another task's doing meanwhile
            return None
        if self._body_left is None:
            self._body_over = not data
        elif self._body_left and not 0 < len(data) <= self._body_left:
            logger.warning(
                "request refused: its body is %s than its Content-Length",
                "longer" if data else "shorter",
            )
            self._answer.give_up()
            return None
        else:
            self._body_left -= len(data)
            self._body_over = self._body_left == 0
        self._report.received += len(data)
        return {"type": "http.request", "body": data, "more_body": not self._body_over}

    async def _watch(self) -> None:
        await self._stream.disconnected()
        self._answer.give_up()


_GONE = (StreamReset, ConnectionLost)
