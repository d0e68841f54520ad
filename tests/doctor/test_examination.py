"""All probes together."""

import anyio
import pytest

from asgi_quicktunnel import ConfigError
from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.discovery import DiscoveryError
from asgi_quicktunnel.doctor.examination import examine

from tests_support.dns_server import DnsServer

pytestmark = pytest.mark.anyio

SRV = ("_v2-origintunneld._tcp.argotunnel.com", "SRV")


@pytest.fixture(autouse=True)
async def _time_limit():
    with anyio.fail_after(30):
        yield


async def test_the_embedded_edge_is_started_when_it_is_meant():
    """With `edge="local"` every probe finds something."""
    facts = await examine(TunnelConfig(edge="local"), {}, deep=True)
    assert facts.service.status == 405
    assert len(facts.quic) == len(facts.tcp) == 2
    assert all(answer.is_trusted for answer in facts.quic)
    assert facts.deep.url is not None
    assert facts.lookups == ()


async def test_the_first_resolver_that_knows_the_edge_leads_there(local_edge):
    """Every resolver is asked; the addresses are those of the first answer."""
    ports = [address.rpartition(":")[2] for address in local_edge.edge_addresses]
    zone = {SRV: [f"{number} 1 {port} 127.0.0.1." for number, port in enumerate(ports)]}
    config = TunnelConfig(service_url=local_edge.service_url, ca_file=local_edge.ca_file)

    def none():
        raise DiscoveryError("not here")

    async with DnsServer(zone) as server:
        resolvers = {"one": none, "two": server.resolver}
        facts = await examine(config, {}, resolvers=resolvers)
    assert [(lookup.resolver, bool(lookup.targets)) for lookup in facts.lookups] == [
        ("one", False),
        ("two", True),
    ]
    assert sorted(str(answer.address) for answer in facts.quic) == sorted(local_edge.edge_addresses)
    assert all(answer.was_heard for answer in facts.quic)


async def test_without_an_address_nothing_is_knocked_at(local_edge):
    """The failure is told once, for whichever reason."""
    config = local_edge.config(edge_ip_version=6)
    facts = await examine(config, {})
    assert "IPv6" in facts.addressing_failure
    assert (facts.quic, facts.tcp) == ((), ())
    unknown = TunnelConfig(service_url=local_edge.service_url)
    facts = await examine(unknown, {}, resolvers={})
    assert (facts.quic, facts.lookups) == ((), ())


async def test_proxy_variables_are_named_without_their_passwords(local_edge):
    """What is set is told; who may use the proxy is not."""
    environ = {"HTTPS_PROXY": "http://me:hush@proxy:3128", "no_proxy": "", "PATH": "/bin"}
    facts = await examine(local_edge.config(), environ)
    assert facts.proxies == (("HTTPS_PROXY", "…@proxy:3128"),)


async def test_trust_roots_that_can_not_be_read_are_the_users_mistake(local_edge, tmp_path):
    """It is an error of the configuration, not a finding."""
    broken = tmp_path / "ca.pem"
    broken.write_text("nothing")
    with pytest.raises(ConfigError, match="certificate"):
        await examine(local_edge.config(ca_file=str(broken)), {})
