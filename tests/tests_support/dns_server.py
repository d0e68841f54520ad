"""An authoritative DNS server on loopback, over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Mapping, Sequence

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

__all__ = ["REFUSED", "SILENT", "TRUNCATED", "DnsServer", "Zone"]

Zone = Mapping[tuple[str, str], Sequence[str]]
"""From (name without a final dot, record type) to records as a zone file writes them."""

REFUSED = ["refused"]  # in place of records: the answer REFUSED
SILENT = ["silent"]  # in place of records: no answer
TRUNCATED = "truncated"  # as the first record: the answer over UDP is empty, with the TC bit


class DnsServer:
    """Answers from a zone that may be changed at any time; what is not in it does not exist.

    Attributes:
        zone: what it knows.
        questions: (name, type, transport) of each question, in order.
    """

    def __init__(self, zone: Zone, *, tls: ssl.SSLContext | None = None) -> None:
        self.zone = zone
        self.questions: list[tuple[str, str, str]] = []
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self), ("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(self, *_):
        self._udp.close()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    def resolver(self, *, timeout=5.0):
        """A stub resolver that knows this server alone."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        resolver.lifetime = timeout
        return resolver

    def answer(self, wire, transport):
        """The reply to one message, or None for silence."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind, transport))
        records = self.zone.get((name, kind))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        if records is SILENT:
            return None
        if records is REFUSED:
            reply.set_rcode(dns.rcode.REFUSED)
        elif records is None and not any(name == known for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif records and records[0] == TRUNCATED:
            if transport == "udp":
                reply.flags |= dns.flags.TC
            else:
                reply.answer = [_rrset(question, records[1:])]
        elif records:
            reply.answer = [_rrset(question, records)]
        return reply.to_wire()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                reply = self.answer(await reader.readexactly(length), "tls" if self._tls else "tcp")
                if reply is not None:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()
        finally:
            self._writers.discard(writer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server):
        self._server = server

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, address):
        reply = self._server.answer(data, "udp")
        if reply is not None:
            self._transport.sendto(reply, address)


def _rrset(question, records):
    return dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *records)
