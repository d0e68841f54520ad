"""The proof as a whole, over real sockets; only the passing of time is the test's own."""

import asyncio
import functools
import gc
import os
import sys

import anyio
import pytest

from asgi_quicktunnel.emulator.zone import Host, Zone
from asgi_quicktunnel.protocol.readiness import expected_answer, readiness_path
from asgi_quicktunnel.readiness import Readiness, ReadinessCheck, Step
from asgi_quicktunnel.readiness.nameservers import find_nameservers

from tests_support.certificates import CertificateAuthority
from tests_support.dns_server import REFUSED, SILENT, DnsServer
from tests_support.scripted_http import SILENCE, ScriptedService, response

pytestmark = pytest.mark.anyio

NONCE = "00112233445566778899aabbccddeeff"
ZONE = "quicktunnel.test"
NAME = f"red-fox.{ZONE}"
PROOF = response(200, expected_answer(NONCE))
NO_TUNNEL = response(530, "error code: 1033")
SYSTEM = {
    (ZONE, "NS"): [f"ns.{ZONE}."],
    (f"ns.{ZONE}", "A"): ["127.0.0.1"],
    (f"ns.{ZONE}", "AAAA"): [],
}


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds
        await anyio.sleep(0)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
async def system():
    """The system's resolver, which records what it is asked."""
    async with DnsServer(dict(SYSTEM)) as system:
        yield system


@pytest.fixture
async def zone(time):
    """The zone's own server; the name is registered now, and records when it is asked for."""
    hosts = {NAME: Host(("127.0.0.1",), registered_at=time.now)}
    zone = Zone("127.0.0.1", ZONE, hosts.get, clock=time)
    await zone.start()
    yield zone
    zone.close()


@pytest.fixture
def asked_of_libc():
    """The names that were given to getaddrinfo and its kin, by whatever library."""
    _asked_of_libc.clear()
    return _asked_of_libc


def check_with(time, system=None, zone=None, **options):
    """A check whose system's resolver is `system`, and which knows the port of `zone`."""
    if system is not None:
        options["find"] = functools.partial(
            find_nameservers, resolver=system.resolver, port=zone.port
        )
    options = {"user_agent": "tests/1", "clock": time, "sleep": time.sleep, **options}
    return ReadinessCheck(**options)


async def found_by(check, service, name=NAME, **options):
    scheme = service.url.partition(":")[0]
    with anyio.fail_after(10):
        return await check.wait_reachable(f"{scheme}://{name}:{service.port}", NONCE, **options)


async def test_the_whole_way(time, system, zone, tmp_path, asked_of_libc):
    """Zone, servers, name, address, TLS, answer: the URL is proved to work."""
    authority = CertificateAuthority(tmp_path)
    zone.delay = 2.2
    async with ScriptedService(NO_TUNNEL, PROOF, tls=authority.server_context(NAME)) as service:
        check = check_with(time, system, zone, ca_file=authority.ca_file)
        found = await found_by(check, service)

    assert found == Readiness(True, 3.0)
    assert str(found) == "proved to work after 3.0 s"
    assert service.server_names == [NAME, NAME]
    assert [request.target for request in service.requests] == [readiness_path(NONCE)] * 2


async def test_no_resolver_ever_hears_of_the_name(time, system, zone, asked_of_libc):
    """What the system's resolver is asked is the zone and its servers, also while the name is
    not there yet; the name goes to the zone's own server, with RD clear."""
    zone.delay = 2.2
    async with ScriptedService(PROOF) as service:
        assert (await found_by(check_with(time, system, zone), service)).is_proved

    assert [question[:2] for question in system.questions] == [
        (ZONE, "NS"),
        (f"ns.{ZONE}", "AAAA"),
        (f"ns.{ZONE}", "A"),
    ]
    assert not [name for name in asked_of_libc if "red-fox" in name]
    assert {query.name for query in zone.queries} == {NAME}
    assert not any(query.recursion_desired for query in zone.queries)


async def test_a_lookup_by_any_library_would_be_seen(asked_of_libc):
    """The record of the test above does record."""
    await anyio.getaddrinfo("localhost", 1)
    assert "localhost" in asked_of_libc


async def test_when_the_name_is_asked_for(time, system):
    """Not in the first second after the registration, then each half second until it is there."""
    asked_at = []

    def find(name):
        asked_at.append(time.now - 50)
        return Host(("127.0.0.1",), registered_at=50) if time.now >= 52.5 else None

    zone = Zone("127.0.0.1", ZONE, find, clock=time)
    await zone.start()
    async with ScriptedService(PROOF) as service:
        found = await found_by(check_with(time, system, zone), service)
    zone.close()

    assert found.is_proved
    assert asked_at == [1.0, 1.5, 2.0, 2.5, 2.5]  # the last for both kinds of address


async def test_named_servers_replace_the_search(time, system, zone):
    """With `nameservers` nothing is asked of the system's resolver."""
    async with ScriptedService(PROOF) as service:
        check = check_with(time, system, zone, nameservers=[("127.0.0.1", zone.port)])
        assert (await found_by(check, service)).is_proved

    assert system.questions == []
    assert [query.name for query in zone.queries] == [NAME, NAME]


async def test_an_interceptor_is_asked_once(time, system, zone):
    """An answer without the AA bit ends the check: which step failed, why, and no request."""
    zone.authoritative = False
    async with ScriptedService(PROOF) as service:
        found = await found_by(check_with(time, system, zone), service)

    assert (found.is_proved, found.elapsed, found.step) == (False, 1.0, Step.NAME)
    assert str(found).startswith(
        "not proved to work after 1.0 s: asking the nameservers for the name failed: "
        f"127.0.0.1:{zone.port} answered for {NAME} without being an authority for it"
    )
    assert len(zone.queries) == 1
    assert service.requests == []


async def test_a_name_that_is_never_published(time, system, zone):
    """After 20 s of asking it is told; the network is left alone from then on."""
    zone.delay = 100
    async with ScriptedService(PROOF) as service:
        found = await found_by(check_with(time, system, zone), service)

    assert found == Readiness(False, 19.5, Step.NAME, f"127.0.0.1:{zone.port} knows no {NAME} yet")
    assert len(zone.queries) == 38


async def test_an_edge_that_never_knows_the_tunnel(time, system, zone):
    """530 until the end: the request is the step that failed."""
    async with ScriptedService(NO_TUNNEL) as service:
        found = await found_by(check_with(time, system, zone), service)

    assert (found.is_proved, found.elapsed, found.step) == (False, 19.5, Step.REQUEST)
    assert "answered with status 530" in found.reason
    assert len(zone.queries) == 2  # the address is known
    assert len(service.requests) == 38


async def test_a_certificate_that_is_not_the_hosts_is_told_at_once(time, system, zone, tmp_path):
    """It won't get better, so nobody waits 20 s for it."""
    authority = CertificateAuthority(tmp_path)
    async with ScriptedService(PROOF, tls=authority.server_context("other.test")) as service:
        check = check_with(time, system, zone, ca_file=authority.ca_file)
        found = await found_by(check, service)

    assert (found.is_proved, found.elapsed, found.step) == (False, 1.0, Step.REQUEST)
    assert "Hostname mismatch" in found.reason


async def test_by_default_the_public_roots_are_trusted(time, tmp_path):
    """An authority of somebody's own proves nothing without `ca_file`."""
    authority = CertificateAuthority(tmp_path)
    tls = authority.server_context("red-fox.localhost")
    async with ScriptedService(PROOF, tls=tls) as service:
        found = await found_by(check_with(time), service, "red-fox.localhost")
        assert "unable to get local issuer certificate" in found.reason
        check = check_with(time, ca_file=authority.ca_file)
        assert (await found_by(check, service, "red-fox.localhost")).is_proved


async def test_trust_roots_that_can_not_be_read(time, tmp_path):
    """The file is named."""
    tls = CertificateAuthority(tmp_path).server_context("red-fox.localhost")
    check = check_with(time, ca_file=str(tmp_path / "none.pem"))
    async with ScriptedService(PROOF, tls=tls) as service:
        found = await found_by(check, service, "red-fox.localhost")

    assert found.step is Step.REQUEST
    assert found.reason == f"{tmp_path / 'none.pem'} can't be used (No such file or directory)"


async def test_a_resolver_that_recovers(time, system, zone):
    """The search for the servers is tried again too, within the time there is."""
    system.zone[ZONE, "NS"] = REFUSED

    async def sleep(seconds):
        await time.sleep(seconds)
        if time.now >= 52:
            system.zone[ZONE, "NS"] = SYSTEM[ZONE, "NS"]

    async with ScriptedService(PROOF) as service:
        found = await found_by(check_with(time, system, zone, sleep=sleep), service)

    assert found == Readiness(True, 2.0)


async def test_a_resolver_that_knows_no_such_zone(time, system, zone):
    """That is final, and told at once."""
    del system.zone[ZONE, "NS"]
    async with ScriptedService(PROOF) as service:
        found = await found_by(check_with(time, system, zone), service)

    assert (found.is_proved, found.elapsed, found.step) == (False, 0.0, Step.NAMESERVERS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("name", ["red-fox.localhost", "localhost", "literal"])
async def test_this_machine_needs_no_dns(time, system, zone, asked_of_libc, host, name):
    """Names under .localhost and literal addresses are tried at once, and looked up nowhere."""
    literal = f"[{host}]" if ":" in host else host
    name = literal if name == "literal" else name
    async with ScriptedService(PROOF, host=host) as service:
        found = await found_by(check_with(time, system, zone), service, name)

    assert found == Readiness(True, 0.0)
    assert service.requests[0].headers["host"] == f"{name}:{service.port}"
    assert system.questions == []
    assert not zone.queries
    assert not [asked for asked in asked_of_libc if "localhost" in asked]


async def test_a_url_that_leads_nowhere(time):
    """It is told like any other failure."""
    found = await check_with(time).wait_reachable("https://", NONCE)
    assert (found.is_proved, found.step) == (False, Step.REQUEST)


async def test_the_time_is_kept_whatever_hangs(system, zone):
    """An answer that does not come ends with the time, and the failure before it is told."""
    async with ScriptedService(NO_TUNNEL, SILENCE) as service:
        check = ReadinessCheck(user_agent="tests/1")
        with anyio.fail_after(3):
            found = await check.wait_reachable(
                f"http://red-fox.localhost:{service.port}", NONCE, timeout=1.0
            )

    assert not found.is_proved
    assert 0.9 <= found.elapsed < 2
    assert "answered with status 530" in found.reason


async def test_no_time_at_all(time, system, zone):
    """Time that is over before a step begins is told as that."""
    found = await check_with(time, system, zone).wait_reachable(f"http://{NAME}", NONCE, timeout=0)
    assert (found.is_proved, found.step) == (False, Step.NAMESERVERS)
    assert found.reason == "there was no time left for it"


@pytest.mark.parametrize("hangs", [(ZONE, "NS"), (NAME, "A"), "the service"])
async def test_cancellation_leaves_nothing(time, system, hangs):
    """In whatever step it is cancelled, it passes, and no task or socket is left."""
    find = functools.partial(find_nameservers, resolver=system.resolver, port=system.port)
    check = check_with(time, find=find)
    system.zone[NAME, "A"] = ["127.0.0.1"]
    if hangs != "the service":
        system.zone[hangs] = SILENT
    async with ScriptedService(SILENCE) as service:
        tasks, descriptors = asyncio.all_tasks(), open_descriptors()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(check.wait_reachable, f"http://{NAME}:{service.port}", NONCE)
                while hangs not in [question[:2] for question in system.questions]:
                    if hangs == "the service" and service.requests:
                        break
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
            while asyncio.all_tasks() - tasks or open_descriptors() - descriptors:
                await anyio.sleep(0.01)


def open_descriptors():
    """The sockets and files of this process, where the system tells."""
    gc.collect()
    try:
        return set(os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        return set()


_asked_of_libc = []


def _on_audit(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        name = args[0]
        _asked_of_libc.append(name.decode() if isinstance(name, bytes) else str(name))


sys.addaudithook(_on_audit)
