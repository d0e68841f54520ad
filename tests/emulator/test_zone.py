"""The emulator's DNS: asked with real messages over real sockets."""

import asyncio
import socket

import anyio
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.emulator.zone import Host, Query, Zone
from asgi_quicktunnel.errors import LocalProtocolError

pytestmark = pytest.mark.anyio

NAME = "red-fox.quicktunnel.test"
HOSTS = {NAME: Host(("127.0.0.1", "192.0.2.7", "2001:db8::7"), registered_at=100.0)}


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def zone(clock):
    zone = Zone("127.0.0.1", "quicktunnel.test", HOSTS.get, clock=clock)
    await zone.start()
    yield zone
    zone.close()


def question(name=NAME, kind="A", **options):
    return dns.message.make_query(name, kind, **{"flags": 0, **options})


async def ask(zone, name=NAME, kind="A", over=dns.asyncquery.udp, **options):
    return await over(question(name, kind, **options), "127.0.0.1", port=zone.port, timeout=3)


def records(reply):
    return sorted(record.to_text() for rrset in reply.answer for record in rrset)


@pytest.mark.parametrize("over", [dns.asyncquery.udp, dns.asyncquery.tcp], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (NAME, "A", ["127.0.0.1", "192.0.2.7"]),
        (NAME, "AAAA", ["2001:db8::7"]),
        (NAME.upper(), "A", ["127.0.0.1", "192.0.2.7"]),
        ("quicktunnel.test", "NS", ["ns.quicktunnel.test."]),
        ("ns.quicktunnel.test", "A", ["127.0.0.1"]),
    ],
)
async def test_what_it_knows_it_answers_with_authority(zone, over, name, kind, expected):
    """Addresses of names and the zone's own records, over both carriers, with the AA bit."""
    reply = await ask(zone, name, kind, over)

    assert records(reply) == expected
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA
    assert not reply.flags & dns.flags.RA


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nobody.quicktunnel.test", "A", dns.rcode.NXDOMAIN),
        (f"below.{NAME}", "A", dns.rcode.NXDOMAIN),
        (NAME, "TXT", dns.rcode.NOERROR),
        ("ns.quicktunnel.test", "AAAA", dns.rcode.NOERROR),
        ("quicktunnel.test", "A", dns.rcode.NOERROR),
    ],
)
async def test_what_is_not_there_is_to_be_remembered_for_half_an_hour(zone, name, kind, rcode):
    """No name and no record are told apart; the SOA says how long a resolver keeps that."""
    reply = await ask(zone, name, kind)

    assert (reply.rcode(), reply.answer) == (rcode, [])
    assert reply.flags & dns.flags.AA
    (authority,) = reply.authority
    assert authority.rdtype == dns.rdatatype.SOA
    assert authority.ttl == authority[0].minimum == 1800


async def test_it_has_a_start_of_authority(zone):
    """A question for the SOA is answered with it."""
    reply = await ask(zone, "quicktunnel.test", "SOA")

    assert records(reply) == ["ns.quicktunnel.test. dns.quicktunnel.test. 1 10000 2400 604800 1800"]


@pytest.mark.parametrize(
    ("name", "options"), [("red-fox.elsewhere.test", {}), ("test", {}), (NAME, {"rdclass": "CH"})]
)
async def test_other_zones_are_refused(zone, name, options):
    """Outside its zone it is no authority and says nothing."""
    reply = await ask(zone, name, "A", **options)

    assert (reply.rcode(), reply.answer) == (dns.rcode.REFUSED, [])
    assert not reply.flags & dns.flags.AA


async def test_a_name_is_published_a_while_after_its_registration(zone, clock):
    """Until `delay` seconds have passed since it was registered, the name does not exist."""
    zone.delay = 2.5
    clock.now = 102.4
    assert (await ask(zone)).rcode() == dns.rcode.NXDOMAIN

    clock.now = 102.5
    assert records(await ask(zone)) == ["127.0.0.1", "192.0.2.7"]


async def test_it_can_pose_as_a_resolver_in_between(zone):
    """Without authority the answer is the same, and the AA bit is missing."""
    zone.authoritative = False
    reply = await ask(zone)

    assert records(reply) == ["127.0.0.1", "192.0.2.7"]
    assert not reply.flags & dns.flags.AA


async def test_it_can_send_askers_to_tcp(zone):
    """When truncating, UDP brings no records but the TC bit, and TCP brings all."""
    zone.truncating = True
    reply = await ask(zone)

    assert reply.flags & dns.flags.TC
    assert reply.flags & dns.flags.AA
    assert reply.answer == []
    assert len(records(await ask(zone, over=dns.asyncquery.tcp))) == 2


@pytest.mark.parametrize(("use_edns", "limit"), [(False, 512), (True, 1232)])
async def test_an_answer_that_does_not_fit_is_truncated(clock, use_edns, limit):
    """A datagram is no longer than the asker takes; over TCP there is room for everything."""
    many = Host([f"192.0.2.{n}" for n in range(200)], registered_at=0)
    zone = Zone("127.0.0.1", "quicktunnel.test", lambda name: many, clock=clock)
    query = question(use_edns=use_edns)

    wire = zone.answer(query.to_wire(), "udp")
    assert len(wire) <= limit
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    assert len(records(dns.message.from_wire(zone.answer(query.to_wire(), "tcp")))) == 200


async def test_every_question_is_recorded(zone):
    """Name, type, carrier and whether recursion was desired; in order."""
    await ask(zone)
    await ask(zone, NAME.upper(), "AAAA", dns.asyncquery.tcp, flags=dns.flags.RD)
    await ask(zone, "elsewhere.test", "NS")

    assert list(zone.queries) == [
        Query(NAME, "A", "udp", False),
        Query(NAME, "AAAA", "tcp", True),
        Query("elsewhere.test", "NS", "udp", False),
    ]


async def test_tcp_takes_questions_in_pieces_and_several_at_once(zone):
    """However the stream is cut, each message is answered in turn."""
    first, second = question(id=1).to_wire(), question(kind="AAAA", id=2).to_wire()
    wire = b"".join(len(part).to_bytes(2, "big") + part for part in (first, second))
    async with await anyio.connect_tcp("127.0.0.1", zone.port) as stream:
        for cut in (wire[:1], wire[1:7], wire[7 : len(first) + 5], wire[len(first) + 5 :]):
            await stream.send(cut)
            await anyio.sleep(0)
        received = b""
        replies = []
        with anyio.fail_after(3):
            while len(replies) < 2:
                received += await stream.receive()
                while len(received) > 2 and len(received) >= 2 + int.from_bytes(received[:2]):
                    end = 2 + int.from_bytes(received[:2])
                    replies.append(dns.message.from_wire(received[2:end]))
                    received = received[end:]

    assert [reply.id for reply in replies] == [1, 2]


def zone_at_rest():
    return Zone("127.0.0.1", "quicktunnel.test", HOSTS.get, clock=Clock())


def test_a_broken_message_is_a_format_error():
    """What has a header gets FORMERR under its id; less than that gets nothing."""
    wire = question(id=4711).to_wire()
    reply = dns.message.from_wire(zone_at_rest().answer(wire[:-3], "udp"))

    assert (reply.id, reply.rcode()) == (4711, dns.rcode.FORMERR)
    assert zone_at_rest().answer(wire[:11], "udp") is None


@pytest.mark.parametrize("cut", [0, 3])
def test_an_answer_is_not_answered(cut):
    """Two servers can't be set against each other, whether or not the answer can be read."""
    wire = dns.message.make_response(question()).to_wire()
    assert zone_at_rest().answer(wire[: len(wire) - cut], "udp") is None


def test_other_operations_are_not_implemented():
    """An update or a notification is told so."""
    query = question()
    query.set_opcode(dns.opcode.NOTIFY)
    reply = dns.message.from_wire(zone_at_rest().answer(query.to_wire(), "udp"))

    assert reply.rcode() == dns.rcode.NOTIMP


def test_a_message_has_one_question():
    """None, or two, are a format error."""
    zone = zone_at_rest()
    for count in (0, 2):
        query = question()
        query.question = [question(kind=kind).question[0] for kind in ("A", "AAAA")[:count]]
        reply = dns.message.from_wire(zone.answer(query.to_wire(), "udp"))
        assert reply.rcode() == dns.rcode.FORMERR
    assert not zone.queries


@given(st.data())
def test_no_message_breaks_it(data):
    """Whatever arrives, the answer is a message under the same id, or none."""
    wire = bytearray(question().to_wire())
    for _ in range(data.draw(st.integers(0, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    wire = bytes(wire[: data.draw(st.integers(0, len(wire)))]) + data.draw(st.binary(max_size=8))
    for carrier in ("udp", "tcp"):
        answer = zone_at_rest().answer(wire, carrier)
        assert answer is None or answer[:2] == wire[:2]


async def test_closing_frees_the_port_and_the_connections(clock):
    """Nothing is left: the port can be bound again, and who was connected is told."""
    tasks = asyncio.all_tasks()
    zone = Zone("127.0.0.1", "quicktunnel.test", HOSTS.get, clock=clock)
    await zone.start()
    port = zone.port
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(b"\x00")
    assert (await ask(zone, over=dns.asyncquery.tcp)).answer
    zone.close()
    zone.close()

    with anyio.fail_after(3), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await stream.receive()
    await stream.aclose()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
    assert asyncio.all_tasks() == tasks


async def test_it_serves_on_ipv6():
    """Bound to ::1, its nameserver has an IPv6 address."""
    zone = Zone("::1", "quicktunnel.test", HOSTS.get)
    await zone.start()
    try:
        query = question("ns.quicktunnel.test", "AAAA")
        reply = await dns.asyncquery.udp(query, "::1", port=zone.port, timeout=3)
    finally:
        zone.close()

    assert records(reply) == ["::1"]


async def test_an_address_that_can_not_be_bound():
    """Starting fails, and so does asking for the port; closing is harmless."""
    zone = Zone("192.0.2.1", "quicktunnel.test", HOSTS.get)
    with pytest.raises(OSError, match="assign"):
        await zone.start()
    with pytest.raises(LocalProtocolError):
        _ = zone.port
    zone.close()
