"""The edge's SRV records, and whom to ask for them."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Iterable, Mapping

import certifi
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from asgi_quicktunnel.errors import DiscoveryError

__all__ = ["RESOLVERS", "SRV_NAME", "ResolverFactory", "dns_over_tls", "edge_targets", "srv_order"]

ResolverFactory = Callable[[], dns.asyncresolver.Resolver]
"""Makes a resolver to ask for SRV records; called anew for each lookup."""


async def edge_targets(
    make_resolver: ResolverFactory, rng: random.Random
) -> tuple[tuple[str, int], ...]:
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
            return " and ".join(dict.fromkeys(answers))
    return str(exc)


SRV_NAME = "_v2-origintunneld._tcp.argotunnel.com"  # protocol.md §2

RESOLVERS: Mapping[str, ResolverFactory] = {
    "the system's resolver": dns.asyncresolver.Resolver,
    "1.1.1.1 over TLS": dns_over_tls,
}
