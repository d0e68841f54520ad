"""Connections to an origin behind a socket, kept for the next request."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from dataclasses import dataclass

from asgi_quicktunnel.errors import OriginError
from asgi_quicktunnel.origin.tcp_connection import OriginConnection
from asgi_quicktunnel.origin_address import OriginAddress

__all__ = ["OriginPool", "PoolSettings", "PoolStatistics", "tls_context"]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How connections to the origin are made and kept.

    Attributes:
        connect_timeout: seconds for one connection, TLS included.
        idle_timeout: seconds that an idle one is kept; less where the origin says so.
        idle_connections: how many idle ones are kept at most.
    """

    connect_timeout: float = 10.0
    idle_timeout: float = 30.0
    idle_connections: int = 16


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A snapshot of the connections to the origin.

    Attributes:
        open: connections now, idle ones included.
        idle: those that wait for a request.
        created: connections made since the start.
        reused: requests that went over a connection which had served another.
        retried: requests sent again because a kept connection turned out to be dead.
        failures: requests that the origin did not answer, or not wholly.
    """

    open: int = 0
    idle: int = 0
    created: int = 0
    reused: int = 0
    retried: int = 0
    failures: int = 0


class OriginPool:
    """Dials an origin and keeps idle connections, the latest used first.

    So that a burst's surplus of connections grows old and goes. Belongs to one event loop at a
    time; `close` lets go of it.

    Args:
        address: the origin.
        settings: times and limits.
        tls: a context for an HTTPS origin, else None.
    """

    def __init__(
        self, address: OriginAddress, settings: PoolSettings, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self._settings = settings
        self._tls = tls
        self._idle: list[OriginConnection] = []
        self._open: set[OriginConnection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._created = 0
        self._reused = 0
        self._retried = 0
        self._failures = 0

    def take_kept(self, *, for_one_try: bool = False) -> OriginConnection | None:
        """The idle connection that was used last, or None.

        Args:
            for_one_try: whether the request can't be sent again, so that it is worth a system call
                to see whether the origin has just closed the connection.
        """
        while self._idle:
            connection = self._idle.pop()
            if for_one_try and not connection.is_silent():
                connection.abort()
            elif connection.is_usable:
                self._reused += 1
                return connection
        return None

    async def dial(self) -> OriginConnection:
        """A new connection.

        Raises:
            OriginError: none came about; status 504 when it took too long, else 502.
        """
        seconds = self._settings.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect()
        except TimeoutError as exc:
            raise OriginError(
                f"{self.address} took no connection within {seconds:g} s", status=504
            ) from exc
        except ssl.SSLError as exc:
            raise OriginError(f"{self.address} can't be used: {_tls_reason(exc)}") from exc
        except OSError as exc:
            raise OriginError(f"{self.address} can't be reached: {_reason(exc)}") from exc
        self._created += 1
        if connection.is_usable:
            self._open.add(connection)
        return connection

    def give_back(self, connection: OriginConnection) -> None:
        """Keep a connection whose exchange is complete, or close it."""
        limit = self._settings.idle_connections
        seconds = self._settings.idle_timeout
        if connection.idle_timeout is not None:
            seconds = min(seconds, connection.idle_timeout - _MARGIN)
        if not (connection.is_reusable and limit > 0 and seconds > 0):
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_until = loop.time() + seconds
        self._idle.append(connection)
        if len(self._idle) > limit:
            self._idle.pop(0).abort()
        if self._sweeping is None or connection.idle_until < self._sweeping.when():
            self._sweep_at(connection.idle_until)

    def count_retry(self) -> None:
        """A request is sent again."""
        self._reused -= 1
        self._retried += 1

    def count_failure(self) -> None:
        """A request was not answered."""
        self._failures += 1

    def statistics(self) -> PoolStatistics:
        """A snapshot."""
        return PoolStatistics(
            open=len(self._open),
            idle=len(self._idle),
            created=self._created,
            reused=self._reused,
            retried=self._retried,
            failures=self._failures,
        )

    def close(self) -> None:
        """Close every connection, busy ones included; a request then dials anew."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in tuple(self._open):
            connection.abort(OriginError("the tunnel was closed"))

    async def _connect(self) -> OriginConnection:
        loop = asyncio.get_running_loop()
        address = self.address
        label = str(address)

        def make() -> OriginConnection:
            return OriginConnection(label, self._on_end)

        if address.unix_path is not None:
            _, connection = await loop.create_unix_connection(make, address.unix_path)
        else:
            _, connection = await loop.create_connection(
                make,
                address.host,
                address.port,
                ssl=self._tls,
                server_hostname=address.host if self._tls is not None else None,
            )
        return connection

    def _on_end(self, connection: OriginConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            connection.abort()

    def _sweep_at(self, when: float) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = asyncio.get_running_loop().call_at(when, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long, and come again."""
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._idle):
            if connection.idle_until <= now:
                connection.abort()
        if self._idle:
            self._sweep_at(min(connection.idle_until for connection in self._idle))


def tls_context(*, ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """How an HTTPS origin is trusted.

    Args:
        ca_file: PEM file that replaces the system's roots, or None.
        verify: False trusts whoever answers.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); origin_ca_file names who is "
            "to be trusted, origin_tls_verify=False trusts anybody"
        )
    if error.reason in _NO_TLS:
        return f"it does not speak TLS ({error.reason}); perhaps it is http://"
    return f"TLS failed ({error.reason or error})"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"there is no such host ({error.strerror})"
    code = error.errno
    if code is None and (found := _ERRNO(str(error))):  # asyncio's word for several addresses
        code = int(found[1])
    if code is None:
        return str(error) or type(error).__name__
    return f"{os.strerror(code).lower()}; is the server running, and there?"


_MARGIN = 1.0  # s; a request must not meet the origin's own goodbye
_ERRNO = re.compile(r"\[Errno (\d+)\]").search
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
