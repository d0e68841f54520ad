"""The probes, against servers on this machine."""

import socket
from datetime import UTC, datetime

import anyio
import pytest

from asgi_quicktunnel.doctor import probes
from asgi_quicktunnel.doctor.probes import (
    ask_edge,
    ask_port,
    ask_service,
    find_addresses,
    look_up,
    open_tunnel,
)
from asgi_quicktunnel.emulator.connection import PROBE_SERVER_NAME
from asgi_quicktunnel.emulator.faults import ProvisioningFault
from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.srv import dns_over_tls
from asgi_quicktunnel.transport.engines import choose_engine
from asgi_quicktunnel.transport.tls import trust_roots

from tests_support.dns_server import REFUSED, DnsServer

pytestmark = pytest.mark.anyio

ENGINE = choose_engine()
SRV = ("_v2-origintunneld._tcp.argotunnel.com", "SRV")


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(30):
        yield


def address_of(edge, index=0):
    ip, _, port = edge.edge_addresses[index].rpartition(":")
    return EdgeAddress(ip, int(port))


async def test_the_service_is_visited_without_taking_a_tunnel(local_edge):
    """GET is answered with 405 and a date, and nothing is handed out."""
    answer = await ask_service(local_edge.service_url, user_agent="doctor")
    assert (answer.status, answer.failure) == (405, "")
    assert abs(answer.clock_offset) < 5
    assert not local_edge.tunnels.values()
    (asked,) = local_edge.provisioning_requests
    assert (asked.method, dict(asked.headers)[b"user-agent"]) == ("GET", b"doctor")


async def test_a_service_that_is_not_there_is_a_fact():
    """Why there was no answer, as the tunnel itself would say it."""
    answer = await ask_service("http://127.0.0.1:9", user_agent="doctor")
    assert answer.status is None
    assert "GET http://127.0.0.1:9/tunnel got no answer (connection refused)" in answer.failure


async def test_a_date_that_is_none_tells_no_time():
    """Only a date with a zone is compared."""
    now = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
    assert probes._clock_offset("Mon, 04 May 2026 12:00:00 GMT", now=now) == 30
    for date in ("", "yesterday", "Mon, 04 May 2026 12:00:00 -0000"):
        assert probes._clock_offset(date, now=now) is None


async def test_a_handshake_under_the_name_for_checks(local_edge):
    """The edge answers, sees a goodbye, and has nothing to complain of."""
    answer = await ask_edge(address_of(local_edge), trust_roots(local_edge.ca_file), ENGINE)
    assert (answer.was_heard, answer.is_trusted, answer.failure) == (True, True, "")
    (connection,) = local_edge.connections
    closed = await connection.wait_closed()
    assert (closed.code, closed.reason) == (0, "precheck complete")
    assert connection.dialled.server_name == PROBE_SERVER_NAME
    assert not list(local_edge.violations)


async def test_a_certificate_that_is_not_trusted_is_told_from_silence(local_edge):
    """With other roots the edge is heard, but not trusted."""
    answer = await ask_edge(address_of(local_edge), trust_roots(), ENGINE)
    assert (answer.was_heard, answer.is_trusted) == (True, False)
    assert answer.failure


async def test_silence_is_heard_out_to_the_time_limit():
    """A UDP port where nobody answers is given up then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        answer = await ask_edge(
            EdgeAddress(*silent.getsockname()), trust_roots(), ENGINE, timeout=0.3
        )
    assert (answer.was_heard, answer.is_trusted, answer.has_route) == (False, None, True)
    assert "no answer from the edge at 127.0.0.1" in answer.failure
    assert 0.3 <= answer.elapsed < probes.TIMEOUT


async def test_where_no_packet_can_go_there_is_no_route():
    """An address that a socket can't be connected to; neither probe waits for it."""
    nowhere = EdgeAddress("fe80::1", 7844)  # link-local, and no link is named
    assert not (await ask_edge(nowhere, trust_roots(), ENGINE)).has_route
    answer = await ask_port(nowhere)
    assert not answer.has_route
    assert answer.failure


async def test_a_tcp_port_is_open_or_it_is_not():
    """The connection is all that is asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = EdgeAddress(*server.getsockname())
        assert (await ask_port(address)).failure == ""
    assert (await ask_port(address)).failure == "connection refused"


async def test_each_resolver_is_asked_by_itself(tmp_path):
    """Targets, or what came back instead."""
    zone = {SRV: ["1 1 7844 region1.test.", "2 1 7844 region2.test."]}
    async with DnsServer(zone) as server:
        found = await look_up("here", server.resolver)
        assert found.targets == (("region1.test", 7844), ("region2.test", 7844))
        server.zone = {SRV: REFUSED}
        refused = await look_up("here", server.resolver)
        assert (refused.targets, "REFUSED" in refused.failure) == ((), True)
    closed = await look_up("over TLS", lambda: dns_over_tls("127.0.0.1", 9, timeout=1.0))
    assert closed.failure


async def test_two_addresses_of_each_region_are_enough():
    """Regions take turns in what is given; a family that is not wanted is an error."""
    targets = [("127.0.0.1", port) for port in range(7001, 7009)]
    found = await find_addresses(targets, "auto")
    assert sorted((each.region, each.port) for each in found) == [
        (0, 7001),
        (0, 7003),
        (1, 7002),
        (1, 7004),
    ]
    with pytest.raises(DiscoveryError, match="IPv6"):
        await find_addresses(targets, 6)


async def test_a_whole_tunnel(local_edge, tmp_path):
    """It is registered, proved to work, and closed; what others wait for is left alone."""
    url_file = tmp_path / "url"
    config = local_edge.config(url_file=str(url_file))
    deep = await open_tunnel(config)
    assert (deep.url, deep.colo, deep.doubt) == (local_edge.url_for(""), "lis01", None)
    assert not url_file.exists()
    (connection,) = local_edge.connections
    assert (await connection.wait_closed()).code == 0
    local_edge.faults.provisioning = ProvisioningFault(429, b"error code: 1015")
    assert "429" in (await open_tunnel(config)).failure
