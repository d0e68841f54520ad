"""Prometheus metrics, read back by Prometheus' own parsers."""

import asyncio
import threading
import urllib.request

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from prometheus_client.registry import REGISTRY
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect

from asgi_quicktunnel import QuickTunnel, QuickTunnelCollector
from asgi_quicktunnel.diagnostics.figures import FAMILIES
from asgi_quicktunnel.diagnostics.metrics import render_metrics
from asgi_quicktunnel.events import RequestDone, TunnelState
from asgi_quicktunnel.traffic import FAILURES

from tests_support.local_servers import uvicorn_at

pytestmark = pytest.mark.anyio

OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"


def at_rest():
    return QuickTunnel(PlainTextResponse("the app"), enabled=False)


def samples(text, parse=parse_plain):
    """Each sample with its labels, and that no family or sample comes twice."""
    values = {}
    names = set()
    for family in parse(text):
        assert family.name not in names
        names.add(family.name)
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in values
            values[key] = sample.value
    return values


def exposed(tunnel, parse=parse_plain, accept=""):
    text, _ = render_metrics(tunnel, accept)
    return samples(text.decode(), parse)


def test_without_a_tunnel_there_is_the_build():
    """Where no lifespan has begun, nothing is made up."""
    (sample,) = exposed(None)
    assert sample[0] == "quicktunnel_build_info"


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4", parse_plain),
        ("text/html", "text/plain; version=0.0.4", parse_plain),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0", parse_openmetrics),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(accept, content_type, parse):
    """Both say the same, and each is what its parser takes."""
    tunnel = at_rest()
    tunnel.traffic.on_event(RequestDone(0, "GET", "/", 200, 0.02, 0, 5))
    text, told = render_metrics(tunnel, accept)
    assert told.startswith(content_type)
    assert exposed(tunnel, parse, accept) == exposed(tunnel)
    assert text.endswith(b"# EOF\n") == (parse is parse_openmetrics)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=x",
        "application/openmetrics-text; version=",
        "text/plain; version=1.2.3.4.5; escaping=x",
        "text/plain; version=é",
        ",;=,",
    ],
)
def test_a_strange_accept_is_answered_all_the_same(accept):
    """What a visitor writes there is no reason to fail."""
    text, content_type = render_metrics(at_rest(), accept)
    assert b"quicktunnel_build_info" in text
    assert content_type


def test_requests_durations_and_sizes():
    """Each request is in its pair's counter and in three histograms."""
    tunnel = at_rest()
    tunnel.traffic.on_event(RequestDone(0, "GET", "/secret", 200, 0.02, 0, 70))
    tunnel.traffic.on_event(RequestDone(0, "GET", "/secret", 404, 0.3, 0, 5))
    tunnel.traffic.on_event(RequestDone(1, "BREW", "/secret", None, 20, 2000, 0))
    values = exposed(tunnel)
    name = "quicktunnel_requests_total"
    assert values[name, ("method", "GET"), ("status", "200")] == 1
    assert values[name, ("method", "GET"), ("status", "404")] == 1
    assert values[name, ("method", "other"), ("status", "reset")] == 1
    name = "quicktunnel_request_duration_seconds"
    assert values[name + "_bucket", ("le", "0.025")] == 1
    assert values[name + "_bucket", ("le", "0.5")] == 2
    assert values[name + "_bucket", ("le", "+Inf")] == values[(name + "_count",)] == 3
    assert values[(name + "_sum",)] == pytest.approx(20.32)
    assert values["quicktunnel_response_size_bytes_bucket", ("le", "64.0")] == 2
    assert values[("quicktunnel_response_size_bytes_sum",)] == 75
    assert values["quicktunnel_request_size_bytes_bucket", ("le", "1024.0")] == 2
    assert values[("quicktunnel_request_size_bytes_sum",)] == 2000


def test_no_label_is_a_visitors():
    """Thousands of made-up methods, paths and countries add one series."""
    tunnel = at_rest()
    tunnel.traffic.on_event(RequestDone(0, "M", "/p", 200, 0.1, 0, 0, "XX"))
    before = set(exposed(tunnel))
    for number in range(3000):
        event = RequestDone(0, f"M{number}", f"/p{number}", 200, 0.1, 0, 0, f"C{number}")
        tunnel.traffic.on_event(event)
    assert set(exposed(tunnel)) == before


async def visit(tunnel, edge):
    async with edge.httpx_client(base_url=tunnel.url) as visitor:
        assert (await visitor.get("/")).status_code == 200
        assert (await visitor.post("/", content=b"x" * 100)).status_code == 200


async def test_a_tunnel_that_serves(local_edge):
    """Connections, registrations and traffic of a real tunnel, by index."""
    app = Starlette(routes=[Route("/", PlainTextResponse("the app"))])
    with anyio.fail_after(20):
        async with QuickTunnel(app, local_edge.config()) as tunnel:
            await local_edge.wait_registered(2)
            await visit(tunnel, local_edge)
            while len(tunnel.statistics().connections) < 2 or tunnel.traffic.requests < 2:
                await asyncio.sleep(0)
            values = exposed(tunnel)
            for index in ("0", "1"):
                by_index = ("conn_index", index)
                for name in ("age_seconds", "streams_total", "lost_packets_total", "rtt_seconds"):
                    assert values[f"quicktunnel_connection_{name}", by_index] >= 0
                assert values["quicktunnel_connection_sent_bytes_total", by_index] > 1000
                assert values["quicktunnel_registrations_total", by_index] == 1
                assert values["quicktunnel_reconnects_total", by_index] == 0
                assert 0 < values["quicktunnel_handshake_seconds", by_index] < 10
                (colo,) = (
                    each.colo
                    for each in tunnel.statistics().connections
                    if str(each.conn_index) == index
                )
                location = ("edge_location", colo)
                assert values["quicktunnel_server_locations", by_index, location] == 1
            assert values[("quicktunnel_ha_connections",)] == 2
            assert values[("quicktunnel_concurrent_requests",)] == 0
            assert values["quicktunnel_state", ("state", "ready")] == 1
            assert sum(values["quicktunnel_state", ("state", s.value)] for s in TunnelState) == 1
            assert values["quicktunnel_url_info", ("url", tunnel.url)] == 1
            assert values[("quicktunnel_response_size_bytes_count",)] == 2
            assert values["quicktunnel_requests_total", ("method", "GET"), ("status", "200")] == 1
            assert ("quicktunnel_origin_failures_total",) not in values
        assert exposed(tunnel)["quicktunnel_state", ("state", "stopped")] == 1


async def test_a_web_socket_is_no_long_request(local_edge):
    """It is counted with its status and its bytes, and not among the durations."""

    async def greet(socket):
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app = Starlette(routes=[WebSocketRoute("/", greet)])
    with anyio.fail_after(20):
        async with QuickTunnel(app, local_edge.config()) as tunnel:
            url = tunnel.url.replace("http", "ws", 1)
            async with connect(url, host="127.0.0.1", proxy=None) as socket:
                assert await socket.recv() == "hello"
            while not tunnel.traffic.requests:
                await asyncio.sleep(0)
            values = exposed(tunnel)
    assert values["quicktunnel_requests_total", ("method", "GET"), ("status", "101")] == 1
    assert values[("quicktunnel_request_duration_seconds_count",)] == 0
    assert values[("quicktunnel_response_size_bytes_sum",)] > 5


async def test_the_pool_of_proxy_mode(local_edge):
    """Where a server behind a socket answers, its connections are counted too."""
    app = Starlette(routes=[Route("/", PlainTextResponse("the app"))])
    with anyio.fail_after(20):
        async with (
            uvicorn_at(app) as address,
            QuickTunnel(address, local_edge.config()) as tunnel,
        ):
            await visit(tunnel, local_edge)
            while tunnel.traffic.requests < 2:
                await asyncio.sleep(0)
            values = exposed(tunnel)
    assert values[("quicktunnel_origin_connections_created_total",)] == 1
    assert values[("quicktunnel_origin_connections_reused_total",)] == 1
    assert values["quicktunnel_origin_connections", ("state", "idle")] == 1
    assert values["quicktunnel_origin_connections", ("state", "busy")] == 0
    assert values[("quicktunnel_origin_failures_total",)] == 0


async def test_what_the_inspector_keeps(local_edge):
    """Records and their memory while it is on; nothing where it is off."""
    app = Starlette(routes=[Route("/", PlainTextResponse("the app"))])
    for is_on in (True, False):
        with anyio.fail_after(20):
            config = local_edge.config(inspect=is_on)
            async with QuickTunnel(app, config) as tunnel:
                await visit(tunnel, local_edge)
                while tunnel.traffic.requests < 2:
                    await asyncio.sleep(0)
                values = exposed(tunnel)
                if is_on:
                    assert values[("quicktunnel_inspector_records",)] == 2
                    assert values[("quicktunnel_inspector_bytes",)] > 100
                    assert values[("quicktunnel_inspector_dropped_total",)] == 0
                    tunnel.inspector.clear()
                    values = exposed(tunnel)
                    assert values[("quicktunnel_inspector_records",)] == 0
                    assert values[("quicktunnel_inspector_dropped_total",)] == 2
                else:
                    assert ("quicktunnel_inspector_records",) not in values


def test_two_tunnels_in_one_registry():
    """Their names tell them apart, within families that are there once."""
    shop, admin = at_rest(), at_rest()
    for tunnel, count in ((shop, 2), (admin, 3)):
        for _ in range(count):
            tunnel.traffic.on_event(RequestDone(0, "GET", "/", 200, 0.02, 0, 5))
    registry = CollectorRegistry(auto_describe=True)
    registry.register(QuickTunnelCollector({"shop": shop, "admin": admin}))
    values = samples(generate_latest(registry).decode())
    key = ("quicktunnel_requests_total", ("method", "GET"), ("status", "200"))
    assert values[*key, ("tunnel", "shop")] == 2
    assert values[*key, ("tunnel", "admin")] == 3
    assert values["quicktunnel_response_size_bytes_sum", ("tunnel", "admin")] == 15


def test_a_registry_takes_one_collector():
    """A second one is refused when it is registered, before families come twice."""
    registry = CollectorRegistry()
    registry.register(QuickTunnelCollector(at_rest()))
    with pytest.raises(ValueError, match="quicktunnel_requests_total"):
        registry.register(QuickTunnelCollector({"other": at_rest()}))


def test_tunnels_of_one_process_do_not_meet():
    """Each has a registry of its own, and the process's has nothing of ours."""
    first, second = at_rest(), at_rest()
    first.traffic.on_event(RequestDone(0, "GET", "/", 200, 0.02, 0, 5))
    key = ("quicktunnel_requests_total", ("method", "GET"), ("status", "200"))
    assert key in exposed(first)
    assert key not in exposed(second)
    assert b"quicktunnel" not in generate_latest(REGISTRY)


async def test_a_scrape_in_another_thread(local_edge):
    """The library's own server answers from a thread while the tunnel serves."""
    app = Starlette(routes=[Route("/", PlainTextResponse("the app"))])
    registry = CollectorRegistry()
    with anyio.fail_after(20):
        async with QuickTunnel(app, local_edge.config()) as tunnel:
            registry.register(QuickTunnelCollector(tunnel))
            server, thread = start_http_server(0, "127.0.0.1", registry)
            try:
                url = f"http://127.0.0.1:{server.server_port}/metrics"
                scraped = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
            finally:
                await asyncio.to_thread(server.shutdown)
                server.server_close()
                thread.join()
    assert samples(scraped.decode())["quicktunnel_state", ("state", "ready")] == 1
    assert thread is not threading.main_thread()


def test_names_are_prometheus_own():
    """Counters end in _total and nothing else does; units are base units; each has a sentence."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.startswith("quicktunnel_")
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.name.endswith("_info") == (family.kind == "info")
        assert family.text.endswith(".")
    assert len(FAILURES) == len(set(FAILURES))
