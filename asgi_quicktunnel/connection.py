"""One HA connection: dial, register, hand streams to the origin, drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from asgi_quicktunnel.control import ControlSession, local_configuration
from asgi_quicktunnel.errors import LocalProtocolError, QuickTunnelError
from asgi_quicktunnel.events import Dialled, Emit
from asgi_quicktunnel.model import Credentials, EdgeAddress, Registration
from asgi_quicktunnel.origin.base import ConnectionFacts, Origin
from asgi_quicktunnel.protocol.registration import ClientIdentity
from asgi_quicktunnel.statistics import ConnectionStatistics
from asgi_quicktunnel.tasks import start_task
from asgi_quicktunnel.transport.base import RequestStream, TransportStatistics
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.engines import Engine
from asgi_quicktunnel.transport.quic import QuicTransport, StalledQuic, dial_quic

__all__ = ["ConnectionPlan", "HaConnection"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """What every connection of one tunnel has in common.

    Attributes:
        timeout: seconds for the dial, and again for the registration.
        service: what answers, a label for the edge.
    """

    credentials: Credentials
    identity: ClientIdentity
    settings: ClientSettings = field(repr=False)
    engine: Engine
    origin: Origin = field(repr=False)
    timeout: float = 30.0
    service: str = "http://asgi-app"


class HaConnection:
    """One connection. `dial`, `register`, then `serve` until it ends, then `aclose`.

    Args:
        plan: what it shares with the others.
        conn_index: 0..3.
        address: the edge address to dial.
        local_port: UDP port to send from, 0 for any.
        emit: hears of the dial.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        conn_index: int,
        address: EdgeAddress,
        *,
        local_port: int = 0,
        emit: Emit = lambda _: None,
    ) -> None:
        self.conn_index = conn_index
        self.address = address
        self.local_port = local_port
        self.registration: Registration | None = None
        self.registered_at = 0.0  # on `time.monotonic`, which any thread may read
        self._plan = plan
        self._emit = emit
        self._log = logging.LoggerAdapter(
            logger, {"conn_index": conn_index, "address": str(address)}
        )
        self._transport: QuicTransport | None = None
        self._control: ControlSession | None = None
        self._requests: dict[RequestStream, asyncio.Task[None] | None] = {}
        self._idle: asyncio.Future[None] | None = None  # made when somebody waits for it

    async def dial(self) -> None:
        """Connect to the edge.

        Raises:
            DialError: no connection came about.
        """
        plan = self._plan
        clock = asyncio.get_running_loop().time
        began = clock()
        transport = await dial_quic(
            self.address,
            plan.settings,
            plan.engine,
            timeout=plan.timeout,
            local_port=self.local_port,
        )
        self._emit(Dialled(self.conn_index, self.address, "quic", clock() - began))
        self._transport = transport
        self.local_port = transport.local_port

    async def register(
        self, *, replace_existing: bool = False, previous_attempts: int = 0
    ) -> Registration:
        """Have the edge send requests over this connection.

        Args:
            replace_existing: see `ControlSession.register`.
            previous_attempts: see there.

        Raises:
            RegistrationError: the edge refused.
            ConnectionLost: the connection ended before the answer.
        """
        plan, transport = self._plan, self._transport
        if transport is None:
            raise LocalProtocolError("register() needs a connection that was dialled")
        control = ControlSession(await transport.control_stream(), plan.identity)
        control.start()
        self._control = control
        registration = await control.register(
            plan.credentials,
            self.conn_index,
            local_ip=transport.local_ip,
            replace_existing=replace_existing,
            previous_attempts=previous_attempts,
            timeout=plan.timeout,
        )
        self.registration = registration
        self.registered_at = time.monotonic()
        return registration

    async def push_configuration(self) -> None:
        """Tell the edge what this connector serves; a failure is only logged (protocol.md §5.8)."""
        assert self._control is not None
        try:
            await self._control.push_configuration(local_configuration(self._plan.service))
        except QuickTunnelError as exc:
            self._log.debug("the local configuration was not taken: %s", exc)

    async def serve(self) -> None:
        """Hand requests to the origin until `aclose`.

        Raises:
            ConnectionLost: the connection ended otherwise.
        """
        if self._transport is None or self.registration is None:
            raise LocalProtocolError("serve() needs a connection that is registered")
        facts = ConnectionFacts(self.conn_index, self.registration.colo)
        requests, loop = self._requests, asyncio.get_running_loop()

        def answer(streams: Sequence[RequestStream]) -> None:
            is_alone = len(streams) == 1
            for stream in streams:
                requests[stream] = None
                task = start_task(self._answer(stream, facts), loop, is_alone=is_alone)
                if stream in requests:  # otherwise it has ended
                    requests[stream] = task

        await self._transport.serve(answer)

    @property
    def requests(self) -> int:
        """Requests being answered now."""
        return len(self._requests)

    async def unregister(self, *, timeout: float) -> None:
        """Ask the edge to send no more requests; a failure is only logged."""
        if self._control is None or self.registration is None:
            return
        try:
            await self._control.unregister(timeout=timeout)
        except QuickTunnelError as exc:
            self._log.debug("unregistering failed: %s", exc)

    async def wait_idle(self) -> None:
        """Return when no request is being answered and none came for 0.2 s."""
        while True:
            while self._requests:
                if self._idle is None:
                    self._idle = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._idle)
            # One that the edge sent before it heard of our goodbye may be on its way.
            await asyncio.sleep(_LINGER)
            if not self._requests:
                return

    async def aclose(self) -> int:
        """Close the connection and cut off what is still being answered.

        Returns:
            How many requests were cut off.
        """
        if self._control is not None:
            await self._control.aclose()
        if self._transport is not None:
            await self._transport.aclose()
        return await self._cut_off()

    async def leave(self) -> int:
        """Cut off what is still being answered and fall silent; the registration is left behind.

        The edge keeps it until the connection is idle for 5 s, or another one replaces it.

        Returns:
            How many requests were cut off.
        """
        unfinished = await self._cut_off()  # while the visitors can still be told
        if self._transport is not None:
            await self._transport.leave()
        if self._control is not None:
            await self._control.aclose()  # the stream is gone: nothing is said
        return unfinished

    async def abandon(self) -> None:
        """Free the socket of a connection that ended; what it served sees the disconnect."""
        if self._control is not None:
            await self._control.aclose()
        if self._transport is not None:
            await self._transport.aclose()

    @property
    def stalled(self) -> StalledQuic:
        """How the guard serves this connection while the event loop is blocked."""
        if self._transport is None:
            raise LocalProtocolError("the connection was not dialled")
        return self._transport.stalled

    def statistics(self) -> TransportStatistics | None:
        """A snapshot, or None before the dial succeeded."""
        return self._transport.statistics() if self._transport is not None else None

    def snapshot(self) -> ConnectionStatistics | None:
        """What is told of it, or None before the registration; may be called in any thread."""
        transport, registration = self.statistics(), self.registration
        if transport is None or registration is None:
            return None
        return ConnectionStatistics(
            conn_index=self.conn_index,
            colo=registration.colo,
            age=time.monotonic() - self.registered_at,
            requests=self.requests,
            transport=transport,
        )

    async def _cut_off(self) -> int:
        unfinished = [task for task in self._requests.values() if task is not None]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
            self._requests.clear()  # of those that never began
            self._tell_idle()
        return len(unfinished)

    def _tell_idle(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _answer(self, stream: RequestStream, facts: ConnectionFacts) -> None:
        """The whole task of one request: a callback at its end would cost a turn of the loop."""
        try:
            await self._plan.origin.serve(stream, facts)
        except Exception:  # noqa: BLE001  # it is logged, and one request's
            self._log.exception("a request failed outside its origin")
        finally:
            self._requests.pop(stream, None)
            if not self._requests and self._idle is not None:
                self._tell_idle()


_LINGER = 0.2  # s; design.md §4
