"""Finds the edge's addresses."""

from __future__ import annotations

import bisect
import ipaddress
import itertools
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import anyio
import certifi
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress

__all__ = [
    "EdgeDiscovery",
    "HostLookup",
    "IpVersion",
    "ResolverFactory",
    "dns_over_tls",
    "edge_targets",
    "lookup_host",
    "srv_order",
]

logger = logging.getLogger(__name__)

IpVersion = Literal["auto", 4, 6]

HostLookup = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its IP addresses, the best first; raises OSError."""

ResolverFactory = Callable[[], dns.asyncresolver.Resolver]
"""Makes a resolver to ask for SRV records; called anew for each lookup."""


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
        self._resolvers = RESOLVERS if resolvers is None else resolvers
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
        failures = []
        for name, make_resolver in self._resolvers.items():
            try:
                return await edge_targets(make_resolver, self._rng)
            except DiscoveryError as exc:
                failures.append(f"{name} ({exc})")
                logger.info("no SRV records of the edge from %s", failures[-1])
        raise DiscoveryError(
            f"no edge address: SRV {SRV_NAME} was asked of {_joined(failures)}; check DNS and the "
            'firewall, or give addresses with the option edge="host:port,host:port"'
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


async def edge_targets(make_resolver: ResolverFactory, rng: random.Random) -> _Entries:
    """Host and port of the first two SRV records of the edge, which are its two regions.

    Raises:
        DiscoveryError: what this resolver answered instead, in few words.
    """
    try:
        records = await _srv_records(make_resolver())
    except (dns.exception.DNSException, DiscoveryError, OSError, ValueError) as exc:
        raise DiscoveryError(_why(exc)) from exc
    return tuple(
        (record.target.to_text(omit_final_dot=True), record.port)
        for record in srv_order(records, rng)[:2]
    )


def dns_over_tls(
    address: str = "1.1.1.1",
    port: int = 853,
    *,
    server_name: str = "cloudflare-dns.com",
    ca_file: str | None = None,
    timeout: float = 15.0,
) -> dns.asyncresolver.Resolver:
    """A resolver that asks one server over TLS (RFC 7858).

    Args:
        address: IP address of the server.
        port: its TCP port.
        server_name: what its certificate must cover.
        ca_file: PEM file of trust roots; None for certifi's.
        timeout: seconds, for a whole lookup.
    """
    resolver = dns.asyncresolver.Resolver(configure=False)
    verify = ca_file or certifi.where()
    resolver.nameservers = [dns.nameserver.DoTNameserver(address, port, server_name, verify)]
    resolver.timeout = resolver.lifetime = timeout
    return resolver


def srv_order(records: Iterable[SRV], rng: random.Random) -> list[SRV]:
    """The order in which to use SRV records: by priority, then by a draw that weight biases.

    Source: RFC 2782, "Usage rules"; a record of weight 0 is drawn when the draw is 0.
    """
    ordered = []
    pool = sorted(records, key=lambda record: (record.priority, record.weight))
    while pool:
        rivals = [record for record in pool if record.priority == pool[0].priority]
        sums = list(itertools.accumulate(record.weight for record in rivals))
        drawn = rivals[bisect.bisect_left(sums, rng.randint(0, sums[-1]))]
        pool.remove(drawn)
        ordered.append(drawn)
    return ordered


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


async def _srv_records(resolver: dns.asyncresolver.Resolver) -> list[SRV]:
    answer = await resolver.resolve(f"{SRV_NAME}.", "SRV")
    # A target of "." says that there is no service (RFC 2782).
    records = [r for r in answer if isinstance(r, SRV) and r.target != dns.name.root]
    if len(records) < 2:
        raise DiscoveryError(f"only {len(records)} of 2 regions in the answer")
    return records


def _why(exc: Exception) -> str:
    """What came back, or did not, in few words."""
    match exc:
        case dns.resolver.NXDOMAIN():
            return "there is no such name"
        case dns.resolver.NoAnswer():
            return "the name has no such record"
        case dns.resolver.NoResolverConfiguration():
            return "no nameserver is configured"
        case dns.resolver.LifetimeTimeout():
            return f"no answer within {exc.kwargs['timeout']:.1f} s"
        case dns.resolver.NoNameservers():
            answers = (f"{server}: {answer}" for server, _, _, answer, _ in exc.kwargs["errors"])
            return _joined(dict.fromkeys(answers))
    return str(exc)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _joined(texts: Iterable[str]) -> str:
    return " and ".join(texts)


SRV_NAME = "_v2-origintunneld._tcp.argotunnel.com"  # protocol.md §2
CACHE_LIFETIME = 3600.0  # s; protocol.md §2
RETRY_INTERVAL = 60.0  # s, between lookups while some of them fail

RESOLVERS: Mapping[str, ResolverFactory] = {
    "the system's resolver": dns.asyncresolver.Resolver,
    "1.1.1.1 over TLS": dns_over_tls,
}
