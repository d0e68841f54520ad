"""The embedded edge as a whole: service, edge servers and public front on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import anyio
import httpx

from asgi_quicktunnel.config import EngineName, TunnelConfig
from asgi_quicktunnel.emulator.api import ProvisioningRequest, ServiceApi
from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.background import Background
from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.client import visitor_client
from asgi_quicktunnel.emulator.connection import EdgeConnection, EdgeServices
from asgi_quicktunnel.emulator.exchange import FinPolicy
from asgi_quicktunnel.emulator.faults import Faults
from asgi_quicktunnel.emulator.front import VISITOR_ADDRESS, Front, FrontSettings
from asgi_quicktunnel.emulator.listen import serve_tcp
from asgi_quicktunnel.emulator.names import DOMAIN
from asgi_quicktunnel.emulator.quic_edge import COLOS, QuicEdge
from asgi_quicktunnel.emulator.registrar import Registrar
from asgi_quicktunnel.emulator.tunnels import Tunnel, Tunnels
from asgi_quicktunnel.emulator.violations import Violations
from asgi_quicktunnel.emulator.visitor_tls import VisitorTls
from asgi_quicktunnel.emulator.zone import Host, Zone
from asgi_quicktunnel.errors import ConfigError, LocalProtocolError
from asgi_quicktunnel.transport.engine import ServerSettings
from asgi_quicktunnel.transport.engines import choose_engine

__all__ = ["LocalEdge"]


class LocalEdge:
    """What Cloudflare is to a quick tunnel, on this machine: `async with LocalEdge() as edge`.

    Connectors are pointed at `service_url`, `edge_addresses` and `ca_file`; nothing else is
    needed, and any connector will do. Needs asyncio; nothing is left when it ends.

    Args:
        tls: hand out https:// names. The front takes both schemes in any case.
        edges: edge servers, each a UDP port. A connector gets one connection to each.
        fin: when a request without body is ended towards the connector: "held" until the answer
            is complete, or "early", with the request's head.
        max_in_flight: requests of one tunnel answered at once; more get 429.
        host: address to bind, or "localhost" for the front on both loopback addresses.
        port: of the public front, 0 for any.
        visitor_address: who visitors from this machine are said to be (Cf-Connecting-Ip).
        domain: what the names stand under. Any but "localhost" gets an authoritative nameserver of
            its own (`zone`), which alone knows the names and publishes them as the real one does.
        publish_delay: seconds from a tunnel's first registration until its name exists there.
        engine: which QUIC engine serves, as `TunnelConfig.engine`; None asks the environment. The
            native one also serves connectors that offer post-quantum key shares alone.
        withdraw_names: whether a tunnel is forgotten, name and all, once its last connection has
            gone; it can't be registered again then.

    Attributes:
        tunnels: everything that was handed out, by name.
        violations: what connectors did wrong.
        faults: what fails now.

    Raises:
        ConfigError: an option can't be used.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        edges: int = 2,
        fin: FinPolicy = "held",
        max_in_flight: int = 200,
        host: str = "127.0.0.1",
        port: int = 0,
        visitor_address: str = VISITOR_ADDRESS,
        domain: str = DOMAIN,
        publish_delay: float = 0.0,
        engine: EngineName | None = None,
        withdraw_names: bool = False,
    ) -> None:
        _check(edges=edges, fin=fin, max_in_flight=max_in_flight, host=host)
        self.tunnels: Tunnels = Tunnels(
            changes := Changes(), domain=domain, withdrawing=withdraw_names
        )
        self.violations = Violations()
        self.faults = Faults()
        self._changes = changes
        self._scheme = "https" if tls else "http"
        self._edge_count = edges
        self._settings = FrontSettings(fin, max_in_flight, visitor_address, COLOS[0])
        self._host = host
        self._port = port
        self._domain = domain
        self._publish_delay = publish_delay
        self._engine = engine
        self._api = ServiceApi(self._create_tunnel, self.faults)
        self._connections: deque[EdgeConnection] = deque(maxlen=KEPT)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: _Running | None = None

    @property
    def service_url(self) -> str:
        """Where tunnels are provisioned."""
        return f"http://{_authority(self._ip, self._started.service_port)}"

    @property
    def edge_addresses(self) -> list[str]:
        """The "ip:port" of every edge server."""
        return [_authority(self._ip, edge.port) for edge in self._started.edges]

    @property
    def ca_file(self) -> str:
        """PEM file of the authority that vouches for the edge servers and the front."""
        return str(self._started.ca_file)

    @property
    def address(self) -> tuple[str, int]:
        """Where the front listens: ip, port."""
        return self._ip, self._started.front_port

    @property
    def connections(self) -> tuple[EdgeConnection, ...]:
        """Every connection that connectors dialled, oldest first; the last 1,000."""
        return tuple(self._connections)

    @property
    def provisioning_requests(self) -> tuple[ProvisioningRequest, ...]:
        """What was asked of the service, oldest first; the last 1,000."""
        return tuple(self._api.requests)

    @property
    def zone(self) -> Zone | None:
        """The nameserver of `domain`; None for "localhost", which needs none."""
        return self._started.zone

    def config(self, **options: Any) -> TunnelConfig:
        """The options that point a connector here, and others.

        Raises:
            ConfigError: see `TunnelConfig`.
        """
        addresses = {
            "service_url": self.service_url,
            "edge": ",".join(self.edge_addresses),
            "ca_file": self.ca_file,
        }
        if self.zone is not None:
            addresses["nameservers"] = _authority(self._ip, self.zone.port)
        return TunnelConfig(**{**addresses, **options})

    def url_for(self, path: str = "/", *, tunnel: Tunnel | None = None) -> str:
        """The public URL of a path; of the latest tunnel if none is named.

        Raises:
            LocalProtocolError: no tunnel was handed out.
        """
        tunnel = tunnel or self.tunnels.latest
        if tunnel is None:
            raise LocalProtocolError("no tunnel was handed out by this edge")
        return tunnel.url + path

    def httpx_client(self, **options: Any) -> httpx.AsyncClient:
        """A visitor; see `visitor_client`."""
        return visitor_client(self.address, self.ca_file, domain=self._domain, **options)

    async def wait_registered(self, count: int = 1) -> Tunnel:
        """Wait until a tunnel has this many registered connections; which tunnel that is."""

        def served() -> Tunnel | None:
            tunnels = self.tunnels.values()
            return next((tunnel for tunnel in tunnels if len(tunnel.serving) >= count), None)

        await self._changes.wait_for(lambda: served() is not None)
        tunnel = served()
        assert tunnel is not None
        return tunnel

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait until something holds of the tunnels, connections, requests or violations."""
        await self._changes.wait_for(predicate)

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            OSError: the front's port can't be bound.
            LocalProtocolError: it was started before.
        """
        if self._task is not None:
            raise LocalProtocolError("an edge starts once")
        started: asyncio.Future[_Running] = asyncio.get_running_loop().create_future()
        # A task of its own: fixtures may enter and leave in different ones.
        self._task = asyncio.create_task(self._run(started), name="LocalEdge")
        try:
            self._running = await started
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection and port; harmless when repeated."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self, started: asyncio.Future[_Running]) -> None:
        async with AsyncExitStack() as stack:
            try:
                running = await self._open(stack)
            except Exception as exc:  # noqa: BLE001 - whoever starts the edge is told
                started.set_exception(exc)
                return
            if not started.cancelled():
                started.set_result(running)
            await self._stopping.wait()

    async def _open(self, stack: AsyncExitStack) -> _Running:
        """Start everything; the stack ends it."""
        authority = await anyio.to_thread.run_sync(Authority.shared)
        ca_file = stack.enter_context(_private_file(authority.certificate))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        front = Front(self.tunnels, VisitorTls(authority, domain=self._domain), self._settings)
        front_port = await serve_tcp(self._host, self._port, front.handle, tasks)
        service_port = await serve_tcp(self._bind, 0, self._api.handle, tasks)
        background = Background()
        stack.push_async_callback(background.aclose)
        services = EdgeServices(
            registrar=Registrar(self.tunnels, self.faults),
            violations=self.violations,
            changes=self._changes,
            background=background,
            numbers=itertools.count(1),
        )
        engine = choose_engine(self._engine or TunnelConfig.from_env(os.environ).engine)
        leaf = authority.issue(EDGE_NAMES)
        settings = ServerSettings(leaf.certificate_chain, leaf.private_key)
        edges = []
        for index in range(self._edge_count):
            acceptor = engine.acceptor(settings)
            edge = QuicEdge(index, self._bind, acceptor, services, self._connections.append)
            stack.callback(edge.close)
            await edge.start()
            edges.append(edge)
        zone = None
        if self._domain != DOMAIN:
            zone = Zone(self._bind, self._domain, self._find, delay=self._publish_delay)
            await zone.start()
            stack.callback(zone.close)
        return _Running(service_port, front_port, tuple(edges), ca_file, zone)

    def _find(self, name: str) -> Host | None:
        tunnel = self.tunnels.get(name)
        if tunnel is None or tunnel.registered_at is None or not tunnel.serving:
            return None
        return Host((self._ip,), tunnel.registered_at)

    def _create_tunnel(self) -> Tunnel:
        return self.tunnels.create(scheme=self._scheme, port=self._started.front_port)

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise LocalProtocolError("the edge has no addresses before it is started")
        return self._running

    @property
    def _bind(self) -> str:
        """The literal address to bind."""
        return "127.0.0.1" if self._host == "localhost" else self._host

    @property
    def _ip(self) -> str:
        """The literal address to dial."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._bind, self._bind)  # noqa: S104


@dataclass(frozen=True, slots=True)
class _Running:
    """What is known once everything listens."""

    service_port: int
    front_port: int
    edges: tuple[QuicEdge, ...]
    ca_file: Path
    zone: Zone | None


def _check(*, edges: int, fin: str, max_in_flight: int, host: str) -> None:
    if edges < 1:
        raise ConfigError(f"edges={edges!r} can't be used: it takes 1 or more")
    if fin not in get_args(FinPolicy):
        raise ConfigError(f'fin={fin!r} can\'t be used: it takes "held" or "early"')
    if max_in_flight < 1:
        raise ConfigError(f"max_in_flight={max_in_flight!r} can't be used: it takes 1 or more")
    try:
        if host != "localhost":
            ipaddress.ip_address(host)
    except ValueError:
        message = f'host={host!r} can\'t be used: it takes an IP address or "localhost"'
        raise ConfigError(message) from None


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _private_file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quicktunnel-edge-") as directory:  # mode 0700
        path = Path(directory) / "ca.pem"
        path.write_bytes(content)
        yield path


EDGE_NAMES = ("*.cftunnel.com",)  # quic., h2. and probe.cftunnel.com: protocol.md §3
KEPT = 1000  # connections and requests; an edge that runs for days must not fill memory
