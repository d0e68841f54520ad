"""What an origin is, and how a request of the tunnel is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["TUNNEL_SCOPE_KEY", "ConnectionFacts", "Origin", "TunnelMark", "from_tunnel"]


class TunnelMark(NamedTuple):
    """Stands in the scope of each request that came through a tunnel.

    Attributes:
        conn_index: 0..3, the HA connection that carried it.
        colo: the site that connection is registered at, such as "bog01".
        ray_id: Cloudflare's name for the request, `Cf-Ray`, or None.
        country: the visitor's, `Cf-Ipcountry`, or None.
    """

    conn_index: int
    colo: str
    ray_id: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """The HA connection that a stream belongs to; fields as in `TunnelMark`.

    Attributes:
        replay_of: the id of the record that the request repeats, which the app reads in
            X-Quicktunnel-Replay; None for what a visitor sent.
    """

    conn_index: int
    colo: str
    replay_of: str | None = None


class Origin(Protocol):
    """What answers the visitors of one tunnel.

    Attributes:
        public_url: the tunnel's, once it is known.
        readiness_nonce: while it is set, a request that proves the public URL by it is answered by
            the origin itself, and nobody who counts requests hears of it.
    """

    public_url: str | None
    readiness_nonce: str | None

    async def serve(self, stream: RequestStream, facts: ConnectionFacts) -> None:
        """Answer one request and end its stream, or reset it.

        Never raises but for cancellation: what goes wrong with one visitor stays with that one.
        """
        ...

    async def drain(self) -> None:
        """End what would not end by itself, now and from now on; everything else is answered.

        WebSockets are closed with 1012 and event-streams end (design.md §4, Shutdown).
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it holds when the tunnel has ended. Harmless when repeated."""
        ...


def from_tunnel(scope: Mapping[str, Any]) -> bool:
    """Whether this request came through a tunnel of this process.

    The mark is an object, so no header and no other server's scope can pretend to be one.
    """
    return isinstance(scope.get(TUNNEL_SCOPE_KEY), TunnelMark)


TUNNEL_SCOPE_KEY = "asgi_quicktunnel"
