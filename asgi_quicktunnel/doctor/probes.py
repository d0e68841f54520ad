"""Asks the world one thing each, within a few seconds; what comes back are facts."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
from starlette.responses import PlainTextResponse

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.discovery import EdgeDiscovery, IpVersion
from asgi_quicktunnel.doctor.facts import Deep, EdgeAnswer, Lookup, PortAnswer, ServiceAnswer
from asgi_quicktunnel.errors import (
    ConnectionLost,
    DialError,
    DiscoveryError,
    ProvisioningError,
    QuickTunnelError,
)
from asgi_quicktunnel.events import Event, Registered, TunnelReady
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.provisioning import visit_service
from asgi_quicktunnel.srv import ResolverFactory, edge_targets
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.engines import Engine
from asgi_quicktunnel.transport.quic import dial_quic
from asgi_quicktunnel.transport.tls import PROBE_SERVER_NAME
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["ask_edge", "ask_port", "ask_service", "find_addresses", "look_up", "open_tunnel"]

TIMEOUT = 5.0  # s, each; protocol.md §3 (startup probes)


async def ask_service(service_url: str, *, user_agent: str) -> ServiceAnswer:
    """Visit the service without taking a tunnel.

    Raises:
        ConfigError: `service_url` or a file of trust roots can't be used.
    """
    began = time.monotonic()
    try:
        answer = await visit_service(service_url, user_agent=user_agent, timeout=TIMEOUT)
    except ProvisioningError as exc:
        return ServiceAnswer(time.monotonic() - began, failure=str(exc))
    offset = _clock_offset(answer.headers.get("date", ""), now=datetime.now(UTC))
    return ServiceAnswer(time.monotonic() - began, answer.status, offset)


async def look_up(name: str, make_resolver: ResolverFactory) -> Lookup:
    """Ask one resolver for the edge's SRV records; `name` is what people call it."""
    began = time.monotonic()
    try:
        with anyio.fail_after(TIMEOUT):
            targets = await edge_targets(make_resolver, random.Random())  # noqa: S311 - a shuffle
    except DiscoveryError as exc:
        return Lookup(name, time.monotonic() - began, failure=str(exc))
    except TimeoutError:
        return Lookup(name, time.monotonic() - began, failure=f"no answer within {TIMEOUT:g} s")
    return Lookup(name, time.monotonic() - began, targets)


async def find_addresses(
    targets: Sequence[tuple[str, int]], ip_version: IpVersion
) -> list[EdgeAddress]:
    """The addresses behind the targets, the first two of each region and family.

    Raises:
        DiscoveryError: there are none.
    """
    kept: dict[tuple[int, int], list[EdgeAddress]] = {}
    for address in await EdgeDiscovery().discover(targets, ip_version=ip_version):
        group = kept.setdefault((address.region, address.family), [])
        if len(group) < PER_GROUP:
            group.append(address)
    return [address for group in kept.values() for address in group]


async def ask_edge(
    address: EdgeAddress, trust_roots: bytes, engine: Engine, *, timeout: float = TIMEOUT
) -> EdgeAnswer:
    """Make a QUIC handshake as a connector does, under the name that is for checks, and end it."""
    began = time.monotonic()
    if no_route := _why_no_route(address):
        return EdgeAnswer(address, 0.0, was_heard=False, has_route=False, failure=no_route)
    settings = ClientSettings(server_name=PROBE_SERVER_NAME, trust_roots=trust_roots)
    try:
        transport = await dial_quic(address, settings, engine, timeout=timeout)
    except DialError as exc:
        lost = exc.__cause__ if isinstance(exc.__cause__, ConnectionLost) else None
        was_heard = lost is not None and not lost.idle
        return EdgeAnswer(
            address,
            time.monotonic() - began,
            was_heard=was_heard,
            is_trusted=False if lost is not None and lost.code in BAD_CERTIFICATE else None,
            failure=str(lost) if was_heard else str(exc).partition("; ")[0],
        )
    elapsed = time.monotonic() - began
    await transport.aclose(0, GOODBYE)
    return EdgeAnswer(address, elapsed, was_heard=True, is_trusted=True)


async def ask_port(address: EdgeAddress) -> PortAnswer:
    """Open a TCP connection, and close it."""
    began = time.monotonic()
    if no_route := _why_no_route(address):
        return PortAnswer(address, 0.0, has_route=False, failure=no_route)
    failure = ""
    try:
        async with asyncio.timeout(TIMEOUT):
            _, writer = await asyncio.open_connection(address.ip, address.port)
    except TimeoutError:
        failure = f"no answer within {TIMEOUT:g} s"
    except OSError as exc:
        failure = "connection refused" if isinstance(exc, ConnectionRefusedError) else str(exc)
    else:
        writer.close()
    return PortAnswer(address, time.monotonic() - began, failure=failure)


async def open_tunnel(config: TunnelConfig) -> Deep:
    """Open a tunnel of its own, prove that its URL works, and close it."""
    events: list[Event] = []
    began = time.monotonic()
    options = {"enabled": True, "ha_connections": 1, "on_url": None, "url_file": None}
    tunnel = QuickTunnel(PlainTextResponse("ok"), config.with_options(options))
    tunnel.add_listener(events.append)
    failure = ""
    try:
        with anyio.fail_after(DEEP_TIMEOUT):
            await tunnel.start()
            await tunnel.wait_ready()
    except QuickTunnelError as exc:
        failure = str(exc)
    except TimeoutError:
        failure = f"the tunnel was not ready within {DEEP_TIMEOUT:g} s"
    elapsed = time.monotonic() - began
    await tunnel.aclose()
    colo = next((each.registration.colo for each in events if isinstance(each, Registered)), "")
    ready = next((each for each in events if isinstance(each, TunnelReady)), None)
    if ready is None or failure:
        return Deep(elapsed, failure=failure)
    return Deep(elapsed, ready.url, colo, ready.doubt)


def _why_no_route(address: EdgeAddress) -> str:
    """Why no packet can leave for there, or "": connecting a UDP socket sends nothing."""
    family = socket.AF_INET if address.family == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address.ip, address.port))
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""


def _clock_offset(date: str, *, now: datetime) -> float | None:
    """Seconds that `now` is ahead of a Date header (RFC 9110 §6.6.1), None if that is none."""
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (now - then).total_seconds() if then.tzinfo is not None else None


DEEP_TIMEOUT = 60.0  # s; registration has half of it, the proof of the URL a third
PER_GROUP = 2  # addresses of each region and family; one may be down
GOODBYE = "precheck complete"  # protocol.md §3
# CRYPTO_ERROR (RFC 9001 §4.8) with the alerts bad_certificate to unknown_ca (RFC 8446 §6.2).
BAD_CERTIFICATE = range(0x100 + 42, 0x100 + 49)
