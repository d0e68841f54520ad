"""A tunnel that begins with the first request, where the server has no lifespan."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError

from asgi_quicktunnel.interpreter import call_at_end
from asgi_quicktunnel.lifespan import Tunnel, TunnelRun
from asgi_quicktunnel.publication import Publication

__all__ = ["LateTunnel"]

logger = logging.getLogger(__name__)


class LateTunnel:
    """A tunnel on the loop of the first request, until the interpreter ends.

    Nobody tells such an app of the server's end, so it is closed at the interpreter's: in order,
    where the server leaves its event loop open (daphne does), else as a lost connection.

    Args:
        tunnel: not started yet; started, published and closed here.
        publication: opened by the caller; here it hears of the tunnel and its URL.
    """

    def __init__(self, tunnel: Tunnel, publication: Publication) -> None:
        self._loop = asyncio.get_running_loop()
        self._publication = publication
        self._run = TunnelRun(tunnel, publication)
        self._run.publish()
        self._run.start_soon(0.0)
        call_at_end(self.close)

    def close(self) -> None:
        """Close the tunnel from outside its loop, in `GRACE` seconds at most; repeatable."""
        loop = self._loop
        if loop.is_closed():
            return
        closing = self._close()
        try:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(closing, loop).result(timeout=2 * GRACE)
            else:
                loop.run_until_complete(closing)
        except (TimeoutError, CancelledError, asyncio.CancelledError):
            logger.debug("the tunnel did not end in time")

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(GRACE):  # which ends the draining, and closes at once
                await self._run.drain()
        finally:
            self._publication.close()


GRACE = 1.0  # s; whoever stops a server wants it to end
