"""An origin whose exchanges are recorded."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.origin.base import ConnectionFacts, Origin
from asgi_quicktunnel.origin.own_answer import is_own_business
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["InspectedOrigin"]


class InspectedOrigin:
    """An `Origin` around another, whichever that is.

    What the inner one answers for itself is not recorded: proofs that the public URL works, and
    requests for the connector.
    """

    def __init__(self, origin: Origin, store: RequestStore) -> None:
        self._origin = origin
        self._store = store
        self._visited: bytes | None = None  # a host that is no connector's

    @property
    def public_url(self) -> str | None:
        """See `Origin`."""
        return self._origin.public_url

    @public_url.setter
    def public_url(self, url: str | None) -> None:
        self._origin.public_url = url

    @property
    def readiness_nonce(self) -> str | None:
        """See `Origin`."""
        return self._origin.readiness_nonce

    @readiness_nonce.setter
    def readiness_nonce(self, nonce: str | None) -> None:
        self._origin.readiness_nonce = nonce

    def serve(self, stream: RequestStream, facts: ConnectionFacts) -> Coroutine[Any, Any, None]:
        """Answer one request and end its stream; see `Origin.serve`."""
        origin, head = self._origin, stream.head
        # Most requests name the host of the one before.
        if head.host == self._visited and origin.readiness_nonce is None:
            stream = self._store.begin(stream, facts)
        elif not is_own_business(head, origin.readiness_nonce):
            self._visited = head.host or None
            stream = self._store.begin(stream, facts)
        return origin.serve(stream, facts)

    async def drain(self) -> None:
        """End what would not end by itself; see `Origin.drain`."""
        await self._origin.drain()

    async def aclose(self) -> None:
        """Let go of what it holds; see `Origin.aclose`."""
        await self._origin.aclose()
