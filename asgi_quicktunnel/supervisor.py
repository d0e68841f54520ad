"""Keeps the connections of one tunnel alive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from asgi_quicktunnel.connection import ConnectionPlan, HaConnection
from asgi_quicktunnel.errors import DiscoveryError, QuickTunnelError
from asgi_quicktunnel.events import ConnectionLost, Drained, Emit, Registered
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.reconnect import ReconnectPolicy

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)


class Supervisor:
    """Dials, registers and serves one HA connection, again and again until told to stop.

    Args:
        plan: what every connection has in common.
        discover: gives the edge addresses, best first.
        emit: hears of registrations and losses.
        rng: the source of the jitter in waits.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        discover: Callable[[], Awaitable[Sequence[EdgeAddress]]],
        emit: Emit,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._plan = plan
        self._discover = discover
        self._emit = emit
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._connections: dict[int, HaConnection] = {}
        self._abandoned: set[HaConnection] = set()
        self._draining = False

    @property
    def connections(self) -> tuple[HaConnection, ...]:
        """Those that are registered now, by index."""
        return tuple(
            connection
            for _, connection in sorted(self._connections.items())
            if connection.registration is not None
        )

    async def run(self) -> None:
        """Keep the connection alive until `drain`; returns then.

        Raises:
            RegistrationError: the edge refused for good.
        """
        await self._keep(0)

    async def drain(self, grace_period: float) -> int:
        """Take no new requests, let those in flight finish, close.

        Args:
            grace_period: seconds that requests in flight may take; 0 closes at once.

        Returns:
            How many requests were cut off.

        Source: design.md §4 (Shutdown), protocol.md §5.9.
        """
        self._draining = True
        connections = self.connections
        try:
            if grace_period > 0:
                async with asyncio.timeout(grace_period):
                    await asyncio.gather(*(_finish(connection) for connection in connections))
        except TimeoutError:
            logger.info("the grace period of %g s is over", grace_period)
        finally:
            unfinished = await self._close_all()
        self._emit(Drained(unfinished))
        return unfinished

    async def _keep(self, conn_index: int) -> None:
        policy = ReconnectPolicy(self._rng)
        rotation = local_port = 0
        held_before = False
        while not self._draining:
            connection = None
            try:
                address = await self._address(conn_index, rotation)
                connection = HaConnection(self._plan, conn_index, address, local_port=local_port)
                await self._register(connection, policy, replace_existing=held_before)
                held_before = True
                await self._serve(connection)
            except QuickTunnelError as exc:
                cause = exc
            else:
                return  # drained
            if self._draining:
                return
            if connection is not None:
                local_port = connection.local_port
                await self._abandon(connection)
            lost_at = connection.address if connection is not None else None
            self._emit(ConnectionLost(conn_index, lost_at, cause))
            retry = policy.on_lost(cause)
            if retry is None:
                raise cause
            rotation += retry.rotate
            logger.info("connection %d: %s; next try in %.1f s", conn_index, cause, retry.after)
            await asyncio.sleep(retry.after)

    async def _register(
        self, connection: HaConnection, policy: ReconnectPolicy, *, replace_existing: bool
    ) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._connections[connection.conn_index] = connection
        registration = await connection.open(
            replace_existing=replace_existing, previous_attempts=policy.retries
        )
        policy.on_registered()
        self._emit(
            Registered(connection.conn_index, connection.address, registration, clock() - began)
        )

    async def _serve(self, connection: HaConnection) -> None:
        registration = connection.registration
        if connection.conn_index == 0 and registration and not registration.remotely_managed:
            pushing = asyncio.create_task(connection.push_configuration())
            try:
                await connection.serve()
            finally:
                pushing.cancel()
        else:
            await connection.serve()

    async def _address(self, conn_index: int, rotation: int) -> EdgeAddress:
        addresses = await self._discover()
        if not addresses:
            raise DiscoveryError("discovery gave no edge address")
        return addresses[(conn_index + rotation) % len(addresses)]

    async def _abandon(self, connection: HaConnection) -> None:
        self._connections.pop(connection.conn_index, None)
        await connection.abandon()
        self._abandoned = {kept for kept in self._abandoned if kept.requests}
        if connection.requests:  # an app may go on after its visitor left
            self._abandoned.add(connection)

    async def _close_all(self) -> int:
        closing = [*self._connections.values(), *self._abandoned]
        self._connections.clear()
        self._abandoned.clear()
        return sum(await asyncio.gather(*(connection.aclose() for connection in closing)))


async def _finish(connection: HaConnection) -> None:
    await connection.unregister(timeout=_UNREGISTER_TIMEOUT)
    await connection.wait_idle()


_UNREGISTER_TIMEOUT = 5.0  # s; protocol.md §9.1, rpc-timeout
