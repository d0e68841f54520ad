"""The DNS of the emulator: one zone, and the only server that knows it."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from asgi_quicktunnel.errors import LocalProtocolError
from asgi_quicktunnel.transport.udp import Address, UdpListener

__all__ = ["Host", "Query", "Zone"]

Carrier = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Host:
    """A name that exists.

    Attributes:
        addresses: literal, IPv4 and IPv6.
        registered_at: seconds on the zone's clock; `Zone.delay` counts from here.
    """

    addresses: Sequence[str]
    registered_at: float


@dataclass(frozen=True, slots=True)
class Query:
    """One question that was asked.

    Attributes:
        name: in lower case, without the final dot.
        kind: "A", "AAAA", ..
        carrier: what it came over.
        recursion_desired: whether the RD bit was set, as a resolver's clients do.
    """

    name: str
    kind: str
    carrier: Carrier
    recursion_desired: bool


class Zone:
    """An authoritative server for one zone, over UDP and TCP on one port (RFC 1035).

    Start it, then close it; nothing is left.

    Args:
        host: literal address to bind, and the address of the zone's one nameserver.
        name: of the zone, such as "quicktunnel.test".
        find: from a name in the zone (in lower case, without the final dot) to what is known of
            it, or None.
        delay: seconds.
        clock: seconds.

    Attributes:
        delay: seconds from the registration of a name until it is published; before that it does
            not exist, as with the real service.
        authoritative: False leaves the AA bit out, as a resolver does that answers in place of
            the zone's own server.
        truncating: whether what comes over UDP has to be asked for again over TCP.
        queries: what was asked, oldest first; the last 1,000.
    """

    def __init__(
        self,
        host: str,
        name: str,
        find: Callable[[str], Host | None],
        *,
        delay: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delay = delay
        self.authoritative = True
        self.truncating = False
        self.queries: deque[Query] = deque(maxlen=_KEPT)
        self._host = host
        self._origin = dns.name.from_text(name)
        self._nameserver = dns.name.from_text("ns", self._origin)
        self._find = find
        self._clock = clock
        self._udp: UdpListener | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()

    @property
    def port(self) -> int:
        """Where it listens, on UDP and TCP."""
        if self._udp is None:
            raise LocalProtocolError("the zone has no port before it is started")
        return self._udp.port

    async def start(self) -> None:
        """Begin to answer.

        Raises:
            OSError: no port can be bound.
        """
        loop = asyncio.get_running_loop()
        for tries_left in reversed(range(_PORT_TRIES)):
            udp = UdpListener(self._host, 0, self._on_datagrams)
            try:
                self._tcp = await loop.create_server(
                    lambda: _Connection(
                        functools.partial(self.answer, carrier="tcp"), self._connections
                    ),
                    self._host,
                    udp.port,
                )
            except BaseException as exc:
                udp.close()
                if isinstance(exc, OSError) and tries_left:
                    continue  # the port that UDP was given is taken on TCP
                raise
            self._udp = udp
            await udp.start()
            return

    def close(self) -> None:
        """Free the port and end what is connected; harmless when repeated."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for connection in tuple(self._connections):
            connection.abort()

    def answer(self, wire: bytes, carrier: Carrier) -> bytes | None:
        """The answer to one message, or None for what deserves none."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return _format_error(wire)
        if query.flags & dns.flags.QR:
            return None
        reply = dns.message.make_response(query, our_payload=_PAYLOAD)
        if query.opcode() != dns.opcode.QUERY:
            reply.set_rcode(dns.rcode.NOTIMP)
        elif len(query.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
        else:
            self._note(query, carrier)
            self._fill(reply)
        if carrier == "tcp":
            return reply.to_wire(max_size=_LONGEST_MESSAGE)
        if self.truncating:
            reply.flags |= dns.flags.TC
            reply.answer.clear()
        longest = query.payload if query.edns >= 0 else _LONGEST_WITHOUT_EDNS
        return reply.to_wire(max_size=min(longest, _PAYLOAD), prefer_truncation=True)

    def _note(self, query: dns.message.Message, carrier: Carrier) -> None:
        question = query.question[0]
        self.queries.append(
            Query(
                name=_text(question.name),
                kind=dns.rdatatype.to_text(question.rdtype),
                carrier=carrier,
                recursion_desired=bool(query.flags & dns.flags.RD),
            )
        )

    def _fill(self, reply: dns.message.Message) -> None:
        """Answer the one question as RFC 1034 §4.3.2 has it; there are no cuts below the zone."""
        question = reply.question[0]
        is_ours = question.name.is_subdomain(self._origin)
        if question.rdclass != dns.rdataclass.IN or not is_ours:
            reply.set_rcode(dns.rcode.REFUSED)
            return
        if self.authoritative:
            reply.flags |= dns.flags.AA
        records = self._records(question.name)
        if records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := records.get(dns.rdatatype.to_text(question.rdtype)):
            reply.answer.append(
                dns.rrset.from_text(question.name, _TTL, "IN", question.rdtype, *texts)
            )
            return
        # How long a resolver remembers that there is nothing (RFC 2308 §3).
        reply.authority.append(
            dns.rrset.from_text(self._origin, _NEGATIVE_TTL, "IN", "SOA", self._start_of_authority)
        )

    def _records(self, name: dns.name.Name) -> Mapping[str, Sequence[str]] | None:
        """By type, what there is of a name; None if it does not exist."""
        if name == self._origin:
            return {"NS": [self._nameserver.to_text()], "SOA": [self._start_of_authority]}
        if name == self._nameserver:
            return _by_family([self._host])
        host = self._find(_text(name))
        if host is None or self._clock() < host.registered_at + self.delay:
            return None
        return _by_family(host.addresses)

    @property
    def _start_of_authority(self) -> str:
        mailbox = dns.name.from_text("dns", self._origin)
        return f"{self._nameserver} {mailbox} 1 10000 2400 604800 {_NEGATIVE_TTL}"

    def _on_datagrams(self, batch: list[tuple[bytes, Address]]) -> None:
        assert self._udp is not None
        for wire, sender in batch:
            answer = self.answer(wire, "udp")
            if answer is not None:
                self._udp.send([answer], sender)


class _Connection(asyncio.Protocol):
    """One TCP connection: messages with their length before them (RFC 1035 §4.2.2)."""

    def __init__(
        self, answer: Callable[[bytes], bytes | None], connections: set[asyncio.Transport]
    ) -> None:
        self._answer = answer
        self._connections = connections
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                return
            answer = self._answer(bytes(self._received[_LENGTH.size : end]))
            del self._received[:end]
            if answer is not None:
                self._transport.write(_LENGTH.pack(len(answer)) + answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._transport)


def _format_error(wire: bytes) -> bytes | None:
    """The answer to what can't be read, or None where not even its id can, or it is an answer."""
    if len(wire) < _HEADER.size:
        return None
    identifier, flags, *_ = _HEADER.unpack_from(wire)
    if flags & dns.flags.QR:
        return None
    return _HEADER.pack(identifier, dns.flags.QR | dns.rcode.FORMERR, 0, 0, 0, 0)


def _by_family(addresses: Sequence[str]) -> Mapping[str, Sequence[str]]:
    records: dict[str, list[str]] = {}
    for address in addresses:
        kind = "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
        records.setdefault(kind, []).append(address)
    return records


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True)


_KEPT = 1000  # queries
_PORT_TRIES = 5
_PAYLOAD = 1232  # bytes; what crosses any path unfragmented (RFC 9715 §3.1)
_LONGEST_WITHOUT_EDNS = 512  # bytes; RFC 1035 §4.2.1
_LONGEST_MESSAGE = 65535  # bytes; RFC 1035 §4.2.2
_TTL = 300  # s
_NEGATIVE_TTL = 1800  # s; what trycloudflare.com has (field-notes.md §0)
_HEADER = struct.Struct("!6H")  # RFC 1035 §4.1.1: id, flags, and four counts
_LENGTH = struct.Struct("!H")
