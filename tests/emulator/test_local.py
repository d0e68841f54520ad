"""The embedded edge as a whole."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest

from asgi_quicktunnel import emulator
from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import ConfigError, LocalProtocolError

from tests_support.raw_connector import raw_connector, registered

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def deadline():
    with anyio.fail_after(20):
        yield


async def test_addresses():
    """Service, edge servers, authority and front are all that a connector and a visitor need."""
    async with LocalEdge() as edge:
        config = edge.config(strict=True)
        assert isinstance(config, TunnelConfig)
        assert config.strict
        assert config.service_url == edge.service_url
        assert config.ca_file == edge.ca_file
        assert [f"{host}:{port}" for host, port in config.edge_entries] == edge.edge_addresses
        assert len(set(edge.edge_addresses)) == 2
        assert b"BEGIN CERTIFICATE" in Path(edge.ca_file).read_bytes()
        assert Path(edge.ca_file).parent.stat().st_mode & 0o077 == 0
        host, port = edge.address
        assert (host, edge.service_url.startswith("http://127.0.0.1:")) == ("127.0.0.1", True)
        with pytest.raises(LocalProtocolError):
            edge.url_for()
        async with edge.httpx_client() as client:
            for _ in range(2):
                await client.post(edge.service_url + "/tunnel")
        first, second = edge.tunnels.values()
        assert edge.url_for("/x") == f"http://{second.name}:{port}/x"
        assert edge.url_for(tunnel=first) == f"http://{first.name}:{port}/"
        assert [request.method for request in edge.provisioning_requests] == ["POST", "POST"]


async def test_nothing_is_left():
    """After the end no port answers, no file is there, and no task runs."""
    before = asyncio.all_tasks()
    async with LocalEdge() as edge:
        addresses = [edge.address, ("127.0.0.1", int(edge.service_url.rpartition(":")[2]))]
        ca_file = Path(edge.ca_file)
        async with registered(edge), edge.httpx_client() as client:
            await client.get(edge.url_for())
            stuck = await anyio.connect_tcp(*edge.address)
            await edge.aclose()
    assert asyncio.all_tasks() == before
    assert not ca_file.parent.exists()
    for address in addresses:
        with pytest.raises(OSError, match=r"failed|refused"):
            await anyio.connect_tcp(*address)
    with pytest.raises(anyio.EndOfStream):
        await stuck.receive()
    await stuck.aclose()


async def test_connectors_are_told_when_the_edge_ends():
    """They see an ordinary close."""
    async with LocalEdge() as edge, raw_connector(edge) as connector:
        await edge.aclose()
        closed = await connector.driver.closed
    assert (closed.code, closed.by_peer) == (0, True)


async def test_tls_names():
    """With `tls=True` names are https, and httpx and curl verify them by the edge's authority."""
    async with LocalEdge(tls=True) as edge, registered(edge):
        url = edge.url_for("/x")
        assert url.startswith("https://")
        async with edge.httpx_client() as client:
            assert (await client.get(url)).text == "hello"
        result = await anyio.run_process(["curl", "-sS", "--cacert", edge.ca_file, url])
        assert result.stdout == b"hello"
        with pytest.raises(subprocess.CalledProcessError):
            await anyio.run_process(["curl", "-sS", url])
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(), trust_env=False
        ) as stranger:
            host, port = edge.address
            with pytest.raises(httpx.ConnectError):
                await stranger.get(f"https://{host}:{port}/")


async def test_curl_finds_names_by_itself():
    """No resolver needs to know the names."""
    async with LocalEdge() as edge, registered(edge):
        result = await anyio.run_process(["curl", "-sS", edge.url_for("/x?y")])
        assert result.stdout == b"hello"


async def test_ipv6():
    """The whole edge on the other loopback address."""
    try:
        listener = await anyio.create_tcp_listener(local_host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    await listener.aclose()
    async with LocalEdge(host="::1") as edge, registered(edge), edge.httpx_client() as client:
        assert edge.service_url.startswith("http://[::1]:")
        assert all(address.startswith("[::1]:") for address in edge.edge_addresses)
        assert (await client.get(edge.url_for())).text == "hello"
        assert edge.connections[0].dialled.peer[0] == "::1"
        assert not edge.violations


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
async def test_other_hosts(host):
    """Names and wildcards are dialled by a loopback address."""
    async with LocalEdge(host=host) as edge, registered(edge), edge.httpx_client() as client:
        assert edge.address[0] == "127.0.0.1"
        assert (await client.get(edge.url_for())).text == "hello"


async def test_options():
    """Number of edge servers, port, and who visitors are said to be."""
    async with LocalEdge() as other:
        port = other.address[1]
    heads = []

    async def look(request):
        heads.append(request.head)
        await request.answer(200)

    async with (
        LocalEdge(edges=3, port=port, visitor_address="2001:db8::7") as edge,
        registered(edge, look),
        edge.httpx_client() as client,
    ):
        assert len(edge.edge_addresses) == 3
        assert edge.address[1] == port
        await client.get(edge.url_for())
        assert (b"cf-connecting-ip", b"2001:db8::7") in heads[0].headers


async def test_many_requests_at_once_are_limited():
    """`max_in_flight` is the edge's limit."""
    entered = asyncio.Event()
    release = asyncio.Event()

    async def wait(request):
        entered.set()
        await release.wait()
        await request.answer(200)

    async with (
        LocalEdge(max_in_flight=1) as edge,
        registered(edge, wait),
        edge.httpx_client() as client,
    ):
        first = asyncio.create_task(client.get(edge.url_for()))
        await entered.wait()
        assert (await client.get(edge.url_for())).status_code == 429
        release.set()
        assert (await first).status_code == 200


@pytest.mark.parametrize(
    "options",
    [{"edges": 0}, {"fin": "late"}, {"max_in_flight": 0}, {"host": "example.com"}],
)
async def test_options_that_can_not_be_used(options):
    """Each is a ConfigError that names the option."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        LocalEdge(**options)


async def test_a_port_that_is_taken():
    """Starting fails with the system's error, and leaves nothing behind."""
    before = asyncio.all_tasks()
    async with LocalEdge() as edge:
        with pytest.raises(OSError, match=r"in use|only one usage"):
            async with LocalEdge(port=edge.address[1]):
                pass
    assert asyncio.all_tasks() == before


async def test_an_edge_starts_once():
    """And has no addresses before."""
    edge = LocalEdge()
    with pytest.raises(LocalProtocolError):
        _ = edge.service_url
    await edge.aclose()
    async with LocalEdge() as running:
        with pytest.raises(LocalProtocolError):
            await running.__aenter__()


async def test_starting_may_be_cancelled():
    """Nothing is left of an edge whose start was given up."""
    before = asyncio.all_tasks()
    edge = LocalEdge()
    task = asyncio.create_task(edge.__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_waiting_for_registrations():
    """`wait_registered` returns the tunnel once it is served by as many connections."""
    async with LocalEdge() as edge:
        waiting = asyncio.create_task(edge.wait_registered(2))
        async with registered(edge), raw_connector(edge, 1) as second:
            tunnel = edge.tunnels.latest
            assert await edge.wait_registered() is tunnel
            assert not waiting.done()
            await second.register(tunnel.credentials, 1)
            assert await waiting is tunnel
            assert [connection.conn_index for connection in tunnel.serving] == [0, 1]


async def test_names_of_the_package():
    """The package offers LocalEdge and nothing that is not there."""
    assert emulator.LocalEdge is LocalEdge
    with pytest.raises(AttributeError, match="nonsense"):
        _ = emulator.nonsense
