"""Makes the public URL known once it works, in the one process that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from asgi_quicktunnel.announcement import Announcement
from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.events import TunnelReady
from asgi_quicktunnel.membership import Membership
from asgi_quicktunnel.readiness import ReadinessCheck
from asgi_quicktunnel.urlcache import KeptTunnel

__all__ = ["Herald"]

logger = logging.getLogger(__name__)


class Herald:
    """Proves that the URL works, says so in the log, and hands it to `on_url` and `url_file`.

    Among several workers one does that, the leader; the others learn the URL from it and only
    publish it in their own process. When the leader ends the next one takes its place.

    Args:
        config: of the tunnel.
        membership: tells who leads.
        on_known: called when the URL works.
    """

    def __init__(
        self,
        config: TunnelConfig,
        membership: Membership,
        on_known: Callable[[TunnelReady], None],
    ) -> None:
        self._announcement = Announcement(config.on_url, config.url_file)
        self._check = ReadinessCheck(
            user_agent=config.user_agent,
            nameservers=config.nameserver_entries,
            ca_file=config.ca_file,
        )
        self._membership = membership
        self._on_known = on_known
        self._registered = asyncio.Event()
        self._before: str | None = None  # what was the URL, of a tunnel that is no more

    def on_registered(self) -> None:
        """A connection of this process is registered."""
        self._registered.set()

    async def run(self, kept: KeptTunnel, others_registered: Callable[[], bool]) -> None:
        """Announce this tunnel's URL, or wait until the leader has, and be ready to lead.

        Returns when this process leads and has announced it.

        Args:
            kept: the tunnel.
            others_registered: whether a connection of another process is registered.
        """
        url = kept.credentials.url
        is_known = False
        while not self._membership.leads():
            if not is_known and self._membership.told_url == url:
                is_known = True
                logger.debug("another worker announced %s", url)
                self._on_known(TunnelReady(url, leads=False))
            await asyncio.sleep(_POLL)
        ready: TunnelReady | None = None
        if not is_known:
            await self._wait_registered(others_registered)
            ready = TunnelReady(url, doubt=await self._prove(kept))
        self._membership.tell(url)
        self._before = url
        self._announcement.announce(url)
        if ready is not None:
            self._on_known(ready)

    def withdraw(self, before: str | None = None) -> None:
        """The URL works no more.

        Args:
            before: what it was, if another one is to come.
        """
        self._before = before
        self._registered.clear()
        self._announcement.withdraw()

    async def aclose(self) -> None:
        """Withdraw, and end callbacks that still run."""
        await self._announcement.aclose()

    async def _wait_registered(self, others_registered: Callable[[], bool]) -> None:
        while not self._registered.is_set() and not others_registered():
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._registered.wait()

    async def _prove(self, kept: KeptTunnel) -> str | None:
        """Say that the URL works; why that could not be proved, or None."""
        url = kept.credentials.url
        readiness = await self._check.wait_reachable(url, kept.nonce)
        if self._before is not None and self._before != url:
            logger.warning("the public URL has changed: it was %s", self._before)
        if readiness.is_proved:
            logger.info("the app is public at %s", url)
            return None
        logger.warning("the app is public at %s, but that was %s", url, readiness)
        return str(readiness)


_POLL = 0.1  # s
