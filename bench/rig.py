"""One variant up and running: its edge, its server, what is between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bench.generator import Generator, GeneratorError
from bench.processes import Meter
from bench.variants import Variant

__all__ = ["Bench", "NetworkPath", "Rig"]


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """What lies between a connector and the edge.

    Attributes:
        rtt: seconds.
        loss: share of the datagrams lost, each way.
    """

    rtt: float
    loss: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rigs share.

    Attributes:
        certificates: folder with the edge's.
        service_url: where connectors get a tunnel.
        generator: the Rust program, None for the Python one.
        cloudflared: its binary, if there is one.
        log: takes what the processes say on standard error.
    """

    certificates: Path
    service_url: str
    generator: Path | None
    cloudflared: Path | None
    log: IO[bytes]

    @contextlib.asynccontextmanager
    async def rig(
        self,
        variant: Variant,
        *,
        app: str = "bare",
        connections: int = 1,
        path: NetworkPath | None = None,
    ) -> AsyncIterator[Rig]:
        """Start a variant, and end it.

        Args:
            variant: which.
            app: "bare" or "fastapi".
            connections: that the connector registers, each with an edge server of its own.
            path: between the connector and the edge; None for loopback as it is.

        Raises:
            GeneratorError: it did not come up.
        """
        async with contextlib.AsyncExitStack() as stack:
            # cloudflared wants two addresses (protocol.md §3).
            ports = 2 if variant.kind == "cloudflared" else connections
            generator = await stack.enter_async_context(
                Generator(self.certificates, ports=ports, binary=self.generator, log=self.log)
            )
            addresses = generator.addresses
            if path is not None:
                addresses = [
                    await stack.enter_async_context(self._relay(address, path))
                    for address in addresses
                ]
            starting = _Starting(self, generator, addresses, variant, app, connections, stack)
            yield await starting.start()

    @contextlib.asynccontextmanager
    async def _relay(self, to: str, path: NetworkPath) -> AsyncIterator[str]:
        command = [self.generator, "relay", "--to", to]
        command += ["--delay", str(path.rtt / 2), "--loss", str(path.loss)]
        async with self.process(command, stdout=PIPE) as process:
            line = (await process.stdout.readline()).decode()
            yield f"127.0.0.1:{line.rpartition('[')[2].partition(']')[0]}"

    @contextlib.asynccontextmanager
    async def process(
        self, command: Sequence[str | Path], **options: Any
    ) -> AsyncIterator[Process]:
        """Run a program, and end it."""
        options = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": self.log, **options}
        process = await asyncio.create_subprocess_exec(*command, **options)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@dataclass(slots=True)
class Rig:
    """A variant that answers.

    Attributes:
        variant: which.
        via: how the generator reaches it (native/loadgen/src/command.rs).
        meter: of its processes, those of the app included.
        cold_start: seconds from the start of its processes until it can be asked.
        connections: how many should be registered.
    """

    variant: Variant
    via: Mapping[str, Any]
    meter: Meter
    cold_start: float
    connections: int
    _generator: Generator = field(repr=False)

    async def run(self, command: str, **fields: Any) -> dict[str, Any]:
        """Generate a load; see `Generator.run`.

        Raises:
            GeneratorError: the result would be void.
        """
        if "tunnel" in self.via:
            await self._generator.wait_registered(self.connections)
        if command != "release":
            fields.setdefault("via", self.via)
        result = await self._generator.run(command, **fields)
        if self._generator.lost:
            reason = self._generator.lost.pop()
            raise GeneratorError(f"{command}: a connection was lost: {reason}")
        return result


@dataclass(slots=True)
class _Starting:
    bench: Bench
    generator: Generator
    addresses: Sequence[str]
    variant: Variant
    app: str
    connections: int
    stack: contextlib.AsyncExitStack
    began: float = 0.0

    async def start(self) -> Rig:
        self.began = time.monotonic()
        start = {
            "plain": self._plain,
            "tunnel": self._tunnel,
            "alone": self._alone,
            "proxy": self._proxy,
            "cloudflared": self._cloudflared,
            "ceiling": self._ceiling,
        }[self.variant.kind]
        processes, via = await start()
        if "tunnel" in via:
            await self.generator.wait_registered(self.connections)
        cold_start = time.monotonic() - self.began
        meter = Meter([process.pid for process in processes])
        return Rig(self.variant, via, meter, cold_start, self.connections, self.generator)

    async def _plain(self) -> tuple[list[Process], dict[str, Any]]:
        server, port = await self._server()
        return [server], {"tcp": f"127.0.0.1:{port}"}

    async def _tunnel(self) -> tuple[list[Process], dict[str, Any]]:
        server, _ = await self._server("--tunnel", environ=self._environ())
        return [server], {"tunnel": 0}

    async def _alone(self) -> tuple[list[Process], dict[str, Any]]:
        server, _ = await self._server("--alone", environ=self._environ())
        return [server], {"tunnel": 0}

    async def _proxy(self) -> tuple[list[Process], dict[str, Any]]:
        server, port = await self._server()
        command = [*_PYTHON, _SERVER, "--proxy", f"127.0.0.1:{port}", "--loop", self.variant.loop]
        proxy = await self._enter(command, env=self._environ())
        return [server, proxy], {"tunnel": 0}

    async def _cloudflared(self) -> tuple[list[Process], dict[str, Any]]:
        server, port = await self._server()
        command = [self.bench.cloudflared, "tunnel", "--no-autoupdate", "--no-prechecks"]
        for address in self.addresses:
            command += ["--edge", address]
        command += ["--cacert", self.generator.ca_file, "--quick-service", self._service_url]
        command += ["--url", f"http://127.0.0.1:{port}", "--protocol", "quic"]
        command += ["--metrics", "127.0.0.1:0"]
        # It must not find the settings of whoever runs the benchmark (~/.cloudflared).
        home = str(self.bench.certificates)
        proxy = await self._enter(command, env={"HOME": home, "PATH": os.environ["PATH"]})
        return [server, proxy], {"tunnel": 0}

    async def _ceiling(self) -> tuple[list[Process], dict[str, Any]]:
        command = [self.bench.generator, "connector", "--edge", self.addresses[0]]
        connector = await self._enter([*command, "--ca", self.generator.ca_file])
        return [connector], {"tunnel": 0}

    async def _server(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> tuple[Process, int]:
        command = [*_PYTHON, _SERVER, "--app", self.app, "--loop", self.variant.loop, *arguments]
        process = await self._enter(command, stdout=PIPE, env=environ)
        line = await process.stdout.readline()
        if not line:
            raise GeneratorError(f"{self.variant.name}: its server ended; its log says why")
        return process, int(line)

    async def _enter(self, command: Sequence[str | Path], **options: Any) -> Process:
        return await self.stack.enter_async_context(self.bench.process(command, **options))

    @property
    def _service_url(self) -> str:
        return self.generator.service_url or self.bench.service_url

    def _environ(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("QUICKTUNNEL_")
        }
        options = {
            "SERVICE_URL": self._service_url,
            "EDGE": ",".join(self.addresses),
            "CA_FILE": self.generator.ca_file,
            "HA_CONNECTIONS": str(self.connections),
            "WAIT_READY": "1",  # provisioning begins at once
            "GRACE_PERIOD": "1",
        }
        if self.variant.engine is not None:
            options["ENGINE"] = self.variant.engine
        if self.variant.kind == "proxy":
            options["MODE"] = "proxy"
        if self.variant.python_path:
            kept["PYTHONPATH"] = os.pathsep.join(map(str, self.variant.python_path))
        return {**kept, **{f"QUICKTUNNEL_{key}": value for key, value in options.items()}}


_PYTHON = (sys.executable, "-P")
_SERVER = Path(__file__).with_name("server.py")
_PATIENCE = 5.0  # s for a process to end by itself
