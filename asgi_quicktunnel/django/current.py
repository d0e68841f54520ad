"""The tunnel of this process, and its URL for whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from asgi_quicktunnel.django.signals import tunnel_ready
from asgi_quicktunnel.events import Event, StateChanged, TunnelReady, TunnelState
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["CurrentTunnel", "current", "public_url"]

logger = logging.getLogger(__name__)


class CurrentTunnel:
    """Knows the tunnel that was made last and is not closed, and sends `tunnel_ready` for it."""

    def __init__(self) -> None:
        self._tunnel: QuickTunnel | None = None
        self._sent: str | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._show: Callable[[QuickTunnel], object] | None = None

    @property
    def url(self) -> str | None:
        """The public URL while it works, else None."""
        tunnel = self._tunnel
        return None if tunnel is None else tunnel.url

    @property
    def tunnel(self) -> QuickTunnel | None:
        """The tunnel, or None."""
        return self._tunnel

    def adopt(self, tunnel: QuickTunnel) -> None:
        """This is the tunnel from now on, until it is closed."""
        self._tunnel = tunnel
        self._sent = None

        def hear(event: Event) -> None:
            if tunnel is self._tunnel:
                self._on_event(event)

        tunnel.add_listener(hear)
        if self._show is not None:
            self._show(tunnel)

    def show_with(self, show: Callable[[QuickTunnel], object]) -> None:
        """Hand each tunnel to `show` too, for its listener."""
        self._show = show

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TunnelReady):
            if event.leads and event.url != self._sent:
                self._sent = event.url
                task = asyncio.get_running_loop().create_task(_send(event.url))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
        elif isinstance(event, StateChanged) and event.state is TunnelState.STOPPED:
            self._tunnel = None


async def _send(url: str) -> None:
    """Call every receiver; what one raises is logged by Django, and the others are called."""
    try:
        await sync_to_async(close_old_connections)()
        await tunnel_ready.asend_robust(sender=QuickTunnel, url=url)
        # Sync receivers share one thread: no connection of theirs may stay there and grow stale.
        await sync_to_async(close_old_connections)()
    except RuntimeError as exc:  # the interpreter ends, and starts no more threads
        logger.debug("not everybody was told of %s: %s", url, exc)


current = CurrentTunnel()


def public_url() -> str | None:
    """The public URL of the tunnel of this process while it works, else None."""
    return current.url
