"""The app's lifespan with a tunnel inside it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import sys
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.events import Emit, Event, TunnelReady
from asgi_quicktunnel.publication import Publication
from asgi_quicktunnel.signals import on_interrupt

__all__ = ["LifespanRelay", "Tunnel", "TunnelRun", "announce"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Tunnel(Protocol):
    """What the lifespan asks of a `QuickTunnel`."""

    def add_listener(self, listener: Emit) -> None:
        """Call `listener` with each event."""
        ...

    async def start(self) -> None:
        """Begin in the background; a failure there is logged there."""
        ...

    async def wait_ready(self) -> None:
        """Wait until the URL works.

        Raises:
            QuickTunnelError: it does not, or not in time.
        """
        ...

    async def aclose(self) -> None:
        """Drain and close; a cancellation ends the draining and closes at once."""
        ...


class LifespanRelay:
    """One run of the app's lifespan (ASGI lifespan 2.0) with a tunnel inside it.

    The app starts before the tunnel, and its failure to start stops both. The server's shutdown is
    held back until the tunnel is drained, so what the app closes outlives the last request. An
    app without a lifespan of its own is spoken for. The app's call runs in the caller's task; what
    it raises goes out as it would without us.

    Args:
        app: the next application inwards.
        tunnel: not started yet; started, published and closed here.
        publication: opened and closed by the caller; here it hears of the tunnel and its URL.
        config: `strict` and `wait_ready` are read.
        start_delay: seconds from `startup.complete` to the tunnel's start, unless startup waits
            for the tunnel (`wait_ready`, or `strict`, which can't fail a startup otherwise).
    """

    def __init__(
        self,
        app: ASGIApp,
        tunnel: Tunnel,
        publication: Publication,
        config: TunnelConfig,
        *,
        start_delay: float | None = None,
    ) -> None:
        self._app = app
        self._publication = publication
        self._run = TunnelRun(tunnel, publication)
        self._strict = config.strict
        self._waits = config.wait_ready or config.strict
        self._start_delay = START_DELAY if start_delay is None else start_delay
        self._startup_received = False  # the server asked for the startup
        self._started = False  # startup.complete went to the server
        self._stopping = False  # the app was, or is about to be, asked for its shutdown
        self._finished = False  # the last word went to the server
        self._refusal: str | None = None  # why the startup fails although the app's did not
        self._last_word: Message | None = None  # the app's, said before it was asked for

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay until the end of the lifespan; a cancellation closes the tunnel too."""
        self._receive, self._send = receive, send
        self._run.publish()
        try:
            error = await self._call_app(scope)
            if self._refusal is not None:
                await self._refuse()
            elif not self._started and not self._finished:
                await self._stand_in(error)
                error = None
            elif self._started and not self._stopping:
                await self._outlive_app(error)
            if error is not None:
                raise error
        finally:
            await self._run.close()

    async def _call_app(self, scope: Scope) -> Exception | None:
        try:
            await self._app(scope, self._receive_for_app, self._send_for_app)
        except Exception as exc:  # noqa: BLE001  # `run` raises it, once the tunnel had its turn
            return exc
        return None

    async def _receive_for_app(self) -> Message:
        if self._refusal is not None:
            if not self._stopping:
                self._stopping = True
                return {"type": "lifespan.shutdown"}
            await self._refuse()  # an app that asks for more has said all that it will
        message = await self._receive()
        if message["type"] == "lifespan.startup":
            self._startup_received = True
        elif message["type"] == "lifespan.shutdown":
            self._stopping = True
            await self._run.drain()
        return message

    async def _send_for_app(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            await self._complete_startup(message)
        elif kind == "lifespan.startup.failed":
            self._finished = True
            await self._send(message)
        elif self._refusal is not None:
            await self._refuse()
        elif self._stopping:
            self._finished = True
            await self._send(message)
        else:
            self._last_word = message

    async def _complete_startup(self, message: Message) -> None:
        """Bring the tunnel up, now or soon, and let the server know that the app is ready."""
        self._publication.adopt_lifespan_state()
        if self._waits:
            failure = await self._run.start_and_wait()
            if failure is not None and self._strict:
                # The tunnel goes first, then the app by a shutdown, then the server is told:
                # hypercorn looks at that very moment whether the lifespan has ended.
                await self._run.close()
                self._refusal = f"the tunnel did not start, and strict is set: {failure}"
                return
        else:
            self._run.start_soon(self._start_delay)
        self._started = True
        await self._send(message)

    async def _refuse(self) -> None:
        if not self._finished:
            self._finished = True
            await self._send({"type": "lifespan.startup.failed", "message": self._refusal})

    async def _stand_in(self, error: Exception | None) -> None:
        """Be the lifespan of an app that has none: it raised, or returned without an answer.

        Servers take either for "not supported" and serve the app all the same, and so do we.
        """
        if error is not None and self._startup_received:
            logger.warning("the app's lifespan failed; going on without it", exc_info=error)
        else:
            logger.debug("the app has no lifespan (%r)", error)
        while not self._startup_received:
            await self._receive_for_app()
        await self._complete_startup({"type": "lifespan.startup.complete"})
        if self._refusal is not None:
            await self._refuse()
        else:
            await self._finish()

    async def _outlive_app(self, error: Exception | None) -> None:
        """Keep the tunnel although the app's lifespan ended early: its requests still work."""
        if error is not None:
            logger.error("the app's lifespan ended early; the tunnel stays up", exc_info=error)
        await self._finish()

    async def _finish(self) -> None:
        while not self._stopping:
            await self._receive_for_app()
        self._finished = True
        await self._send(self._last_word or {"type": "lifespan.shutdown.complete"})


class TunnelRun:
    """The tunnel's part in one lifespan: up, published, drained, closed."""

    def __init__(self, tunnel: Tunnel, publication: Publication) -> None:
        self._tunnel = tunnel
        self._publication = publication
        self._url: str | None = None
        self._starting: asyncio.Task[object] | None = None
        self._is_open = False
        tunnel.add_listener(self._on_event)

    def publish(self) -> None:
        """Let the app find the tunnel, also before it is up."""
        self._publication.publish(self._tunnel, self._url)

    def start_soon(self, delay: float) -> None:
        """Bring the tunnel up in the background, `delay` seconds from now."""
        self._starting = asyncio.create_task(self._bring_up(delay))

    async def start_and_wait(self) -> Exception | None:
        """Bring the tunnel up; what prevented it, or None. SIGINT and SIGTERM end the wait."""
        return await _until_interrupted(self._bring_up())

    async def drain(self) -> None:
        """Let requests in flight finish, then close. SIGINT and SIGTERM cut it short."""
        await self._stop_starting()
        if self._is_open:
            self._is_open = False
            is_supervised = multiprocessing.parent_process() is not None
            await _until_interrupted(self._close_tunnel(), spares_sigterm=is_supervised)

    async def close(self) -> None:
        """Close what no drain has closed, also in a task that is being cancelled: be quick."""
        with anyio.CancelScope(shield=True):
            await self._stop_starting()
            if self._is_open:
                self._is_open = False
                closing = asyncio.create_task(self._close_tunnel())
                await asyncio.wait({closing}, timeout=CANCELLED_GRACE)
                await _cancel(closing)

    async def _bring_up(self, delay: float = 0.0) -> Exception | None:
        """What prevented the tunnel, or None; nothing that goes wrong here may harm the app."""
        await asyncio.sleep(delay)
        self._is_open = True
        try:
            await self._tunnel.start()
            await self._tunnel.wait_ready()
        except QuickTunnelError as exc:
            return exc
        except Exception as exc:
            logger.exception("the tunnel failed")
            return exc
        return None

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TunnelReady) and event.url != self._url:
            self._url = event.url
            self.publish()
            if event.leads:
                announce(event.url)

    async def _close_tunnel(self) -> None:
        try:
            await self._tunnel.aclose()
        except Exception:
            logger.exception("the tunnel did not close in order")

    async def _stop_starting(self) -> None:
        if self._starting is not None:
            await _cancel(self._starting)


def announce(url: str) -> None:
    """Show the URL where nobody set logging up: Python then drops what is below WARNING."""
    if not logger.hasHandlers():
        sys.stderr.write(f"asgi_quicktunnel: the app is public at {url}\n")


async def _until_interrupted(
    work: Coroutine[Any, Any, T], *, spares_sigterm: bool = False
) -> T | None:
    """What `work` returns, or None when SIGINT or SIGTERM cancelled it."""
    task = asyncio.create_task(work)

    def interrupt() -> None:
        if not task.cancelling():  # a further signal must not cancel the cleaning up
            task.cancel()

    try:
        with on_interrupt(interrupt, spares_sigterm=spares_sigterm):
            await asyncio.wait({task})
    finally:
        await _cancel(task)  # done already, unless we are being cancelled ourselves
    return None if task.cancelled() else task.result()


async def _cancel(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task})


START_DELAY = 0.3  # s; a server that fails to bind its port after the startup wastes no tunnel
CANCELLED_GRACE = 0.5  # s for an orderly end where nobody waits for it any more
