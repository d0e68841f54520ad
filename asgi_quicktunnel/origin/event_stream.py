"""A word about event-streams, which Cloudflare holds back."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

__all__ = ["HeldBackNotice"]

logger = logging.getLogger(__name__)


class HeldBackNotice:
    """One warning per path that answers GET with text/event-stream (design.md §6)."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, path: str, public_url: str | None) -> None:
        """Warn, unless this path is known or the URL leads nowhere but to this machine.

        Args:
            path: printable; the first 256 different ones are told.
            public_url: the tunnel's, or None while it is unknown.
        """
        if path in self._told or len(self._told) >= _MOST or _is_local(public_url):
            return
        self._told.add(path)
        logger.warning(
            "GET %s answers with text/event-stream: Cloudflare holds that back on quick tunnels "
            "until it ends. A WebSocket, or an event-stream in answer to a POST, is live",
            path,
        )


def _is_local(url: str | None) -> bool:
    """Whether a URL is one of an edge on this machine, which holds nothing back."""
    host = urlsplit(url or "").hostname or ""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_MOST = 256  # paths; whoever has more of them knows by then
