"""Keeps the HA connections of one tunnel alive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence

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
from asgi_quicktunnel.indexes import Indexes, OwnIndexes
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.reconnect import ReconnectPolicy, RenewalPolicy
from asgi_quicktunnel.statistics import (
    ConnectionStatistics,
    MissingConnection,
    Transferred,
    missing_connections,
)

__all__ = ["Supervisor", "TunnelUnknownError"]

logger = logging.getLogger(__name__)

_Keeper = asyncio.Task[QuickTunnelError | None]  # None: told to stop, else why it gave up
Discover = Callable[[], Awaitable[Sequence[EdgeAddress]]]


class TunnelUnknownError(RegistrationError):
    """The edge does not know this tunnel, or another process has a new one: go on with that."""


class Supervisor:
    """Dials, registers and serves each HA connection, again and again until told to stop.

    Which connections those are may change while it runs (`indexes`).

    Args:
        plan: what every connection has in common.
        discover: gives the edge addresses, best first.
        emit: hears of registrations and losses.
        indexes: which connections to keep; None: index 0.
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
        indexes: Indexes | None = None,
        max_attempts: int | None = None,
        renewal: RenewalPolicy | None = None,
        rng: random.Random | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._plan = plan
        self._discover = discover
        self._emit = emit
        self._indexes = indexes or OwnIndexes(1)
        self._max_attempts = max_attempts
        self._renewal = renewal or RenewalPolicy()
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._guard = guard or shared_guard()
        self._addresses = AddressBook()
        self._discovered: tuple[EdgeAddress, ...] = ()
        self._connections: dict[int, HaConnection] = {}
        self._registering: set[asyncio.Future[None]] = set()
        self._abandoned: set[HaConnection] = set()
        self._retiring: set[HaConnection] = set()
        self._retirements: set[asyncio.Task[None]] = set()
        self._kept: set[int] = set()
        self._given_up: set[int] = set()
        self._settled_at: float | None = None  # when a connection was first registered
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
        keepers: dict[int, _Keeper] = {}
        try:
            while not self._draining:
                self._move(keepers)
                await _first_of(keepers.values(), timeout=self._indexes.interval)
                self._reap(keepers)
            await asyncio.gather(*keepers.values())
        finally:
            for keeper in keepers.values():
                keeper.cancel()
            await asyncio.gather(*keepers.values(), return_exceptions=True)
            for index in keepers:
                self._indexes.release(index)

    async def drain(self, grace_period: float, *, hand_over: bool = False) -> int:
        """Take no new requests, end what is endless, let the rest in flight finish, close.

        Args:
            grace_period: seconds that requests in flight may take; 0 closes at once.
            hand_over: neither unregister nor close, so that the name is never without a connection
                until another process replaces ours; requests that come meanwhile are served.

        Returns:
            How many requests were cut off.

        Source: design.md §4 (Shutdown), protocol.md §5.9.
        """
        self._draining = True
        try:
            if grace_period > 0:
                in_flight = sum(each.requests for each in self.connections)
                self._emit(Draining(in_flight, grace_period))
                async with asyncio.timeout(grace_period):
                    if self._registering:  # the edge may have done it, and send requests
                        await asyncio.wait(self._registering, timeout=_RPC_TIMEOUT)
                    connections = self.connections
                    if not hand_over:
                        await asyncio.gather(*map(self._unregister, connections))
                    await self._plan.origin.drain()
                    await asyncio.gather(
                        *(each.wait_idle() for each in (*connections, *self._retiring))
                    )
        except TimeoutError:
            logger.info("the grace period of %g s is over", grace_period)
        finally:
            unfinished = await self._close_all(in_silence=hand_over)
            self._emit(Drained(unfinished))
        return unfinished

    def _move(self, keepers: dict[int, _Keeper]) -> None:
        """Begin to keep the indexes that are ours now, and give back those that are not."""
        loop = asyncio.get_running_loop()
        settled = None if self._settled_at is None else loop.time() - self._settled_at
        move = self._indexes.move(settled)
        for index in move.claim:
            self._kept.add(index)
            keepers[index] = loop.create_task(self._keep(index))
        for index in move.give_back:
            self._kept.discard(index)
            retirement = loop.create_task(self._retire(index, keepers.pop(index)))
            self._retirements.add(retirement)
            retirement.add_done_callback(self._retirements.discard)

    def _reap(self, keepers: dict[int, _Keeper]) -> None:
        """Look after those that ended; one that gave up leaves the others alone."""
        for index, keeper in tuple(keepers.items()):
            if not keeper.done():
                continue
            cause = keeper.result()
            del keepers[index]
            if cause is None:
                continue
            self._indexes.release(index, for_good=True)
            if not self._kept and not self._indexes.is_shared:
                raise cause

    async def _retire(self, conn_index: int, keeper: _Keeper) -> None:
        """Let another process have an index; what our connection is answering finishes."""
        connection = self._connections.pop(conn_index, None)
        if connection is None or connection.registration is None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            if connection is not None:
                await connection.aclose()
            self._indexes.release(conn_index)
            return
        self._retiring.add(connection)
        await self._unregister(connection)
        await connection.wait_idle()
        if connection in self._retiring:
            self._retiring.discard(connection)
            self._transferred = self._transferred.plus(connection.statistics())
            self._unguard(connection)
            await connection.aclose()

    async def _unregister(self, connection: HaConnection) -> None:
        await connection.unregister(timeout=_RPC_TIMEOUT)
        self._indexes.record(connection.conn_index, connection.address, registered=False)
        self._indexes.release(connection.conn_index)

    async def _keep(self, conn_index: int) -> QuickTunnelError | None:
        """Keep one connection; None once draining, or why it was given up."""
        policy = ReconnectPolicy(self._rng, max_attempts=self._max_attempts)
        local_port, held_before = 0, False
        while not self._draining:
            connection: HaConnection | None = None
            try:
                await self._look_up()
                connection = self._connection(conn_index, local_port)
                if not await self._open(connection, policy, replace_existing=held_before):
                    await self._abandon(connection)
                    return None
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
            if self._draining or connection in self._retiring:
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

    def _connection(self, conn_index: int, local_port: int) -> HaConnection:
        address = self._addresses.take(
            conn_index,
            preferred=self._indexes.previous(conn_index),
            elsewhere=self._indexes.elsewhere,
        )
        return HaConnection(self._plan, conn_index, address, local_port=local_port, emit=self._emit)

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
        if self._renewal.is_due(self._kept, now=now) and not self._indexes.others_registered():
            raise TunnelUnknownError(f"the edge does not know the tunnel any more: {cause}")
        if (
            conn_index
            and not held_before
            and (self.connections or self._indexes.others_registered())
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
        retry = self._renewal.retry(cause) or retry
        if retry is None:
            self._kept.discard(conn_index)
            self._given_up.add(conn_index)
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

    async def _open(
        self, connection: HaConnection, policy: ReconnectPolicy, *, replace_existing: bool
    ) -> bool:
        """Dial and register; False when draining began in between."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        index, address = connection.conn_index, connection.address
        self._connections[index] = connection
        was_held = self._indexes.previous(index) is not None
        self._indexes.record(index, address, registered=False)
        await connection.dial()
        if self._draining:  # the others may unregister first, and the tunnel be gone
            return False
        answered = loop.create_future()
        self._registering.add(answered)
        try:
            registration = await connection.register(
                replace_existing=replace_existing or was_held, previous_attempts=policy.retries
            )
        finally:
            answered.set_result(None)
            self._registering.discard(answered)
        self._indexes.record(index, address, registered=True)
        self._guard.watch(connection.stalled)
        policy.on_registered()
        self._renewal.on_registered(index)
        self._emit(Registered(index, address, registration, loop.time() - began))
        if self._settled_at is None:
            self._settled_at = loop.time()
        return True

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

    def statistics(self) -> tuple[ConnectionStatistics, ...]:
        """A snapshot of each connection that is registered now, by index."""
        snapshots = (connection.snapshot() for connection in self.connections)
        return tuple(snapshot for snapshot in snapshots if snapshot is not None)

    def missing(self) -> tuple[MissingConnection, ...]:
        """Those that are wanted and not registered, by index; none once draining."""
        if self._draining:
            return ()
        connections = tuple(self._connections.values())
        return missing_connections(
            wanted=tuple(self._kept),
            given_up=tuple(self._given_up),
            dialled={each.conn_index: each.address for each in connections},
            registered={each.conn_index for each in connections if each.registration is not None},
        )

    def transferred(self) -> Transferred:
        """What all connections together have carried, the lost ones included."""
        total = self._transferred
        for connection in (*self._connections.values(), *self._retiring):
            total = total.plus(connection.statistics())
        return total

    async def _abandon(self, connection: HaConnection) -> None:
        self._connections.pop(connection.conn_index, None)
        if connection.registration is not None:
            self._indexes.record(connection.conn_index, connection.address, registered=False)
        self._transferred = self._transferred.plus(connection.statistics())
        self._unguard(connection)
        await connection.abandon()
        self._abandoned = {kept for kept in self._abandoned if kept.requests}
        if connection.requests:  # an app may go on after its visitor left
            self._abandoned.add(connection)

    async def _close_all(self, *, in_silence: bool) -> int:
        self._transferred = self.transferred()
        for retirement in self._retirements:
            retirement.cancel()
        current = tuple(self._connections.values())
        others = (*self._retiring, *self._abandoned)
        self._connections.clear()
        self._retiring.clear()
        self._abandoned.clear()
        for connection in (*current, *others):
            self._unguard(connection)
        ending = [each.leave() if in_silence else each.aclose() for each in current]
        return sum(await asyncio.gather(*ending, *(each.aclose() for each in others)))

    def _unguard(self, connection: HaConnection) -> None:
        if connection.registration is not None:
            self._guard.unwatch(connection.stalled)


async def _first_of(tasks: Collection[_Keeper], *, timeout: float) -> None:
    """Until one has ended, or `timeout` seconds have passed."""
    if tasks:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.sleep(timeout)


_TRIES_BEFORE_PARKING = 3
_RPC_TIMEOUT = 5.0  # s; protocol.md §9.1, rpc-timeout
