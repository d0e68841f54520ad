"""All probes, as many at once as may be."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from asgi_quicktunnel.config import LOCAL_EDGE, TunnelConfig
from asgi_quicktunnel.doctor.facts import EdgeAnswer, Facts, Lookup, PortAnswer, ServiceAnswer
from asgi_quicktunnel.doctor.probes import (
    ask_edge,
    ask_port,
    ask_service,
    find_addresses,
    look_up,
    open_tunnel,
)
from asgi_quicktunnel.doctor.versions import versions_here
from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.srv import RESOLVERS, ResolverFactory
from asgi_quicktunnel.transport.engines import Engine, choose_engine
from asgi_quicktunnel.transport.tls import trust_roots

__all__ = ["examine"]


async def examine(
    config: TunnelConfig,
    environ: Mapping[str, str],
    *,
    deep: bool = False,
    resolvers: Mapping[str, ResolverFactory] = RESOLVERS,
) -> Facts:
    """Find out everything about the way to a tunnel; about 5 s at most, 10 where much fails.

    Args:
        config: as a tunnel would take it; "local" for `edge` starts the embedded one.
        environ: where the proxy variables are.
        deep: open a tunnel, too: a minute at most.
        resolvers: whom to ask for SRV records, by names for people.

    Raises:
        ConfigError: an option can't be used.
    """
    if config.edge == LOCAL_EDGE:
        from asgi_quicktunnel.emulator import LocalEdge

        async with LocalEdge() as edge:
            ours = edge.config()
            addresses = {name: getattr(ours, name) for name in ("service_url", "edge", "ca_file")}
            there = config.with_options(addresses)
            return await examine(there, environ, deep=deep, resolvers=resolvers)
    roots = trust_roots(config.ca_file)
    engine = choose_engine(config.engine)
    service: list[ServiceAnswer] = []
    way = _Way()

    async def visit() -> None:
        service.append(await ask_service(config.service_url, user_agent=config.user_agent))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        tasks.start_soon(way.explore, config, roots, engine, resolvers)
    return Facts(
        versions=str(versions_here(engine)),
        service=service[0],
        trusts="Cloudflare's roots and certifi's" if config.ca_file is None else config.ca_file,
        proxies=_proxies(environ),
        lookups=tuple(way.lookups),
        addressing_failure=way.failure,
        quic=tuple(way.quic),
        tcp=tuple(way.tcp),
        deep=await open_tunnel(config) if deep else None,
    )


class _Way:
    """The way to the edge: names, addresses, ports."""

    def __init__(self) -> None:
        self.lookups: list[Lookup] = []
        self.failure = ""
        self.quic: list[EdgeAnswer] = []
        self.tcp: list[PortAnswer] = []

    async def explore(
        self,
        config: TunnelConfig,
        roots: bytes,
        engine: Engine,
        resolvers: Mapping[str, ResolverFactory],
    ) -> None:
        """Find the addresses, then knock at each over UDP and TCP."""
        targets = config.edge_entries or await self._look_up(resolvers)
        if not targets:
            return
        try:
            addresses = await find_addresses(targets, config.edge_ip_version)
        except DiscoveryError as exc:
            self.failure = str(exc)
            return

        async def knock(address: EdgeAddress) -> None:
            self.quic.append(await ask_edge(address, roots, engine))

        async def knock_tcp(address: EdgeAddress) -> None:
            self.tcp.append(await ask_port(address))

        async with anyio.create_task_group() as tasks:
            for address in addresses:
                tasks.start_soon(knock, address)
                tasks.start_soon(knock_tcp, address)

    async def _look_up(
        self, resolvers: Mapping[str, ResolverFactory]
    ) -> tuple[tuple[str, int], ...]:
        found: dict[str, Lookup] = {}

        async def ask(name: str, make_resolver: ResolverFactory) -> None:
            found[name] = await look_up(name, make_resolver)

        async with anyio.create_task_group() as tasks:
            for name, make_resolver in resolvers.items():
                tasks.start_soon(ask, name, make_resolver)
        self.lookups = [found[name] for name in resolvers]
        return next((lookup.targets for lookup in self.lookups if lookup.targets), ())


def _proxies(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The proxy variables that are set; what they say may hold a password."""
    return tuple(
        (name, _without_userinfo(value))
        for name, value in sorted(environ.items())
        if name.lower() in PROXY_VARIABLES and value
    )


def _without_userinfo(address: str) -> str:
    return address if "@" not in address else "…@" + address.rpartition("@")[2]


PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
