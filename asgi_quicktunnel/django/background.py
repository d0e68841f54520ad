"""A tunnel in a thread of its own, beside a server that knows no event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from asgi_quicktunnel.django.current import current
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.events import Event, TunnelReady
from asgi_quicktunnel.interpreter import call_at_end
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["BackgroundTunnel"]

logger = logging.getLogger(__name__)


class BackgroundTunnel:
    """A tunnel to a server of this process, from now on until the interpreter's end.

    Args:
        origin: where the server listens, as in `TunnelConfig.origin`.
        show: called with the URL each time one begins to work.

    Raises:
        ConfigError: an option that can't be used.
    """

    def __init__(self, origin: str, show: Callable[[str], object]) -> None:
        # The port may be another one after a reload; the project is the same.
        self._tunnel = QuickTunnel(origin, application="asgi_quicktunnel.django")
        self._show = show
        self._url: str | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._tunnel.add_listener(self._on_event)
        current.adopt(self._tunnel)
        self._thread = threading.Thread(target=self._run, name="quicktunnel")
        self._thread.start()
        call_at_end(self.close)

    def close(self) -> None:
        """Drain and close, and wait for it; repeatable."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(_cancel_others())
            asyncio.set_event_loop(None)
            # Not `asyncio.run`: that starts a thread to end others, which is too late by now.
            self._loop.close()

    async def _serve(self) -> None:
        try:
            await self._tunnel.start()
            await self._stop.wait()
        except QuickTunnelError as exc:
            logger.error("there is no tunnel: %s", exc)  # noqa: TRY400  # a sentence, no traceback
        finally:
            try:
                await self._tunnel.aclose()
            except Exception:
                logger.exception("the tunnel did not close in order")

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TunnelReady) and event.url != self._url:
            self._url = event.url
            self._show(event.url)


async def _cancel_others() -> None:
    """End what still runs on this loop, such as a receiver of `tunnel_ready`."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
