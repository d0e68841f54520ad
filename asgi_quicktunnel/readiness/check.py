"""The proof as a whole: who answers for the zone, what they say of the name, what the name says."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
import httpx

from asgi_quicktunnel.readiness.base import NotProved, Step
from asgi_quicktunnel.readiness.visit import Target, visit

if TYPE_CHECKING:
    from asgi_quicktunnel.readiness.nameservers import Address, Nameservers

__all__ = ["Readiness", "ReadinessCheck"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a check found.

    Attributes:
        is_proved: whether a request to the public URL came back to this connector. If not, the
            URL may work all the same: what could not be done from here may work elsewhere.
        elapsed: seconds since the check began.
        step: the one that failed, None when it is proved.
        reason: what was tried and what came back; "" when it is proved.
    """

    is_proved: bool
    elapsed: float
    step: Step | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.step is None:
            return f"proved to work after {self.elapsed:.1f} s"
        failure = f"{self.step.value} failed: {self.reason}"
        return f"not proved to work after {self.elapsed:.1f} s: {failure}"


class ReadinessCheck:
    """Proves that public URLs work, without spoiling them for the resolvers that visitors use.

    Args:
        user_agent: as the service should see it.
        nameservers: (IP, port) of servers that replace the lookup of the zone's own.
        ca_file: PEM file that replaces the trust roots; None for those of httpx, which
            SSL_CERT_FILE and SSL_CERT_DIR can set.
        find: from a name to the servers of its zone; None for `nameservers.find_nameservers`.
        clock: seconds.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        nameservers: Sequence[Address] = (),
        ca_file: str | None = None,
        find: Callable[[str], Awaitable[Sequence[Address]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self._user_agent = user_agent
        self._nameservers = nameservers
        self._ca_file = ca_file
        self._find = find
        self._clock = clock
        self._sleep = sleep

    async def wait_reachable(self, url: str, nonce: str, *, timeout: float = 20.0) -> Readiness:
        """Try until the URL is proved to work, or can't be; call it when the tunnel is registered.

        A name is not asked for in the first second, in which the service publishes it; then each
        0.5 s. Names under .localhost and literal addresses need no DNS and are tried at once.

        Args:
            url: the public one, http or https.
            nonce: the connector answers for it (`protocol.readiness`).
            timeout: seconds, for all of it.

        Returns:
            What was found; trouble of the network is no exception.
        """
        pace = _Pace(self._clock, self._sleep, timeout)
        try:
            target = Target.of(url)
            addresses = target.addresses or await self._resolve(target.host, pace)
            context = await self._context(target)
            await pace.until_done(
                Step.REQUEST,
                lambda: visit(
                    target, addresses, nonce, context=context, user_agent=self._user_agent
                ),
            )
        except NotProved as exc:
            return Readiness(False, pace.elapsed, exc.step, exc.reason)
        return Readiness(True, pace.elapsed)

    async def _resolve(self, host: str, pace: _Pace) -> Sequence[str]:
        # Names under .localhost need no DNS, and then nobody pays for dnspython (`discovery`).
        module = "asgi_quicktunnel.readiness.nameservers"
        dns = await anyio.to_thread.run_sync(import_module, module)
        find = self._find or dns.find_nameservers
        addresses = self._nameservers or await pace.until_done(Step.NAMESERVERS, lambda: find(host))
        servers: Nameservers = dns.Nameservers(addresses)
        await pace.sleep_until(FIRST_QUESTION)
        return await pace.until_done(Step.NAME, lambda: servers.addresses_of(host))

    async def _context(self, target: Target) -> ssl.SSLContext | None:
        if not target.is_secure:
            return None
        try:
            return await anyio.to_thread.run_sync(_tls_context, self._ca_file)
        except OSError as exc:
            source = "SSL_CERT_FILE or SSL_CERT_DIR" if self._ca_file is None else self._ca_file
            raise NotProved(
                Step.REQUEST,
                f"{source} can't be used ({exc.strerror or exc})",
                is_final=True,
            ) from exc


class _Pace:
    """How often to try, and until when."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        timeout: float,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._timeout = timeout
        self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._started

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self._timeout - self.elapsed

    async def sleep_until(self, moment: float) -> None:
        """Wait until so many seconds have passed since the beginning."""
        if self.elapsed < moment:
            await self._sleep(moment - self.elapsed)

    async def until_done(self, step: Step, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Try until it works.

        Raises:
            NotProved: the last failure when time is over, or one that is final.
        """
        failure = NotProved(step, "there was no time left for it")
        with anyio.move_on_after(self.left):
            while True:
                try:
                    return await attempt()
                except NotProved as exc:
                    failure = exc
                if failure.is_final or self.left <= INTERVAL:
                    break
                await self._sleep(INTERVAL)
        raise failure


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is None:
        context = httpx.create_ssl_context()
    else:
        context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


# The service publishes a name when the first connection is registered; it resolved 0.8 s later at
# the earliest of seven measured (field-notes.md §5).
FIRST_QUESTION = 1.0  # s
INTERVAL = 0.5  # s, between tries
