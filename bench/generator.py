"""The load-generating edge, a process of its own, told what to do in JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import IO, Any, Self

__all__ = ["CLOSED_LOOP_GRACE", "Generator", "GeneratorError", "find_binary"]


class GeneratorError(Exception):
    """A load that could not be generated; the message says why."""


class Generator:
    """One edge: `async with Generator(certificates, ports=1) as generator`.

    The Rust program when it is built (native/loadgen), otherwise bench/python_edge.py, which does
    the same with a lower ceiling.

    Args:
        certificates: folder with leaf.pem, key.pem and ca.pem.
        ports: how many edge servers.
        binary: the Rust program, None for the Python one.
        log: takes its standard error; None for ours.

    Attributes:
        service_url: where connectors get a tunnel; None when any service will do.
        ca_file: what connectors have to trust.
        addresses: of the edge servers.
    """

    def __init__(
        self,
        certificates: Path,
        *,
        ports: int = 1,
        binary: Path | None,
        log: IO[bytes] | None = None,
    ) -> None:
        self._log = log
        self._certificates = certificates
        self._ports = ports
        self._binary = binary
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self.registered: dict[int, int] = {}  # connection -> conn_index
        self.lost: list[str] = []  # why connections ended that had not said goodbye
        self.service_url: str | None = None
        self.ca_file = str(certificates / "ca.pem")
        self.addresses: list[str] = []

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            GeneratorError: it ended before it listened.
        """
        command: list[str | Path] = (
            [sys.executable, Path(__file__).with_name("python_edge.py")]
            if self._binary is None
            else [self._binary, "edge"]
        )
        command += ["--ports", str(self._ports)]
        command += ["--certificate", self._certificates / "leaf.pem"]
        command += ["--key", self._certificates / "key.pem"]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=self._log, limit=1 << 20
        )
        line = await self._process.stdout.readline()
        if not line:
            raise GeneratorError(f"{command[0]} ended before it listened")
        facts = json.loads(line)
        self.addresses = [f"127.0.0.1:{port}" for port in facts["ports"]]
        self.service_url = facts.get("service_url")
        self.ca_file = facts.get("ca_file", self.ca_file)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def wait_registered(self, count: int, *, timeout: float = 30.0) -> None:
        """Wait until a connector holds so many connections.

        Raises:
            GeneratorError: not within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: len(self.registered) >= count)
        except TimeoutError:
            raise GeneratorError(
                f"{len(self.registered)} of {count} connections registered within {timeout:g} s"
            ) from None

    async def run(self, command: str, *, timeout: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Carry out one command (native/loadgen/src/command.rs); what it measured.

        Raises:
            GeneratorError: it failed, or something that it asked for did: such a result is void.
        """
        line = json.dumps({"command": command, **fields}) + "\n"
        self._process.stdin.write(line.encode())
        try:
            async with asyncio.timeout(timeout + fields.get("seconds", 0)):
                answer = await self._answers.get()
        except TimeoutError:
            raise GeneratorError(f"{command} took more than {timeout:g} s: {line}") from None
        if answer["event"] != "done":
            raise GeneratorError(f"{command}: {answer.get('error', answer)}")
        result = answer["result"]
        for part in (result, result.get("small") or {}):
            if part.get("errors"):
                raise GeneratorError(f"{command}: {part['errors']} failed: {part['first_error']}")
        return result

    async def _read(self) -> None:
        async for line in self._process.stdout:
            event = json.loads(line)
            async with self._changed:
                self._note(event)
                self._changed.notify_all()
        await self._answers.put({"event": "ended", "error": "the load generator ended"})

    def _note(self, event: dict[str, Any]) -> None:
        number = event.get("connection")
        match event["event"]:
            case "registered":
                self.registered[number] = event["conn_index"]
            case "unregistered":
                self.registered.pop(number, None)
            case "closed":
                if self.registered.pop(number, None) is not None:
                    self.lost.append(event["reason"])
            case _:
                self._answers.put_nowait(event)


def find_binary(root: Path, environ: os._Environ[str] | dict[str, str] = os.environ) -> Path | None:
    """The Rust generator, where cargo puts it."""
    target = Path(environ.get("CARGO_TARGET_DIR", root / "native" / "target"))
    binary = target / "release" / "loadgen"
    return binary if binary.is_file() else None


CLOSED_LOOP_GRACE = 0.3  # s of a load before it is measured
