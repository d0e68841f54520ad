"""Finding the edge: real DNS messages over real sockets, and the order of what comes back."""

import functools
import logging
import random
import re
import socket
from collections import Counter

import anyio
import dns.asyncresolver
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import pytest

from asgi_quicktunnel.discovery import (
    CACHE_LIFETIME,
    RETRY_INTERVAL,
    EdgeDiscovery,
    lookup_host,
)
from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.srv import RESOLVERS, SRV_NAME, dns_over_tls, srv_order

from tests_support.certificates import CertificateAuthority
from tests_support.dns_server import REFUSED, SILENT, TRUNCATED, DnsServer

pytestmark = pytest.mark.anyio

SRV = (SRV_NAME, "SRV")
TARGETS = ["1 1 7844 region1.v2.argotunnel.com.", "2 1 7845 region2.v2.argotunnel.com."]
ZONE = {
    SRV: TARGETS,
    ("region1.v2.argotunnel.com", "A"): ["198.51.100.1", "198.51.100.2"],
    ("region1.v2.argotunnel.com", "AAAA"): ["2001:db8:1::1"],
    ("region2.v2.argotunnel.com", "A"): ["203.0.113.1"],
    ("region2.v2.argotunnel.com", "AAAA"): ["2001:db8:2::1", "2001:db8:2::2"],
}


class Clock:
    """Seconds that pass when told."""

    now = 1000.0

    def __call__(self):
        return self.now


class Lookup:
    """Asks the test's server for A and AAAA records, in the order of `families`."""

    def __init__(self, server, families=("A", "AAAA")):
        self._server = server
        self._families = families

    async def __call__(self, host):
        resolver = self._server.resolver()
        addresses = []
        for family in self._families:
            try:
                answer = await resolver.resolve(f"{host}.", family, raise_on_no_answer=False)
            except dns.resolver.NXDOMAIN:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            addresses += sorted(record.address for record in answer)  # the wire shuffles them
        return addresses


@pytest.fixture
async def server():
    async with DnsServer(dict(ZONE)) as server:
        yield server


def discovery_with(server, families=("A", "AAAA"), **options):
    """A discovery that knows one server, for both kinds of question."""
    options = {"lookup": Lookup(server, families), "rng": random.Random(1), **options}
    return EdgeDiscovery(resolvers={"the server": server.resolver}, **options)


def texts(addresses):
    return [f"{address.region} {address}" for address in addresses]


async def failure(discovery, *args, **options):
    with pytest.raises(DiscoveryError) as caught:
        await discovery.discover(*args, **options)
    return str(caught.value)


# The fakes themselves.


async def test_the_server_answers_what_its_zone_says(server):
    """The test's DNS server tells a record, no record and no name apart."""
    resolver = server.resolver()
    answer = await resolver.resolve("region2.v2.argotunnel.com.", "A")

    assert [record.address for record in answer] == ["203.0.113.1"]
    assert answer.response.flags & dns.flags.AA
    with pytest.raises(dns.resolver.NoAnswer):
        await resolver.resolve("region1.v2.argotunnel.com.", "TXT")
    with pytest.raises(dns.resolver.NXDOMAIN):
        await resolver.resolve("elsewhere.test.", "A")


async def test_the_lookup_fails_as_the_systems_does(server):
    """The test's lookup keeps the order of families, and raises OSError for an unknown name."""
    assert await Lookup(server, ("AAAA", "A"))("region1.v2.argotunnel.com") == [
        "2001:db8:1::1",
        "198.51.100.1",
        "198.51.100.2",
    ]
    with pytest.raises(OSError, match="not known"):
        await Lookup(server)("elsewhere.test")


# SRV records and their targets.


async def test_the_first_two_records_are_the_regions(server):
    """Targets become addresses with their record's port; families and regions are in order."""
    addresses = await discovery_with(server).discover()

    assert texts(addresses) == [
        "0 198.51.100.1:7844",
        "1 203.0.113.1:7845",
        "0 198.51.100.2:7844",
        "0 [2001:db8:1::1]:7844",
        "1 [2001:db8:2::1]:7845",
        "1 [2001:db8:2::2]:7845",
    ]
    assert server.questions[0] == (SRV_NAME, "SRV", "udp")


@pytest.mark.parametrize(
    ("families", "ip_version", "expected"),
    [
        (("AAAA", "A"), "auto", [6, 6, 6, 4, 4, 4]),
        (("A", "AAAA"), "auto", [4, 4, 4, 6, 6, 6]),
        (("AAAA",), "auto", [6, 6, 6]),
        (("AAAA", "A"), 4, [4, 4, 4]),
        (("A", "AAAA"), 6, [6, 6, 6]),
    ],
)
async def test_ip_version_chooses_and_orders_families(server, families, ip_version, expected):
    """ "auto" begins with the family the resolver put first; 4 and 6 leave the other one out."""
    addresses = await discovery_with(server, families).discover(ip_version=ip_version)

    assert [address.family for address in addresses] == expected


async def test_the_primary_family_is_chosen_for_each_region(server):
    """A region that has one family only begins with that one."""
    del server.zone["region1.v2.argotunnel.com", "A"]
    addresses = await discovery_with(server).discover()

    assert texts(addresses)[:2] == ["0 [2001:db8:1::1]:7844", "1 203.0.113.1:7845"]


async def test_no_address_of_the_family_is_an_error(server):
    """`ip_version` without any such address says which there are, and names the option."""
    for region in "12":
        del server.zone[f"region{region}.v2.argotunnel.com", "AAAA"]

    assert await failure(discovery_with(server), ip_version=6) == (
        "the edge has no IPv6 address, only 198.51.100.1:7844 and 198.51.100.2:7844 and "
        "203.0.113.1:7845; check the option edge_ip_version"
    )


async def test_records_after_the_second_are_ignored(server):
    """Of three records the two of lowest priority count."""
    server.zone[SRV] = [*TARGETS, "0 1 7846 region3.v2.argotunnel.com."]
    server.zone["region3.v2.argotunnel.com", "A"] = ["192.0.2.3"]
    addresses = await discovery_with(server, ("A",)).discover()

    assert texts(addresses) == [
        "0 192.0.2.3:7846",
        "1 198.51.100.1:7844",
        "1 198.51.100.2:7844",
    ]


async def test_a_truncated_answer_is_asked_again_over_tcp(server):
    """An SRV answer too long for UDP is taken over TCP."""
    server.zone[SRV] = [TRUNCATED, *TARGETS]
    addresses = await discovery_with(server).discover()

    assert len(addresses) == 6
    assert server.questions[:2] == [(*SRV, "udp"), (*SRV, "tcp")]


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (TARGETS[:1], "only 1 of 2 regions in the answer"),
        ([TARGETS[0], "0 0 0 ."], "only 1 of 2 regions in the answer"),
        ([], "the name has no such record"),
        (None, "there is no such name"),
        (REFUSED, r"Do53:127\.0\.0\.1@\d+: REFUSED"),
        (SILENT, r"no answer within 0\.\d s"),
    ],
)
async def test_an_srv_lookup_that_fails_says_why(server, records, why):
    """Too few records, none, an error or silence: the message says which, and what to do."""
    if records is None:
        del server.zone[SRV]
    else:
        server.zone[SRV] = records
    resolvers = {"the server": functools.partial(server.resolver, timeout=0.3)}
    message = await failure(EdgeDiscovery(resolvers=resolvers, lookup=Lookup(server)))

    assert re.fullmatch(
        rf"no edge address: SRV {re.escape(SRV_NAME)} was asked of the server \({why}\); check DNS "
        'and the firewall, or give addresses with the option edge="host:port,host:port"',
        message,
    )


@pytest.mark.parametrize("broken", ["region1", "region2"])
@pytest.mark.parametrize("how", ["no name", "no record"])
async def test_a_region_without_addresses_is_left_out(server, broken, how, caplog):
    """One target that fails or is empty costs a warning; the other region serves."""
    for kind in ("A", "AAAA"):
        del server.zone[f"{broken}.v2.argotunnel.com", kind]
    if how == "no record":
        server.zone[f"{broken}.v2.argotunnel.com", "TXT"] = ["here"]
    addresses = await discovery_with(server).discover()

    assert {address.region for address in addresses} == {0 if broken == "region2" else 1}
    (record,) = caplog.records
    reason = "Name or service not known" if how == "no name" else "no address"
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith(f"left out: {broken}.v2.argotunnel.com ({reason})")


async def test_no_address_at_all_is_an_error(server):
    """With both targets unresolved the message names both and their reasons."""
    server.zone = {SRV: TARGETS}
    message = await failure(discovery_with(server))

    assert re.fullmatch(
        r"no edge address: the system's resolver was asked for "
        r"region[12]\.v2\.argotunnel\.com \(Name or service not known\) and "
        r"region[12]\.v2\.argotunnel\.com \(Name or service not known\); check DNS, or give IP "
        r'addresses with the option edge="ip:port,ip:port"',
        message,
    )


def srv(priority, weight, target="a."):
    return dns.rdata.from_text("IN", "SRV", f"{priority} {weight} 7844 {target}")


def test_srv_priority_comes_before_weight():
    """A lower priority goes first whatever the weights, and nothing is lost."""
    records = [srv(2, 0), srv(0, 65535), srv(1, 10), srv(1, 20)]
    ordered = srv_order(records, random.Random(7))

    assert [record.priority for record in ordered] == [0, 1, 1, 2]
    assert sorted(record.weight for record in ordered) == [0, 10, 20, 65535]


def test_srv_weight_biases_the_draw():
    """Within a priority the first place falls to each record in proportion to its weight."""
    rng = random.Random(2782)
    records = [srv(1, 0), srv(1, 100), srv(1, 300)]
    first = Counter(srv_order(records, rng)[0].weight for _ in range(4000))

    assert 0 < first[0] < 40
    assert 900 < first[100] < 1100
    assert 2850 < first[300] < 3100


@pytest.mark.parametrize("records", [[], [srv(1, 0), srv(1, 0, "b.")]])
def test_srv_order_takes_no_records_and_no_weights(records):
    """Nothing stays nothing, and records without weight are all kept."""
    assert sorted(srv_order(records, random.Random(1))) == sorted(records)


# DNS over TLS, the second try.


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path)


def with_second_try(plain, secure, ca_file, *, timeout=5.0):
    """A discovery that asks one server, then another one over TLS."""
    return EdgeDiscovery(
        resolvers={
            "the system's resolver": plain.resolver,
            "the other over TLS": functools.partial(
                dns_over_tls,
                "127.0.0.1",
                secure.port,
                server_name="dns.test",
                ca_file=ca_file,
                timeout=timeout,
            ),
        },
        lookup=Lookup(plain),
    )


async def test_dns_over_tls_is_the_second_try(server, authority, caplog):
    """SRV records that the resolver does not have are asked for over TLS, targets are not."""
    caplog.set_level(logging.INFO)
    del server.zone[SRV]
    async with DnsServer(dict(ZONE), tls=authority.server_context("dns.test")) as secure:
        addresses = await with_second_try(server, secure, authority.ca_file).discover()

    assert len(addresses) == 6
    assert secure.questions == [(*SRV, "tls")]
    assert (*SRV, "udp") in server.questions
    assert "from the system's resolver (there is no such name)" in caplog.text


async def test_dns_over_tls_is_not_asked_without_need(server, authority):
    """While the resolver answers, nobody else is asked."""
    async with DnsServer(dict(ZONE), tls=authority.server_context("dns.test")) as secure:
        await with_second_try(server, secure, authority.ca_file).discover()

    assert secure.questions == []


@pytest.mark.parametrize(
    ("name", "trusted", "why"),
    [("other.test", True, "Hostname mismatch"), ("dns.test", False, "unable to get local issuer")],
)
async def test_dns_over_tls_is_verified(server, authority, name, trusted, why):
    """A server that can't prove its name is not believed; the message tells of both tries."""
    del server.zone[SRV]
    async with DnsServer(dict(ZONE), tls=authority.server_context(name)) as secure:
        ca_file = authority.ca_file if trusted else None
        message = await failure(with_second_try(server, secure, ca_file))

    assert "was asked of the system's resolver (there is no such name) and the other" in message
    assert why in message
    assert secure.questions == []


async def test_a_silent_server_over_tls_is_given_up(server, authority):
    """Silence over TLS ends after the timeout, and the message says so."""
    del server.zone[SRV]
    context = authority.server_context("dns.test")
    async with DnsServer({SRV: SILENT}, tls=context) as secure:
        message = await failure(with_second_try(server, secure, authority.ca_file, timeout=0.3))

    assert "the other over TLS (no answer within 0." in message


async def test_a_machine_without_nameservers_goes_on_to_tls(server, authority, tmp_path):
    """Where there is no resolv.conf, the second try still finds the edge."""
    context = authority.server_context("dns.test")
    async with DnsServer(dict(ZONE), tls=context) as secure:
        resolvers = {
            "the system's resolver": functools.partial(
                dns.asyncresolver.Resolver, str(tmp_path / "resolv.conf")
            ),
            "the other over TLS": functools.partial(
                dns_over_tls,
                "127.0.0.1",
                secure.port,
                server_name="dns.test",
                ca_file=authority.ca_file,
            ),
        }
        found = await EdgeDiscovery(resolvers=resolvers, lookup=Lookup(server)).discover()
        del resolvers["the other over TLS"]
        message = await failure(EdgeDiscovery(resolvers=resolvers, lookup=Lookup(server)))

    assert len(found) == 6
    assert "the system's resolver (no nameserver is configured); check DNS" in message


@pytest.mark.parametrize("content", ["nameserver nonsense\n", "options\n", "\x00\xff"])
async def test_a_broken_resolver_configuration_is_a_failed_try(server, tmp_path, content):
    """Whatever resolv.conf holds, the result is a DiscoveryError."""
    path = tmp_path / "resolv.conf"
    path.write_text(content, encoding="utf-8")
    resolvers = {"the system's resolver": lambda: dns.asyncresolver.Resolver(str(path))}

    assert "was asked of the system's resolver (" in await failure(
        EdgeDiscovery(resolvers=resolvers, lookup=Lookup(server))
    )


def test_the_second_try_is_cloudflares_resolver():
    """By default 1.1.1.1:853 is asked over TLS as cloudflare-dns.com, for 15 s at most."""
    first, second = RESOLVERS.values()
    resolver = second()
    (nameserver,) = resolver.nameservers

    assert first is dns.asyncresolver.Resolver
    assert str(nameserver) == "DoT:1.1.1.1@853"
    assert nameserver.hostname == "cloudflare-dns.com"
    assert resolver.lifetime == 15.0


# Static entries.


async def test_static_entries_take_turns_as_regions(server):
    """Entries bypass SRV: the first, third, .. are region 0, the others region 1."""
    entries = [("192.0.2.1", 1), ("192.0.2.2", 2), ("2001:db8::3", 3), ("192.0.2.4", 4)]
    addresses = await discovery_with(server).discover(entries)

    assert texts(addresses) == [
        "0 192.0.2.1:1",
        "1 192.0.2.2:2",
        "1 192.0.2.4:4",
        "0 [2001:db8::3]:3",
    ]
    assert server.questions == []


async def test_static_names_are_resolved(server):
    """An entry with a host name stands for all its addresses; repeated ones count once."""
    entries = [("region1.v2.argotunnel.com", 9), ("198.51.100.2", 9)]
    addresses = await discovery_with(server, ("A",)).discover(entries)

    assert texts(addresses) == ["0 198.51.100.1:9", "1 198.51.100.2:9"]


async def test_a_static_name_that_fails_is_left_out(server, caplog):
    """One unknown host among the entries costs a warning."""
    addresses = await discovery_with(server).discover([("nowhere.test", 9), ("192.0.2.1", 9)])

    assert texts(addresses) == ["1 192.0.2.1:9"]
    assert "left out: nowhere.test (Name or service not known)" in caplog.text


async def test_static_entries_that_all_fail_are_an_error(server):
    """With no entry left the message names what was asked."""
    message = await failure(discovery_with(server), [("nowhere.test", 9)])

    assert "the system's resolver was asked for nowhere.test (Name or service not" in message


# The cache.


async def test_an_hour_passes_before_the_next_lookup(server):
    """Within the hour nothing is asked; after it everything is, and the new answer counts."""
    clock = Clock()
    discovery = discovery_with(server, ("A",), clock=clock)
    first = await discovery.discover()
    asked = len(server.questions)
    server.zone["region1.v2.argotunnel.com", "A"] = ["192.0.2.9"]

    clock.now += CACHE_LIFETIME - 1
    assert await discovery.discover() == first
    assert await discovery.discover(ip_version=4) == first
    assert len(server.questions) == asked

    clock.now += 1
    assert texts(await discovery.discover()) == ["0 192.0.2.9:7844", "1 203.0.113.1:7845"]
    assert len(server.questions) == 2 * asked


async def test_forget_drops_what_was_found(server):
    """After `forget` everything is asked again."""
    discovery = discovery_with(server, ("A",))
    await discovery.discover()
    asked = len(server.questions)
    discovery.forget()
    await discovery.discover()

    assert len(server.questions) == 2 * asked


async def test_entries_are_cached_apart(server):
    """Static entries and SRV records do not stand in for one another."""
    discovery = discovery_with(server, ("A",))

    assert texts(await discovery.discover([("192.0.2.1", 1)])) == ["0 192.0.2.1:1"]
    assert len(await discovery.discover()) == 3
    assert texts(await discovery.discover([("192.0.2.1", 1)])) == ["0 192.0.2.1:1"]


async def test_a_caller_cannot_change_what_is_remembered(server):
    """The list that comes back is the caller's own."""
    discovery = discovery_with(server)
    (await discovery.discover()).clear()

    assert len(await discovery.discover()) == 6


async def test_calls_at_the_same_time_ask_once(server):
    """Connections that start together share one lookup."""
    discovery = discovery_with(server, ("A",))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(discovery.discover)

    assert [question[1] for question in server.questions] == ["SRV", "A", "A"]


async def test_an_incomplete_answer_is_asked_again_soon(server, caplog):
    """A region that was missing is looked for again after a minute."""
    clock = Clock()
    discovery = discovery_with(server, ("A",), clock=clock)
    record = server.zone.pop(("region2.v2.argotunnel.com", "A"))
    server.zone["region2.v2.argotunnel.com", "AAAA"] = []
    assert {address.region for address in await discovery.discover()} == {0}
    server.zone["region2.v2.argotunnel.com", "A"] = record

    clock.now += RETRY_INTERVAL - 1
    assert {address.region for address in await discovery.discover()} == {0}
    clock.now += 1
    assert {address.region for address in await discovery.discover()} == {0, 1}


async def test_old_addresses_are_better_than_none(server, caplog):
    """When a later lookup fails, the earlier answer stays in use, and is renewed when it can be."""
    clock = Clock()
    discovery = discovery_with(server, ("A",), clock=clock)
    first = await discovery.discover()
    records = server.zone.pop(SRV)
    asked = len(server.questions)

    clock.now += CACHE_LIFETIME
    assert await discovery.discover() == first
    assert await discovery.discover() == first
    assert len(server.questions) == asked + 1
    assert "(there is no such name)" in caplog.text
    assert "the addresses found earlier stay in use" in caplog.text

    server.zone[SRV] = records
    server.zone["region1.v2.argotunnel.com", "A"] = ["192.0.2.9"]
    clock.now += RETRY_INTERVAL
    assert texts(await discovery.discover())[0] == "0 192.0.2.9:7844"


async def test_a_failure_is_not_remembered(server):
    """After a lookup that failed the next call asks again."""
    records = server.zone.pop(SRV)
    discovery = discovery_with(server)
    await failure(discovery)
    server.zone[SRV] = records

    assert len(await discovery.discover()) == 6


async def test_a_cancelled_lookup_leaves_the_next_one_free(server):
    """Cancellation passes, and holds nothing back."""
    server.zone[SRV] = SILENT
    discovery = discovery_with(server)
    with anyio.move_on_after(0.05) as scope:
        await discovery.discover()
    server.zone[SRV] = TARGETS

    assert scope.cancelled_caught
    with anyio.fail_after(3):
        assert len(await discovery.discover()) == 6


# The system's resolver.


async def test_the_systems_resolver_knows_localhost():
    """Host names go to the system's resolver, which answers with loopback addresses."""
    assert set(await lookup_host("localhost")) <= {"127.0.0.1", "::1"}
    assert await lookup_host("127.0.0.1") == ["127.0.0.1"]
    assert texts(await EdgeDiscovery().discover([("localhost", 7)], ip_version=4)) == [
        "0 127.0.0.1:7"
    ]


@pytest.mark.parametrize(
    "host", ["", "a..b", "a" * 64, ".".join(["a" * 63] * 5), "no such\x00", "ä" * 64]
)
async def test_an_impossible_host_name_is_an_oserror(host):
    """A name that can't exist is an OSError that says something, like one that does not exist."""
    with pytest.raises(OSError, match=r"\w{3}"):
        await lookup_host(host)


async def test_a_slow_resolver_is_given_up():
    """When the time is over the lookup is an OSError that says so."""
    with pytest.raises(OSError, match="no answer within 0 s"):
        await lookup_host("localhost", timeout=0)
