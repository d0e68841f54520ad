"""One request of a visitor and its answer, between HTTP/1.1 and a connector."""

from __future__ import annotations

import enum
import logging
from email.utils import formatdate
from typing import Literal

import anyio
from anyio import CancelScope
from anyio.abc import ByteStream

from asgi_quicktunnel.emulator.answer import AnswerRules
from asgi_quicktunnel.emulator.base import AnswerStream
from asgi_quicktunnel.emulator.http1 import (
    BadRequest,
    HttpConnection,
    VisitorGone,
    receive_or_end,
    send_or_gone,
)
from asgi_quicktunnel.emulator.pages import BAD_GATEWAY, Page, refusal
from asgi_quicktunnel.emulator.request import has_body
from asgi_quicktunnel.errors import ProtocolError, TransportError
from asgi_quicktunnel.model import Headers, RequestHead

__all__ = ["Exchange", "FinPolicy", "Outcome", "send_page"]

logger = logging.getLogger(__name__)

FinPolicy = Literal["held", "early"]


class Outcome(enum.Enum):
    """What becomes of the visitor's connection."""

    REUSABLE = "another request may follow"
    OVER = "close it"
    CUT = "close it so that the visitor notices that the answer is not whole"


class Exchange:
    """Passes a request's body to the connector and the answer back, both at once.

    Args:
        http: the visitor's connection, its request's head taken.
        head: that head, as it was sent to the connector.
        answer: the connector's end.
    """

    def __init__(self, http: HttpConnection, head: RequestHead, answer: AnswerStream) -> None:
        self._http = http
        self._head = head
        self._answer = answer
        self._rules = AnswerRules(head, answer.report)
        self._request_complete = not has_body(head)
        self._answer_started = False
        self._answer_complete = False
        self._switch_headers: Headers | None = None
        self._visit_over = False
        self._bad_request: BadRequest | None = None

    async def run(self, raw: ByteStream) -> None:
        """The connector's part: afterwards it is done with this request.

        Args:
            raw: the stream beneath `http`, for what comes after a 101.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_request, tasks.cancel_scope)
                await self._pass_answer()
                tasks.cancel_scope.cancel()
            if self._switch_headers is not None:
                await self._pipe(raw, self._switch_headers)
            elif self._answer_complete and self._request_complete:
                await self._answer.send_eof()
        finally:
            self._answer.abandon()

    async def conclude(self) -> Outcome:
        """The visitor's part: a page if no answer came, and what is left of its request."""
        if self._visit_over:
            return Outcome.OVER
        if not self._answer_complete:
            if self._answer_started:
                return Outcome.CUT
            bad = self._bad_request
            page = refusal(bad.status) if bad else BAD_GATEWAY
            try:
                await send_page(self._http, page, self._head.method, close=bad is not None)
            except VisitorGone:
                return Outcome.OVER
        if self._switch_headers is None and await self._http.finish():
            return Outcome.REUSABLE
        await self._http.linger()
        return Outcome.OVER

    async def _pass_request(self, exchange: CancelScope) -> None:
        """Send the body, then watch whether the visitor stays; ends the exchange if not."""
        try:
            taken = True
            while data := await self._http.receive():
                taken = taken and await self._send(data)
            if taken and not self._request_complete:
                self._request_complete = True
                await self._answer.send_eof()
            await self._http.wait_gone()
            self._visit_over = True
        except BadRequest as exc:
            self._bad_request = exc
        except VisitorGone:
            self._visit_over = True
        except TransportError:
            return  # the answer's side sees it too
        exchange.cancel()

    async def _send(self, data: bytes) -> bool:
        """False when the connector wants no more: the visitor's body is then read and dropped."""
        try:
            await self._answer.send(data)
        except TransportError:
            return False
        return True

    async def _pass_answer(self) -> None:
        """Send the answer to the visitor, as far as it comes."""
        try:
            head = await self._answer.receive_head()
            if head.error is not None:
                logger.info("the connector could not answer: %s", head.error)
                return
            headers = self._rules.take_head(head)
            if head.status == 101:
                self._switch_headers = headers
                self._answer_complete = True
                return
            await self._http.respond(head.status, headers)
            self._answer_started = True
            while not self._rules.is_over and (data := await self._answer.receive()):
                if body := self._rules.take_data(data):
                    await self._http.send(body)
            if self._rules.take_end():
                await self._http.send_eof()
                self._answer_complete = True
        except VisitorGone:
            self._visit_over = True
        except (TransportError, ProtocolError) as exc:
            logger.info("an answer failed: %s", exc)

    async def _pipe(self, raw: ByteStream, headers: Headers) -> None:
        """Raw bytes both ways, until either side ends (protocol.md §6.6)."""
        try:
            first = await self._http.switch(headers)
        except VisitorGone:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pipe_upward, raw, first, tasks.cancel_scope)
            try:
                while data := await self._answer.receive():
                    await send_or_gone(raw, data)
            except (TransportError, VisitorGone):
                pass
            tasks.cancel_scope.cancel()

    async def _pipe_upward(self, raw: ByteStream, data: bytes, pipe: CancelScope) -> None:
        try:
            if data:
                await self._answer.send(data)
            while data := await receive_or_end(raw):
                await self._answer.send(data)
            await self._answer.send_eof()
        except TransportError:
            pass
        pipe.cancel()


async def send_page(http: HttpConnection, page: Page, method: str, *, close: bool = False) -> None:
    """Answer with a page of the edge's own.

    Args:
        http: where to.
        page: what.
        method: the request's, "" when none could be read; HEAD gets no body.
        close: say that the connection is closed afterwards.

    Raises:
        VisitorGone: nobody takes it.
    """
    headers = [*page.headers, (b"date", formatdate(usegmt=True).encode())]  # RFC 9110 §6.6.1
    if close:
        headers.append((b"connection", b"close"))
    await http.respond(page.status, headers)
    if method != "HEAD":
        await http.send(page.body)
    await http.send_eof()
