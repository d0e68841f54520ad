"""What the front needs of a connector's connection, whatever carries it.

QUIC is one such; HTTP/2 over TLS can stand beside it (protocol.md §8).
"""

from __future__ import annotations

from typing import Protocol

from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.model import RequestHead, ResponseHead

__all__ = ["AnswerStream", "Serving"]


class AnswerStream(Protocol):
    """One request on its way to a connector, and the answer: the edge's end of `RequestStream`.

    Every method may raise `StreamReset` (the connector gave it up) and `ConnectionLost`.
    """

    async def receive_head(self) -> ResponseHead:
        """The head of the answer; once, before `receive`.

        Raises:
            RemoteProtocolError: it is malformed, or the stream ended without one.
        """
        ...

    async def receive(self) -> bytes:
        """The next bytes of the answer; b"" at its end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send bytes of the request's body; waits while too much is queued."""
        ...

    async def send_eof(self) -> None:
        """Say that the request is complete. Harmless when it was said before."""
        ...

    def abandon(self) -> None:
        """Give up what is not complete: the visitor left, or wants no more. Never waits."""
        ...

    def report(self, rule: Rule, detail: str) -> None:
        """Record what the connector did wrong with this answer."""
        ...


class Serving(Protocol):
    """A registered connection, to which requests may be sent."""

    async def open_request(self, head: RequestHead, *, end: bool) -> AnswerStream:
        """Send a request's head; with `end` it is the whole request.

        Raises:
            ConnectionLost: the connection ended.
            LocalProtocolError: the head is larger than connectors accept.
        """
        ...
