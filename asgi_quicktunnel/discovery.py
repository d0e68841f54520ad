"""Finds the edge's addresses."""

from __future__ import annotations

import ipaddress
import itertools
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread

from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress

__all__ = [
    "EdgeDiscovery",
    "HostLookup",
    "IpVersion",
    "lookup_host",
]

if TYPE_CHECKING:
    from asgi_quicktunnel.srv import ResolverFactory

logger = logging.getLogger(__name__)

IpVersion = Literal["auto", 4, 6]

HostLookup = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its IP addresses, the best first; raises OSError."""


class EdgeDiscovery:
    """Looks the edge up, and remembers what it found for an hour.

    Where a new lookup fails, addresses older than that are better than none.
    """

    def __init__(
        self,
        *,
        resolvers: Mapping[str, ResolverFactory] | None = None,
        lookup: HostLookup | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            resolvers: whom to ask for SRV records, each by a name for messages, until one has
                them; None for the system's resolver, as it is configured then, and 1.1.1.1 over
                TLS.
            lookup: from host names to addresses; None for `lookup_host`.
            rng: orders SRV records of equal priority.
            clock: seconds.
        """
        self._resolvers = resolvers
        self._lookup = lookup or lookup_host
        self._rng = rng or random.Random()  # noqa: S311 - it spreads load and guards nothing
        self._clock = clock
        self._lock = anyio.Lock()
        self._found: dict[_Entries, _Found] = {}

    async def discover(
        self, entries: Sequence[tuple[str, int]] = (), *, ip_version: IpVersion = "auto"
    ) -> list[EdgeAddress]:
        """Where the edge can be dialled.

        Args:
            entries: (host or IP address, port) pairs that replace the SRV records; the first,
                third, .. are region 0 and the others region 1.
            ip_version: "auto" for both families, 4 or 6 for that one alone.

        Returns:
            Each address once. The primary family of each region comes before the other one; it is
            the family of the address that the resolver put first. Within that the regions take
            turns, and each keeps the resolver's order.

        Raises:
            DiscoveryError: no address at all, or none of that family.

        Source: protocol.md §2.
        """
        key = tuple(entries)
        async with self._lock:
            found = self._found.get(key)
            if found is None or self._clock() >= found.until:
                found = self._found[key] = await self._refreshed(key, found)
        addresses = _dialling_order(found.regions, ip_version)
        if not addresses:
            known = _joined(str(address) for region in found.regions for address in region)
            raise DiscoveryError(
                f"the edge has no IPv{ip_version} address, only {known}; "
                "check the option edge_ip_version"
            )
        return addresses

    def forget(self) -> None:
        """Make the next `discover` look everything up again."""
        self._found.clear()

    async def _refreshed(self, entries: _Entries, old: _Found | None) -> _Found:
        try:
            targets = entries or await self._srv_targets()
            regions, is_complete = await self._resolved(targets)
        except DiscoveryError as exc:
            if old is None:
                raise
            logger.warning("%s; the addresses found earlier stay in use", exc)
            return replace(old, until=self._clock() + RETRY_INTERVAL)
        lifetime = CACHE_LIFETIME if is_complete else RETRY_INTERVAL
        return _Found(regions, until=self._clock() + lifetime)

    async def _srv_targets(self) -> _Entries:
        """Host and port of the two regions, from the first resolver that knows them."""
        # Who gives addresses pays nothing for dnspython: 15 MB, and a quarter of a second.
        srv = await anyio.to_thread.run_sync(import_module, "asgi_quicktunnel.srv")
        failures = []
        for name, make_resolver in (self._resolvers or srv.RESOLVERS).items():
            try:
                targets: _Entries = await srv.edge_targets(make_resolver, self._rng)
            except DiscoveryError as exc:
                failures.append(f"{name} ({exc})")
                logger.info("no SRV records of the edge from %s", failures[-1])
            else:
                return targets
        raise DiscoveryError(
            f"no edge address: SRV {srv.SRV_NAME} was asked of {_joined(failures)}; check DNS and "
            'the firewall, or give addresses with the option edge="host:port,host:port"'
        )

    async def _resolved(self, targets: _Entries) -> tuple[_Regions, bool]:
        """Each region's addresses, and whether every target had some."""
        found: list[list[str]] = [[] for _ in targets]
        failures: list[str] = []

        async def resolve(index: int, host: str) -> None:
            try:
                found[index] = list(await self._lookup(host))
            except OSError as exc:
                failures.append(f"{host} ({exc.strerror or exc})")
            else:
                failures.extend([] if found[index] else [f"{host} (no address)"])

        async with anyio.create_task_group() as tasks:
            for index, (host, _) in enumerate(targets):
                if _is_address(host):
                    found[index] = [host]
                else:
                    tasks.start_soon(resolve, index, host)
        if not any(found):
            raise DiscoveryError(
                f"no edge address: the system's resolver was asked for {_joined(failures)}; check "
                'DNS, or give IP addresses with the option edge="ip:port,ip:port"'
            )
        for failure in failures:
            logger.warning("an edge name has no address and is left out: %s", failure)
        regions: _Regions = ([], [])
        for index, (_, port) in enumerate(targets):
            region = index % 2
            regions[region].extend(EdgeAddress(ip, port, region) for ip in found[index])
        return regions, not failures


_Entries = tuple[tuple[str, int], ...]  # host and port; the regions take turns
_Regions = tuple[list[EdgeAddress], list[EdgeAddress]]


@dataclass(frozen=True, slots=True)
class _Found:
    """Addresses in the resolver's order, and until when to use them without asking again."""

    regions: _Regions
    until: float


async def lookup_host(host: str, *, timeout: float = 10.0) -> list[str]:
    """IPv4 and IPv6 addresses of a host name, in the system resolver's order of preference.

    Args:
        host: a name; an address stands for itself.
        timeout: seconds; the default is two tries of the usual system resolver.

    Raises:
        OSError: there are none, or none in time.
    """
    try:
        with anyio.fail_after(timeout):
            found = await anyio.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except TimeoutError as exc:
        raise OSError(f"no answer within {timeout:g} s") from exc
    except UnicodeError as exc:
        raise OSError("not a possible host name") from exc
    return [sockaddr[0] for *_, sockaddr in found]


def _dialling_order(regions: _Regions, ip_version: IpVersion) -> list[EdgeAddress]:
    primary: list[list[EdgeAddress]] = []
    secondary: list[list[EdgeAddress]] = []
    for region in regions:
        family = region[0].family if region and ip_version == "auto" else ip_version
        primary.append([address for address in region if address.family == family])
        others = [address for address in region if address.family != family]
        secondary.append(others if ip_version == "auto" else [])
    unique: dict[str, EdgeAddress] = {}
    for pools in (primary, secondary):
        for turn in itertools.zip_longest(*pools):
            for address in filter(None, turn):
                unique.setdefault(str(address), address)
    return list(unique.values())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _joined(texts: Iterable[str]) -> str:
    return " and ".join(texts)


CACHE_LIFETIME = 3600.0  # s; protocol.md §2
RETRY_INTERVAL = 60.0  # s, between lookups while some of them fail
