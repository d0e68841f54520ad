"""Keeps the HA connections of one tunnel alive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from asgi_quicktunnel.addresses import AddressBook
from asgi_quicktunnel.connection import ConnectionPlan, HaConnection
from asgi_quicktunnel.errors import QuickTunnelError, RegistrationError, TransportError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Discovered,
    Drained,
    Draining,
    Emit,
    Registered,
)
from asgi_quicktunnel.guard import Guard, shared_guard
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.reconnect import ReconnectPolicy, RenewalPolicy
from asgi_quicktunnel.statistics import Transferred

__all__ = ["Supervisor", "TunnelUnknownError"]

logger = logging.getLogger(__name__)

Discover = Callable[[], Awaitable[Sequence[EdgeAddress]]]


class TunnelUnknownError(RegistrationError):
    """The edge has not known this tunnel for a minute, at any connection: a new one is needed."""


class Supervisor:
    """Dials, registers and serves each HA connection, again and again until told to stop.

    Index 0 goes first; the others follow at 1 s spacing once it is registered (protocol.md §9.3).

    Args:
        plan: what every connection has in common.
        discover: gives the edge addresses, best first.
        emit: hears of registrations and losses.
        count: how many connections to keep, 1..4.
        max_attempts: failures in a row after which one is given up; None: never.
        renewal: decides when the tunnel itself is given up; outlives the supervisor.
        rng: the source of the jitter in waits.
        guard: keeps connections alive while the loop is blocked.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        discover: Discover,
        emit: Emit,
        *,
        count: int = 1,
        max_attempts: int | None = None,
        renewal: RenewalPolicy | None = None,
        rng: random.Random | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.count = count
        self._plan = plan
        self._discover = discover
        self._emit = emit
        self._max_attempts = max_attempts
        self._renewal = renewal or RenewalPolicy()
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._guard = guard or shared_guard()
        self._addresses = AddressBook()
        self._discovered: tuple[EdgeAddress, ...] = ()
        self._connections: dict[int, HaConnection] = {}
        self._abandoned: set[HaConnection] = set()
        self._kept: set[int] = set()
        self._first_registered = asyncio.Event()
        self._transferred = Transferred()
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
        """Keep the connections alive until `drain`; returns then.

        Raises:
            TunnelUnknownError: the edge does not know the tunnel any more.
            QuickTunnelError: every connection was given up; the last cause.
        """
        self._kept = set(range(self.count))
        keepers = [asyncio.create_task(self._keep(0))]
        keepers += [asyncio.create_task(self._follow(index)) for index in range(1, self.count)]
        try:
            await self._wait(keepers)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def drain(self, grace_period: float) -> int:
        """Take no new requests, end what is endless, let the rest in flight finish, close.

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
                self._emit(Draining(sum(each.requests for each in connections), grace_period))
                async with asyncio.timeout(grace_period):
                    await asyncio.gather(
                        *(
                            connection.unregister(timeout=_UNREGISTER_TIMEOUT)
                            for connection in connections
                        )
                    )
                    await self._plan.origin.drain()
                    await asyncio.gather(*(connection.wait_idle() for connection in connections))
        except TimeoutError:
            logger.info("the grace period of %g s is over", grace_period)
        finally:
            unfinished = await self._close_all()
            self._emit(Drained(unfinished))
        return unfinished

    async def _wait(self, keepers: Sequence[asyncio.Task[QuickTunnelError | None]]) -> None:
        """Until every keeper ended; one that gave up leaves the others alone."""
        cause: QuickTunnelError | None = None
        for ended in asyncio.as_completed(keepers):
            cause = await ended or cause
            if not self._kept and cause is not None and not self._draining:
                raise cause

    async def _follow(self, conn_index: int) -> QuickTunnelError | None:
        await self._first_registered.wait()
        await asyncio.sleep(_SPACING * conn_index)
        return await self._keep(conn_index)

    async def _keep(self, conn_index: int) -> QuickTunnelError | None:
        """Keep one connection; None once draining, or why it was given up."""
        policy = ReconnectPolicy(self._rng, max_attempts=self._max_attempts)
        local_port, held_before = 0, False
        while not self._draining:
            connection: HaConnection | None = None
            try:
                await self._look_up()
                address = self._addresses.take(conn_index)
                connection = HaConnection(
                    self._plan, conn_index, address, local_port=local_port, emit=self._emit
                )
                await self._register(connection, policy, replace_existing=held_before)
                held_before = True
                await self._serve(connection)
            except QuickTunnelError as exc:
                cause = exc
            except Exception as exc:
                # A bug of ours costs this connection one try, and not the tunnel.
                logger.exception("connection %d failed in an unexpected way", conn_index)
                cause = TransportError(f"an unexpected failure: {exc!r}")
            else:
                return None
            if self._draining:
                return None
            if connection is not None:
                local_port = connection.local_port or local_port
                await self._abandon(connection)
            retry_after = self._decide(conn_index, connection, cause, policy, held_before)
            if retry_after is None:
                return cause
            await asyncio.sleep(retry_after)
        return None

    async def _look_up(self) -> None:
        """Learn the edge's addresses, and tell of them when they are news."""
        clock = asyncio.get_running_loop().time
        began = clock()
        addresses = tuple(await self._discover())
        self._addresses.update(addresses)
        if addresses != self._discovered:
            self._discovered = addresses
            self._emit(Discovered(addresses, clock() - began))

    def _decide(
        self,
        conn_index: int,
        connection: HaConnection | None,
        cause: QuickTunnelError,
        policy: ReconnectPolicy,
        held_before: bool,
    ) -> float | None:
        """Tell of a loss; seconds to wait before the next try, or None to give up."""
        lost_at = connection.address if connection is not None else None
        self._emit(ConnectionLost(conn_index, lost_at, cause))
        now = asyncio.get_running_loop().time()
        self._renewal.on_lost(conn_index, cause, now=now)
        if self._renewal.is_due(self._kept, now=now):
            raise TunnelUnknownError(f"the edge does not know the tunnel any more: {cause}")
        if (
            conn_index
            and not held_before
            and self.connections
            and (policy.retries + 1 == _TRIES_BEFORE_PARKING)
        ):
            policy.park()
            logger.info(
                "connection %d was refused %d times (%s); the tunnel works without it, and it is "
                "tried again every 5 minutes",
                conn_index,
                _TRIES_BEFORE_PARKING,
                cause,
            )
        retry = policy.on_lost(cause)
        if retry is None:
            self._kept.discard(conn_index)
            if not self._first_registered.is_set():
                self._kept.clear()  # the others wait for a registration that won't come
            self._addresses.release(conn_index)
            logger.warning("connection %d was given up: %s", conn_index, cause)
            return None
        if retry.rotate:
            self._addresses.rotate(conn_index)
        logger.log(
            logging.INFO if policy.retries <= 1 or conn_index == 0 else logging.DEBUG,
            "connection %d: %s; next try in %.1f s",
            conn_index,
            cause,
            retry.after,
        )
        return retry.after

    async def _register(
        self, connection: HaConnection, policy: ReconnectPolicy, *, replace_existing: bool
    ) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        index = connection.conn_index
        self._connections[index] = connection
        registration = await connection.open(
            replace_existing=replace_existing, previous_attempts=policy.retries
        )
        self._guard.watch(connection.stalled)
        policy.on_registered()
        self._renewal.on_registered(index)
        self._emit(Registered(index, connection.address, registration, clock() - began))
        self._first_registered.set()

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

    def transferred(self) -> Transferred:
        """What all connections together have carried, the lost ones included."""
        total = self._transferred
        for connection in self._connections.values():
            total = total.plus(connection.statistics())
        return total

    async def _abandon(self, connection: HaConnection) -> None:
        self._connections.pop(connection.conn_index, None)
        self._transferred = self._transferred.plus(connection.statistics())
        self._unguard(connection)
        await connection.abandon()
        self._abandoned = {kept for kept in self._abandoned if kept.requests}
        if connection.requests:  # an app may go on after its visitor left
            self._abandoned.add(connection)

    async def _close_all(self) -> int:
        closing = [*self._connections.values(), *self._abandoned]
        self._transferred = self.transferred()
        self._connections.clear()
        self._abandoned.clear()
        for connection in closing:
            self._unguard(connection)
        return sum(await asyncio.gather(*(connection.aclose() for connection in closing)))

    def _unguard(self, connection: HaConnection) -> None:
        if connection.registration is not None:
            self._guard.unwatch(connection.stalled)


_SPACING = 1.0  # s; protocol.md §9.3
_TRIES_BEFORE_PARKING = 3
_UNREGISTER_TIMEOUT = 5.0  # s; protocol.md §9.1, rpc-timeout
