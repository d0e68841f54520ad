"""QuickTunnel: one tunnel from provisioning to the last request."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from starlette.types import ASGIApp

from asgi_quicktunnel.beside import first_failure
from asgi_quicktunnel.config import LOCAL_EDGE, TunnelConfig
from asgi_quicktunnel.discovery import EdgeDiscovery
from asgi_quicktunnel.errors import QuickTunnelError, RegistrationError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Emit,
    Event,
    Provisioned,
    Registered,
    RequestDone,
    StateChanged,
    TunnelReady,
    TunnelState,
)
from asgi_quicktunnel.herald import Herald
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.inspector.inspection import Inspection
from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.membership import Held, Membership, Solo, join
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.origin.choice import make_origin
from asgi_quicktunnel.origin.tcp import TcpOrigin
from asgi_quicktunnel.plan import connection_plan, own_options
from asgi_quicktunnel.provisioning import request_tunnel
from asgi_quicktunnel.reconnect import RenewalPolicy
from asgi_quicktunnel.statistics import Transferred, TunnelStatistics
from asgi_quicktunnel.status import TunnelStatus
from asgi_quicktunnel.supervision import is_reloaded, name_application
from asgi_quicktunnel.supervisor import Supervisor, TunnelUnknownError
from asgi_quicktunnel.traffic import Traffic

__all__ = ["QuickTunnel"]

logger = logging.getLogger(__name__)


class QuickTunnel:
    """A tunnel without an ASGI server around it: `async with QuickTunnel(app) as tunnel`.

    The app's lifespan is left to whoever runs the app; `QuickTunnelASGI` does both. With text, such
    as `QuickTunnel("127.0.0.1:8000")`, whatever server listens there answers.

    Args:
        origin: the ASGI 3 app that answers, or where a server does, as in `TunnelConfig.origin`.
        config: options as one object.
        state: what each request finds in `scope["state"]`, usually the lifespan's.
        application: tells apart the applications of one server that have a tunnel each; the same
            name in the next process, or in other workers, means the same URL (`reuse_url`). None
            names it by `origin`, or by the module that makes this object, and its position there.
        options: any option of `TunnelConfig`.

    Attributes:
        traffic: what came through since this object was made.
        inspector: the last requests with their answers, or None with `inspect=False`.

    Raises:
        ConfigError: an option that can't be used.
    """

    def __init__(
        self,
        origin: ASGIApp | str,
        config: TunnelConfig | None = None,
        *,
        state: MutableMapping[str, Any] | None = None,
        application: str | None = None,
        **options: Any,
    ) -> None:
        app = None if isinstance(origin, str) else origin
        if isinstance(origin, str):
            options |= {"mode": "proxy", "origin": origin}
        self.config = TunnelConfig.resolve(config, options, os.environ)
        self._origin = make_origin(app, self.config, emit=self._on_event, state=state)
        self._inspection = Inspection(self._origin, is_on=self.config.inspect)
        self.inspector = self._inspection.store
        self._application = application or name_application(
            origin if isinstance(origin, str) else sys._getframe(1).f_globals.get("__name__", "")
        )
        self.traffic = Traffic()
        self._listeners: list[Emit] = [self.traffic.on_event]
        self._status = TunnelStatus(now=time.time())
        self._join = join
        self._membership: Membership = Solo()
        self._connector_id = uuid4()
        self._url: str | None = None
        self._supervisor: Supervisor | None = None
        self._renewal = RenewalPolicy()
        self._carried = Transferred()  # by tunnels that were given up
        self._runner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._last_cause: QuickTunnelError | None = None
        self._herald: Herald | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.wait_ready()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str | None:
        """The public URL from the moment it works; None before and after.

        While connections are lost it stays, because they come back under the same name.
        """
        return self._url

    @property
    def given_url(self) -> str | None:
        """The public URL from the moment it was given out, although it may not work yet."""
        return self._origin.public_url

    @property
    def state(self) -> TunnelState:
        """Where the tunnel stands."""
        return self._status.state

    def add_listener(self, listener: Emit) -> None:
        """Call `listener` with each event (`asgi_quicktunnel.events`), on the event loop."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begin, in the background; `wait_ready` tells how it went.

        Does nothing when the tunnel is switched off (`enabled`) or was started before.
        """
        if self._runner is not None or not self.config.is_enabled(os.environ):
            return
        loop = asyncio.get_running_loop()
        self._tell_change(self._status.on_started(now=time.time()))
        self._ready = loop.create_future()
        self._runner = loop.create_task(self._run())

    async def wait_ready(self) -> None:
        """Wait until the public URL works; returns at once when the tunnel is switched off.

        Raises:
            QuickTunnelError: the tunnel can't start, or did not within `handshake_timeout` of
                being provisioned; the last cause. It goes on trying in the background.
        """
        if self._ready is not None:
            await asyncio.shield(self._ready)

    async def replay(self, record_id: str, edits: Edits | None = None) -> Record:
        """Send a request that `inspector` keeps to the origin once more; its new record.

        Raises:
            ReplayError: it was not sent, or cut off; see `Replayer.replay`.
        """
        return await self._inspection.replay(record_id, edits, is_running=self._runner is not None)

    def statistics(self) -> TunnelStatistics:
        """A snapshot; may be called in any thread."""
        status, origin, supervisor = self._status, self._origin, self._supervisor
        return TunnelStatistics(
            state=status.state,
            cause=status.cause,
            since=status.since,
            url=self._url,
            connector_id=self._connector_id,
            connections=supervisor.statistics() if supervisor is not None else (),
            transferred=self._transferred(),
            reconnects=status.reconnects,
            pool=origin.statistics() if isinstance(origin, TcpOrigin) else None,
            missing=supervisor.missing() if supervisor is not None else (),
            waiting_for=status.waiting_for,
        )

    async def aclose(self) -> None:
        """Unregister, let requests in flight finish for `grace_period`, close. Repeatable."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        hand_over = self._membership.is_shared and is_reloaded()
        try:
            if self._supervisor is not None:
                await self._supervisor.drain(self._grace_period, hand_over=hand_over)
        finally:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)
            await self._inspection.aclose()
            await self._origin.aclose()
            if self._herald is not None:
                await self._herald.aclose()
            self._membership.close()
            self._url = None
            self._tell_change(self._status.on_stopped(now=time.time()))
            if self._ready is not None and not self._ready.done():
                self._ready.cancel()

    @property
    def _grace_period(self) -> float:
        """Who reloads wants the next process soon, unless told otherwise (design.md §4)."""
        grace_period = self.config.grace_period
        if self.config.is_given("grace_period") or not is_reloaded():
            return grace_period
        return min(grace_period, _RELOAD_GRACE)

    async def _run(self) -> None:
        config = self.config
        try:
            async with AsyncExitStack() as stack:
                if config.edge == LOCAL_EDGE:
                    # Only who asks for the embedded edge pays for its certificate authority.
                    from asgi_quicktunnel.emulator import LocalEdge

                    edge = await stack.enter_async_context(LocalEdge(engine=config.engine))
                    config = edge.config().with_options(own_options(config))
                self._membership = await self._join(config, self._application)
                self._herald = Herald(config, self._membership, self._on_known)
                held = await self._obtain(config)
                while True:
                    try:
                        await self._supervise(config, held, self._herald)
                    except TunnelUnknownError as exc:
                        await self._give_up_tunnel(exc, held.kept.credentials, self._herald)
                        held = await self._obtain(config, instead_of=held)
                    else:
                        return
        except QuickTunnelError as exc:
            self._fail(exc)
        except Exception as exc:
            logger.exception("the tunnel failed in an unexpected way")
            self._fail(QuickTunnelError(f"an unexpected failure: {exc!r}"))

    async def _give_up_tunnel(
        self, cause: TunnelUnknownError, credentials: Credentials, herald: Herald
    ) -> None:
        logger.warning("%s; a new tunnel takes its place, with another URL", cause)
        self._tell_change(self._status.on_renewal(now=time.time()))
        herald.withdraw(before=credentials.url)
        self._url = None
        self._renewal.on_renewed(now=asyncio.get_running_loop().time())
        if self._supervisor is not None:
            self._carried = self._transferred()
            supervisor, self._supervisor = self._supervisor, None
            await supervisor.drain(0)

    def _transferred(self) -> Transferred:
        now = self._supervisor.transferred() if self._supervisor is not None else Transferred()
        return self._carried.and_(now)

    async def _obtain(self, config: TunnelConfig, *, instead_of: Held | None = None) -> Held:
        """The tunnel to serve: that of the processes around this one, or a new one."""

        async def request() -> Credentials:
            began = time.monotonic()
            credentials = await request_tunnel(config.service_url, user_agent=config.user_agent)
            self._on_event(Provisioned(credentials.url, time.monotonic() - began))
            return credentials

        old = None if instead_of is None else instead_of.kept
        held = await self._membership.obtain(request, instead_of=old)
        if held.is_old:
            self._renewal.on_reused()
        self._origin.public_url = held.kept.credentials.url
        self._connector_id = held.kept.connector_id
        return held

    async def _supervise(self, config: TunnelConfig, held: Held, herald: Herald) -> None:
        """Serve this tunnel until it is drained, or of no use any more.

        Raises:
            TunnelUnknownError: another tunnel is needed.
            QuickTunnelError: see `Supervisor.run`.
        """
        kept, membership = held.kept, self._membership
        discovery = EdgeDiscovery()
        # Reading certificates and importing an engine take too long for the app's loop.
        plan = await asyncio.to_thread(connection_plan, config, kept, self._inspection.origin)
        indexes = membership.indexes(config.ha_connections)
        self._supervisor = Supervisor(
            plan,
            lambda: discovery.discover(config.edge_entries, ip_version=config.edge_ip_version),
            self._on_event,
            indexes=indexes,
            max_attempts=config.max_reconnect_attempts,
            renewal=self._renewal,
        )
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(config.handshake_timeout, self._on_late)
        # Whichever process the edge asks, it proves that the URL works.
        self._origin.readiness_nonce = kept.nonce
        supervising = loop.create_task(self._supervisor.run())
        beside = [
            loop.create_task(herald.run(kept, indexes.others_registered)),
            loop.create_task(_move(membership)),
        ]
        try:
            await first_failure(supervising, beside)
        finally:
            self._alarm.cancel()
            for task in (supervising, *beside):
                task.cancel()
            await asyncio.gather(supervising, *beside, return_exceptions=True)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RequestDone):
            self._tell(event)
            return
        if isinstance(event, Registered):
            logger.info(
                "connection %d registered at %s in %.0f ms",
                event.conn_index,
                event.registration.colo,
                event.elapsed * 1000,
            )
            self._on_registered()
        elif isinstance(event, ConnectionLost):
            self._last_cause = event.cause
        self._tell(event)
        self._tell_change(self._status.on_event(event, now=time.time()))

    def _on_registered(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._herald is not None:
            self._herald.on_registered()

    def _on_known(self, ready: TunnelReady) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if not self._membership.is_shared:
            self._origin.readiness_nonce = None
        self._url = ready.url
        self._tell_change(self._status.on_announced(now=time.time()))
        self._tell(ready)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _tell_change(self, change: StateChanged | None) -> None:
        if change is not None:
            self._tell(change)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed at %s", type(event).__name__)

    def _on_late(self) -> None:
        if self.state is TunnelState.STARTING:
            cause = self._last_cause or RegistrationError(
                f"no connection was registered within {self.config.handshake_timeout:g} s"
            )
            logger.warning("there is no tunnel yet (%s); it is tried again", cause)
            self._refuse_waiters(cause)

    def _fail(self, cause: QuickTunnelError) -> None:
        if self._herald is not None:
            self._herald.withdraw()
        self._url = None
        self._last_cause = cause
        logger.error("there is no tunnel: %s", cause)
        self._tell_change(self._status.on_failed(cause, now=time.time()))
        self._refuse_waiters(cause)

    def _refuse_waiters(self, cause: QuickTunnelError) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(cause)
            self._ready.exception()  # nobody has to wait for it


async def _move(membership: Membership) -> None:
    await membership.wait_moved()
    raise TunnelUnknownError("another worker gave this tunnel up")


_RELOAD_GRACE = 1.0  # s
