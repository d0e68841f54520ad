"""The servers that answer for a zone, and what they say of a name in it.

A name that is looked up before it is published is remembered as missing by whichever resolver was
asked, for as long as the zone's SOA says (half an hour). So the resolver of this machine hears of
the zone alone; the name is asked only of the zone's own servers, which remember nothing.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import anyio
import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from asgi_quicktunnel.protocol.tunnel_answer import presentable
from asgi_quicktunnel.readiness.base import NotProved, Step

__all__ = ["Address", "Nameservers", "ResolverFactory", "find_nameservers"]

Address = tuple[str, int]  # literal IP, port

ResolverFactory = Callable[[], dns.asyncresolver.Resolver]
"""Makes the system's resolver; called anew for each lookup, since its configuration may change."""


class Nameservers:
    """The servers of one zone; the one that answered last is asked first.

    Args:
        addresses: at least one.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = deque(addresses)

    async def addresses_of(self, host: str) -> list[str]:
        """The addresses of a name, IPv4 and IPv6 taking turns, IPv4 first.

        Recursion is not desired; a truncated answer is asked for again over TCP.

        Raises:
            NotProved: no address yet; or, finally, somebody answered who is not an authority for
                the name (AA is not set, RFC 1035 §4.1.1): a server that looks the name up for us,
                and would remember that it is missing.
        """
        name = dns.name.from_text(host)
        found = [await self._records(name, kind) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA)]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*found))
        addresses = [address for address in turns if address is not None]
        if not addresses:
            raise NotProved(Step.NAME, f"{host} has no address yet")
        return addresses

    async def _records(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> list[str]:
        query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD, flags=0)
        host = name.to_text(omit_final_dot=True)
        failures = []
        for address in tuple(self._addresses):
            try:
                reply = await _ask(address, query)
                if reply.rcode() == dns.rcode.NXDOMAIN:
                    raise NotProved(Step.NAME, f"{_shown(address)} knows no {host} yet")
                if reply.rcode() == dns.rcode.NOERROR:
                    answer = reply.resolve_chaining().answer
                    return [r.address for r in answer or () if isinstance(r, A | AAAA)]
                why = dns.rcode.to_text(reply.rcode())
            except (dns.exception.DNSException, OSError, EOFError) as exc:
                why = _why(exc)
            failures.append(f"{_shown(address)} ({why})")
            self._addresses.rotate(-1)
        raise NotProved(
            Step.NAME,
            f"{host} was asked of {_joined(failures)}; a firewall may let DNS out to its own "
            "resolver only",
        )


async def find_nameservers(
    host: str, *, resolver: ResolverFactory = dns.asyncresolver.Resolver, port: int = 53
) -> list[Address]:
    """Who answers for the zone that a name is in; the name itself is not looked up.

    Args:
        host: the name, such as "four-words.trycloudflare.com".
        resolver: the system's.
        port: that the servers listen on.

    Returns:
        At least one address; IPv4 before IPv6.

    Raises:
        NotProved: no server was found; finally if the resolver says that there is none.
    """
    try:
        name = dns.name.from_text(host)
        system = resolver()
        targets = await _nameserver_names(name, system)
    except NotProved:
        raise
    except (dns.exception.DNSException, OSError, ValueError) as exc:
        raise NotProved(
            Step.NAMESERVERS,
            f"the system's resolver was asked who answers for the zone of {host} ({_why(exc)})",
            is_final=not isinstance(exc, _PASSING),
        ) from exc
    addresses: list[str] = []
    failures: list[str] = []

    async def resolve(target: dns.name.Name) -> None:
        try:
            answers = await system.resolve_name(target, search=False, lifetime=_LOOKUP_TIMEOUT)
        except (dns.exception.DNSException, OSError) as exc:
            failures.append(f"{target.to_text(omit_final_dot=True)} ({_why(exc)})")
        else:
            addresses.extend(answers.addresses())

    async with anyio.create_task_group() as tasks:
        for target in targets:
            tasks.start_soon(resolve, target)
    if not addresses:
        raise NotProved(
            Step.NAMESERVERS, f"the system's resolver was asked for {_joined(failures)}"
        )
    unique = dict.fromkeys(sorted(addresses, key=lambda text: ":" in text))
    return [(address, port) for address in unique]


async def _nameserver_names(
    name: dns.name.Name, system: dns.asyncresolver.Resolver
) -> list[dns.name.Name]:
    """Names of the servers of the closest zone above a name."""
    zone = name
    for zone in _zones_above(name):
        try:
            answer = await system.resolve(zone, "NS", search=False, lifetime=_LOOKUP_TIMEOUT)
        except dns.resolver.NoAnswer:  # part of a zone that begins further up
            continue
        # A server below the name could only be found by asking about the name.
        targets = [record.target for record in answer if not record.target.is_subdomain(name)]
        if targets:
            return targets
    raise NotProved(
        Step.NAMESERVERS,
        f"there is no zone above {name.to_text(omit_final_dot=True)} with servers to ask",
        is_final=True,
    )


def _zones_above(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """What may be the zone of a name, closest first; never a top-level domain further up."""
    if len(name.labels) <= _ROOT_AND_ONE:
        return
    zone = name.parent()
    yield zone
    while len(zone.labels) > _ROOT_AND_ONE + 1:
        zone = zone.parent()
        yield zone


async def _ask(address: Address, query: dns.message.QueryMessage) -> dns.message.QueryMessage:
    """Put one question to one server, and see that it is an authority."""
    ip, port = address
    reply = await dns.asyncquery.udp(
        query, ip, timeout=_ANSWER_TIMEOUT, port=port, ignore_unexpected=True, ignore_errors=True
    )
    if reply.flags & dns.flags.AA and reply.flags & dns.flags.TC:
        reply = await dns.asyncquery.tcp(query, ip, timeout=_ANSWER_TIMEOUT, port=port)
    if not reply.flags & dns.flags.AA:
        raise NotProved(
            Step.NAME,
            f"{_shown(address)} answered for {query.question[0].name.to_text(omit_final_dot=True)} "
            "without being an authority for it: something on the way answers DNS in place of the "
            "zone's own servers. It was asked once, so that it can't remember the name as missing",
            is_final=True,
        )
    assert isinstance(reply, dns.message.QueryMessage)
    return reply


def _why(exc: Exception) -> str:
    """What came back, or did not, in few words."""
    match exc:
        case dns.resolver.NXDOMAIN():
            return "there is no such name"
        case dns.resolver.NoAnswer():
            return "the name has no address"
        case dns.resolver.NoResolverConfiguration():
            return "no nameserver is configured"
        case dns.exception.Timeout():  # a LifetimeTimeout is one
            return f"no answer within {exc.kwargs.get('timeout') or _ANSWER_TIMEOUT:.0f} s"
        case OSError() if exc.strerror:
            return presentable(exc.strerror)
    return presentable(str(exc)) or type(exc).__name__


def _shown(address: Address) -> str:
    ip, port = address
    if port == _DNS_PORT:
        return ip
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _joined(texts: Sequence[str]) -> str:
    return " and ".join(texts)


_ANSWER_TIMEOUT = 2.0  # s, for one server; far above any round trip
_LOOKUP_TIMEOUT = 5.0  # s, for one lookup at the system's resolver
_PAYLOAD = 1232  # bytes; what crosses any path unfragmented (RFC 9715 §3.1)
_DNS_PORT = 53
_ROOT_AND_ONE = 2  # labels of a top-level domain: its own and the root's
_PASSING = (dns.exception.Timeout, dns.resolver.NoNameservers, OSError)  # may be over in a moment
