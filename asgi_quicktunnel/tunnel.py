"""QuickTunnel: one tunnel from provisioning to the last request."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import platform
import sys
import time
import uuid
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from asgi_quicktunnel.announcement import Announcement
from asgi_quicktunnel.config import LOCAL_EDGE, PACKAGE_VERSION, TunnelConfig
from asgi_quicktunnel.connection import ConnectionPlan
from asgi_quicktunnel.discovery import EdgeDiscovery
from asgi_quicktunnel.errors import QuickTunnelError, RegistrationError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Emit,
    Event,
    Provisioned,
    Registered,
    StateChanged,
    TunnelReady,
    TunnelState,
)
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.origin.choice import make_origin
from asgi_quicktunnel.origin.tcp import TcpOrigin
from asgi_quicktunnel.protocol.readiness import new_nonce
from asgi_quicktunnel.protocol.registration import DEFAULT_FEATURES, ClientIdentity
from asgi_quicktunnel.provisioning import request_tunnel
from asgi_quicktunnel.readiness import ReadinessCheck
from asgi_quicktunnel.reconnect import RenewalPolicy
from asgi_quicktunnel.statistics import ConnectionStatistics, Transferred, TunnelStatistics
from asgi_quicktunnel.status import TunnelStatus
from asgi_quicktunnel.supervisor import Supervisor, TunnelUnknownError
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.engines import choose_engine
from asgi_quicktunnel.transport.tls import QUIC_SERVER_NAME, trust_roots

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
        options: any option of `TunnelConfig`.

    Raises:
        ConfigError: an option that can't be used.
    """

    def __init__(
        self,
        origin: ASGIApp | str,
        config: TunnelConfig | None = None,
        *,
        state: MutableMapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        app: ASGIApp | None = None
        if isinstance(origin, str):
            options |= {"mode": "proxy", "origin": origin}
        else:
            app = origin
        self.config = TunnelConfig.resolve(config, options, os.environ)
        self._origin = make_origin(app, self.config, emit=self._on_event, state=state)
        self._listeners: list[Emit] = []
        self._status = TunnelStatus(now=time.time())
        self._credentials: Credentials | None = None
        self._url: str | None = None
        self._supervisor: Supervisor | None = None
        self._renewal = RenewalPolicy()
        self._carried = Transferred()  # by tunnels that were given up
        self._runner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._last_cause: QuickTunnelError | None = None
        self._check: ReadinessCheck | None = None
        self._announcement = Announcement(self.config.on_url, self.config.url_file)
        self._announcing: asyncio.Task[None] | None = None
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

    def statistics(self) -> TunnelStatistics:
        """A snapshot."""
        connections = self._supervisor.connections if self._supervisor is not None else ()
        now = asyncio.get_running_loop().time()
        status, origin = self._status, self._origin
        return TunnelStatistics(
            state=status.state,
            cause=status.cause,
            since=status.since,
            url=self._url,
            connector_id=_CONNECTOR_ID,
            connections=tuple(
                ConnectionStatistics(
                    conn_index=connection.conn_index,
                    colo=connection.registration.colo,
                    age=now - connection.registered_at,
                    requests=connection.requests,
                    transport=transport,
                )
                for connection in connections
                if connection.registration is not None
                and (transport := connection.statistics()) is not None
            ),
            transferred=self._transferred(),
            reconnects=status.reconnects,
            pool=origin.statistics() if isinstance(origin, TcpOrigin) else None,
        )

    async def aclose(self) -> None:
        """Unregister, let requests in flight finish for `grace_period`, close. Repeatable."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if self._supervisor is not None:
                await self._supervisor.drain(self._grace_period)
        finally:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)
            await self._origin.aclose()
            await self._announcement.aclose()
            self._url = None
            self._tell_change(self._status.on_stopped(now=time.time()))
            if self._ready is not None and not self._ready.done():
                self._ready.cancel()

    @property
    def _grace_period(self) -> float:
        """Who reloads wants the next process soon, unless told otherwise (design.md §4)."""
        grace_period = self.config.grace_period
        if self.config.is_given("grace_period") or not _is_reloading(sys.argv):
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
                    config = edge.config().with_options(_own_options(config))
                while True:
                    await self._provision(config)
                    try:
                        await self._supervise(config)
                    except TunnelUnknownError as exc:
                        await self._give_up_tunnel(exc)
                    else:
                        return
        except QuickTunnelError as exc:
            self._fail(exc)
        except Exception as exc:
            logger.exception("the tunnel failed in an unexpected way")
            self._fail(QuickTunnelError(f"an unexpected failure: {exc!r}"))

    async def _give_up_tunnel(self, cause: TunnelUnknownError) -> None:
        logger.warning("%s; a new tunnel is provisioned, with another URL", cause)
        self._tell_change(self._status.on_renewal(now=time.time()))
        self._announcement.withdraw()
        self._url = None
        self._renewal.on_renewed(now=asyncio.get_running_loop().time())
        if self._supervisor is not None:
            self._carried = self._transferred()
            supervisor, self._supervisor = self._supervisor, None
            await supervisor.drain(0)

    def _transferred(self) -> Transferred:
        now = self._supervisor.transferred() if self._supervisor is not None else Transferred()
        return self._carried.and_(now)

    async def _provision(self, config: TunnelConfig) -> None:
        host = urlsplit(config.service_url).hostname or ""
        if host.endswith("trycloudflare.com"):
            logger.info(
                "asking %s for a quick tunnel; not affiliated with Cloudflare, quick tunnels are "
                "subject to its terms and meant for testing",
                host,
            )
        clock = asyncio.get_running_loop().time
        began = clock()
        self._credentials = await request_tunnel(config.service_url, user_agent=config.user_agent)
        self._origin.public_url = self._credentials.url
        self._tell(Provisioned(self._credentials.url, clock() - began))

    async def _supervise(self, config: TunnelConfig) -> None:
        assert self._credentials is not None
        discovery = EdgeDiscovery()
        # Reading certificates and importing an engine take too long for the app's loop.
        roots = await asyncio.to_thread(trust_roots, config.ca_file)
        engine = await asyncio.to_thread(choose_engine, config.engine)
        plan = ConnectionPlan(
            credentials=self._credentials,
            identity=ClientIdentity(
                connector_id=_CONNECTOR_ID.bytes,
                version=f"asgi-quicktunnel/{PACKAGE_VERSION}",
                arch=_architecture(),
                features=DEFAULT_FEATURES,
            ),
            settings=ClientSettings(server_name=QUIC_SERVER_NAME, trust_roots=roots),
            engine=engine,
            origin=self._origin,
            timeout=min(config.handshake_timeout, _DIAL_TIMEOUT),
        )
        self._supervisor = Supervisor(
            plan,
            lambda: discovery.discover(config.edge_entries, ip_version=config.edge_ip_version),
            self._on_event,
            count=config.ha_connections,
            max_attempts=config.max_reconnect_attempts,
            renewal=self._renewal,
        )
        self._check = ReadinessCheck(
            user_agent=config.user_agent,
            nameservers=config.nameserver_entries,
            ca_file=config.ca_file,
        )
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(config.handshake_timeout, self._on_late)
        try:
            await self._supervisor.run()
        finally:
            self._alarm.cancel()
            if self._announcing is not None:
                announcing, self._announcing = self._announcing, None
                announcing.cancel()
                await asyncio.gather(announcing, return_exceptions=True)

    def _on_event(self, event: Event) -> None:
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
        """Have the URL announced once it works, when a tunnel's first connection is registered."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._url is None and self._announcing is None:
            self._announcing = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        """Prove that the URL works, or say why that can't be proved, and announce it."""
        assert self._credentials is not None
        assert self._check is not None
        assert self._ready is not None
        url, nonce = self._credentials.url, new_nonce()
        self._origin.readiness_nonce = nonce
        try:
            readiness = await self._check.wait_reachable(url, nonce)
        finally:
            self._origin.readiness_nonce = None
        self._announcing = None
        self._url = url
        if readiness.is_proved:
            logger.info("the app is public at %s", url)
        else:
            logger.warning("the app is public at %s, but that was %s", url, readiness)
        self._announcement.announce(url)
        self._tell_change(self._status.on_announced(now=time.time()))
        self._tell(TunnelReady(url, doubt=None if readiness.is_proved else str(readiness)))
        if not self._ready.done():
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
        self._announcement.withdraw()
        self._url = None
        self._last_cause = cause
        logger.error("there is no tunnel: %s", cause)
        self._tell_change(self._status.on_failed(cause, now=time.time()))
        self._refuse_waiters(cause)

    def _refuse_waiters(self, cause: QuickTunnelError) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(cause)
            self._ready.exception()  # nobody has to wait for it


def _own_options(config: TunnelConfig) -> dict[str, Any]:
    """What the embedded edge does not decide."""
    names = (field.name for field in fields(config))
    return {name: getattr(config, name) for name in names if name not in _ADDRESSES}


def _is_reloading(argv: Sequence[str]) -> bool:
    """Whether a server's reloader runs this process; children inherit its command line."""
    if multiprocessing.parent_process() is None:
        return False
    return "--reload" in argv or (
        Path(argv[0]).name == "fastapi" and "dev" in argv and "--no-reload" not in argv
    )


def _architecture() -> str:
    """Operating system and processor, named as the edge knows them: "linux_amd64"."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"


_ADDRESSES = {"service_url", "edge", "ca_file", "nameservers", "edge_ip_version"}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}
_RELOAD_GRACE = 1.0  # s
_DIAL_TIMEOUT = 10.0  # s; protocol.md §4, the whole handshake
_CONNECTOR_ID = uuid.uuid4()  # one per process; protocol.md §5.5
