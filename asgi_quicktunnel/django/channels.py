"""What Channels needs to let WebSockets of the tunnel in; to be imported from an asgi.py."""

from __future__ import annotations

import hmac
from typing import Any

from channels.security.websocket import AllowedHostsOriginValidator as _ByAllowedHosts
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_quicktunnel.django.current import current
from asgi_quicktunnel.origin.base import from_tunnel
from asgi_quicktunnel.origin.mark import MARK, MARK_HEADER

__all__ = ["AllowedHostsOriginValidator"]


class AllowedHostsOriginValidator:
    """Channels' own, to which the tunnel's host is an allowed one for visitors of the tunnel.

    Channels judges the Origin of a WebSocket by ALLOWED_HOSTS alone, which does not have the name
    of a tunnel. Here a WebSocket that came through the tunnel, from a page of its public URL, goes
    on to the application; Channels judges every other.

    Args:
        application: an ASGI 3 application, such as a URLRouter.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._by_allowed_hosts: Any = _ByAllowedHosts(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, or have it refused."""
        is_ours, scope = _without_mark(scope)
        if is_ours and _is_from_own_page(scope):
            await self._application(scope, receive, send)
        else:
            await self._by_allowed_hosts(scope, receive, send)


def _without_mark(scope: Scope) -> tuple[bool, Scope]:
    """Whether it came through the tunnel, in process or through a socket; no consumer sees how.

    With the mark that the tunnel's own proxy sets one could pass for it.
    """
    marks = [value for name, value in scope["headers"] if name.lower() == MARK_HEADER]
    if not marks:
        return from_tunnel(scope), scope
    headers = [pair for pair in scope["headers"] if pair[0].lower() != MARK_HEADER]
    return hmac.compare_digest(marks[0], MARK), {**scope, "headers": headers}


def _is_from_own_page(scope: Scope) -> bool:
    tunnel = current.tunnel
    if tunnel is None or tunnel.given_url is None:
        return False
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    return origins == [tunnel.given_url.encode()]
