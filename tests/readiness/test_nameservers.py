"""Who answers for a name, and what they say: real DNS messages over real sockets."""

import functools

import dns.asyncresolver
import pytest

from asgi_quicktunnel.emulator.zone import Host, Zone
from asgi_quicktunnel.readiness.base import NotProved, Step
from asgi_quicktunnel.readiness.nameservers import Nameservers, find_nameservers

from tests_support.dns_server import REFUSED, SILENT, TRUNCATED, DnsServer

pytestmark = pytest.mark.anyio

ZONE = "quicktunnel.test"
NAME = f"red-fox.{ZONE}"
SYSTEM = {
    (ZONE, "NS"): ["ns1.dns.test.", "ns2.dns.test."],
    ("ns1.dns.test", "A"): ["192.0.2.1", "192.0.2.2"],
    ("ns1.dns.test", "AAAA"): ["2001:db8::1"],
    ("ns2.dns.test", "A"): ["192.0.2.2", "192.0.2.3"],
    ("ns2.dns.test", "AAAA"): [],
}


@pytest.fixture
async def system():
    """The system's resolver, which records what it is asked."""
    async with DnsServer(dict(SYSTEM)) as system:
        yield system


@pytest.fixture
async def zone():
    hosts = {NAME: Host(("192.0.2.7", "192.0.2.8", "2001:db8::7"), registered_at=0)}
    zone = Zone("127.0.0.1", ZONE, hosts.get)
    await zone.start()
    yield zone
    zone.close()


def at(server):
    return "127.0.0.1", server.port


async def failure(awaitable):
    with pytest.raises(NotProved) as caught:
        await awaitable
    return caught.value


# Finding the servers.


async def test_the_servers_are_those_of_the_parent_zone(system):
    """Their names, then their addresses are asked of the system's resolver; IPv4 comes first."""
    servers = await find_nameservers(NAME, resolver=system.resolver)

    assert sorted(servers) == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 53),
        ("192.0.2.3", 53),
        ("2001:db8::1", 53),
    ]
    assert servers[-1] == ("2001:db8::1", 53)
    assert system.questions[0] == (ZONE, "NS", "udp")
    assert {name for name, _, _ in system.questions} == {ZONE, "ns1.dns.test", "ns2.dns.test"}


async def test_a_zone_may_begin_further_up(system):
    """A parent that is no zone of its own is passed over, up to the last but one label."""
    system.zone[f"a.b.{ZONE}", "A"] = []
    system.zone[f"b.{ZONE}", "A"] = []
    servers = await find_nameservers(f"red-fox.a.b.{ZONE}", resolver=system.resolver)

    assert len(servers) == 4
    assert [name for name, kind, _ in system.questions if kind == "NS"] == [
        f"a.b.{ZONE}",
        f"b.{ZONE}",
        ZONE,
    ]


async def test_top_level_domains_are_not_asked_about(system):
    """When no zone is found below them the search ends, for good."""
    system.zone[ZONE, "NS"] = []
    found = await failure(find_nameservers(NAME, resolver=system.resolver))

    assert (found.step, found.is_final) == (Step.NAMESERVERS, True)
    assert found.reason == f"there is no zone above {NAME} with servers to ask"
    assert system.questions == [(ZONE, "NS", "udp")]


async def test_a_name_right_below_the_top_is_in_that_zone(system):
    """A private top-level domain can have tunnels."""
    system.zone["lan", "NS"] = ["ns1.dns.test."]

    assert len(await find_nameservers("red-fox.lan", resolver=system.resolver)) == 3


async def test_a_name_without_a_zone_is_not_looked_up(system):
    """A single label would have to be asked of the root's servers."""
    found = await failure(find_nameservers("red-fox", resolver=system.resolver))

    assert found.is_final
    assert system.questions == []


async def test_a_server_below_the_name_is_left_out(system):
    """Its address could only be found by asking about the name."""
    system.zone[ZONE, "NS"] = [f"ns.{NAME}.", f"{NAME}.", "ns1.dns.test."]
    assert len(await find_nameservers(NAME, resolver=system.resolver)) == 3
    assert not [name for name, _, _ in system.questions if name.endswith(NAME)]

    system.zone[ZONE, "NS"] = [f"ns.{NAME}."]
    assert (await failure(find_nameservers(NAME, resolver=system.resolver))).is_final


async def test_one_server_without_address_is_left_out(system):
    """The others will do."""
    del system.zone["ns1.dns.test", "A"], system.zone["ns1.dns.test", "AAAA"]
    servers = await find_nameservers(NAME, resolver=system.resolver)

    assert {ip for ip, _ in servers} == {"192.0.2.2", "192.0.2.3"}


async def test_servers_that_all_have_no_address(system):
    """Each is named with its reason; it may be better in a moment."""
    for key in [key for key in system.zone if key[0] == "ns1.dns.test"]:
        del system.zone[key]
    system.zone["ns2.dns.test", "A"] = []
    found = await failure(find_nameservers(NAME, resolver=system.resolver))

    assert (found.step, found.is_final) == (Step.NAMESERVERS, False)
    assert sorted(
        found.reason.removeprefix("the system's resolver was asked for ").split(" and ")
    ) == [
        "ns1.dns.test (there is no such name)",
        "ns2.dns.test (the name has no address)",
    ]


@pytest.mark.parametrize(
    ("records", "reason", "is_final"),
    [(None, "there is no such name", True), (REFUSED, "answered REFUSED", False)],
)
async def test_a_resolver_that_has_no_answer(system, records, reason, is_final):
    """A zone that does not exist never will; a resolver that fails may recover."""
    if records is None:
        del system.zone[ZONE, "NS"]
    else:
        system.zone[ZONE, "NS"] = records
    found = await failure(find_nameservers(NAME, resolver=system.resolver))

    assert (found.step, found.is_final) == (Step.NAMESERVERS, is_final)
    assert found.reason.startswith(
        f"the system's resolver was asked who answers for the zone of {NAME} ("
    )
    assert reason in found.reason


@pytest.mark.parametrize("content", [None, "nameserver nonsense\n"])
async def test_a_machine_without_a_resolver(tmp_path, content):
    """No resolv.conf, or a broken one: it is said, for good."""
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_text(content)
    resolver = functools.partial(dns.asyncresolver.Resolver, str(path))
    found = await failure(find_nameservers(NAME, resolver=resolver))

    assert (found.step, found.is_final) == (Step.NAMESERVERS, True)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.test", ".".join(["a" * 63] * 5)])
async def test_a_name_that_can_not_exist(system, host):
    """It is looked up nowhere."""
    found = await failure(find_nameservers(host, resolver=system.resolver))

    assert (found.step, found.is_final) == (Step.NAMESERVERS, True)
    assert system.questions == []


# Asking them.


async def test_the_servers_are_asked_without_recursion(zone):
    """Both kinds of address, over UDP, RD clear; the families take turns, IPv4 first."""
    addresses = await Nameservers([at(zone)]).addresses_of(NAME)

    assert sorted(addresses) == ["192.0.2.7", "192.0.2.8", "2001:db8::7"]
    assert addresses[1] == "2001:db8::7"
    assert [(q.name, q.kind, q.carrier, q.recursion_desired) for q in zone.queries] == [
        (NAME, "A", "udp", False),
        (NAME, "AAAA", "udp", False),
    ]


async def test_a_truncated_answer_is_asked_for_over_tcp(zone):
    """What did not fit comes whole; TCP is used for nothing else."""
    zone.truncating = True

    assert len(await Nameservers([at(zone)]).addresses_of(NAME)) == 3
    assert [q.carrier for q in zone.queries] == ["udp", "tcp", "udp", "tcp"]


@pytest.mark.parametrize("name", [NAME, f"nobody.{ZONE}"])
@pytest.mark.parametrize("truncating", [False, True])
async def test_an_answer_without_authority_ends_it(zone, name, truncating):
    """Address or not, cut or not: who answers without AA is asked once, and nobody after it."""
    zone.authoritative = False
    zone.truncating = truncating
    found = await failure(Nameservers([at(zone), at(zone)]).addresses_of(name))

    assert (found.step, found.is_final) == (Step.NAME, True)
    assert found.reason.startswith(
        f"127.0.0.1:{zone.port} answered for {name} without being an authority for it"
    )
    assert len(zone.queries) == 1


async def test_a_refusal_without_authority_ends_it_too(zone):
    """A server that does not know the zone would look elsewhere for it."""
    found = await failure(Nameservers([at(zone)]).addresses_of("red-fox.elsewhere.test"))

    assert found.is_final


async def test_a_name_that_is_not_published_may_be_later(zone):
    """One server's word is enough for now."""
    found = await failure(Nameservers([at(zone), at(zone)]).addresses_of(f"nobody.{ZONE}"))

    assert (found.step, found.is_final) == (Step.NAME, False)
    assert found.reason == f"127.0.0.1:{zone.port} knows no nobody.{ZONE} yet"
    assert len(zone.queries) == 1


async def test_a_name_without_address(zone):
    """A name that exists but has no address is not published yet either."""
    found = await failure(Nameservers([at(zone)]).addresses_of(ZONE))

    assert (found.step, found.is_final) == (Step.NAME, False)
    assert found.reason == f"{ZONE} has no address yet"


async def test_an_alias_is_followed_within_the_answer():
    """A CNAME with its address beside it is an address; alone it is none."""
    hosts = {(NAME, "A"): [], (NAME, "AAAA"): []}
    async with DnsServer(hosts) as server:
        assert not (await failure(Nameservers([at(server)]).addresses_of(NAME))).is_final


async def test_the_next_server_is_asked_when_one_fails(zone):
    """A server that breaks the connection is left, and the one that answered stays in front."""
    broken = {(NAME, kind): [TRUNCATED] for kind in ("A", "AAAA")}
    async with HangingUp(broken) as server:
        servers = Nameservers([at(server), at(zone)])
        assert len(await servers.addresses_of(NAME)) == 3
        assert server.questions == [(NAME, "A", "udp")]
        await servers.addresses_of(NAME)
        assert server.questions == [(NAME, "A", "udp")]


async def test_servers_that_all_fail_are_named():
    """Each with its reason, and a thing to look at; it may be better in a moment."""
    broken = {(NAME, "A"): [TRUNCATED]}
    async with HangingUp(broken) as server:
        found = await failure(Nameservers([at(server)] * 2).addresses_of(NAME))

    assert (found.step, found.is_final) == (Step.NAME, False)
    assert found.reason.count(f"127.0.0.1:{server.port} (EOF)") == 2
    assert "a firewall may let DNS out to its own resolver only" in found.reason


async def test_a_server_that_nothing_can_be_sent_to():
    """The system's own words are the reason; DNS's own port goes without saying."""
    found = await failure(Nameservers([("255.255.255.255", 53)]).addresses_of(NAME))

    assert found.reason.startswith(f"{NAME} was asked of 255.255.255.255 (Permission denied);")


async def test_an_authority_may_fail():
    """An authority's SERVFAIL is a failure like silence, not a verdict."""
    async with DnsServer({(NAME, "A"): REFUSED}) as server:  # with AA, as its other answers
        found = await failure(Nameservers([at(server)]).addresses_of(NAME))

    assert not found.is_final
    assert "(REFUSED)" in found.reason


async def test_a_silent_server_is_left_after_two_seconds():
    """The reason tells how long was waited."""
    async with DnsServer({(NAME, "A"): SILENT}) as silent:
        found = await failure(Nameservers([at(silent)]).addresses_of(NAME))

    assert f"127.0.0.1:{silent.port} (no answer within 2 s)" in found.reason


class HangingUp(DnsServer):
    """Truncates everything, and closes each TCP connection when it is asked."""

    async def _serve(self, reader, writer):
        await reader.readexactly(2)
        writer.close()
