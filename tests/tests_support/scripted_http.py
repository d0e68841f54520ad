"""An HTTP service on loopback that answers as a script says, and a forward proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["HANG_UP", "SILENCE", "ForwardProxy", "Request", "ScriptedService", "response"]

SILENCE = b"silence"  # in place of an answer: none, and the connection stays open
HANG_UP = b""  # in place of an answer: the connection ends


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def response(status: int, body: object = b"", **headers: str) -> bytes:
    """The bytes of an answer; what is not bytes or text is sent as JSON."""
    content_type = "text/plain"
    if isinstance(body, str):
        body = body.encode()
        content_type = "text/html" if body.startswith(b"<") else content_type
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
        content_type = "application/json"
    fields = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {fields[name]}" for name in fields), "", ""]
    return "\r\n".join(lines).encode() + body


class _LoopbackServer:
    """A TCP server on a port the system picks; on ::1 one that nobody else has on 127.0.0.1."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self._open: set[asyncio.StreamWriter] = set()
        self._held: socket.socket | None = None

    async def __aenter__(self):
        while True:
            self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
            if self._host != "::1" or self._hold_port():
                return self
            self._server.close()

    def _hold_port(self) -> bool:
        """Names that mean both addresses must not lead to another test's server."""
        self._held = socket.socket()
        try:
            self._held.bind(("127.0.0.1", self.port))
        except OSError:
            self._held.close()
            return False
        return True

    async def __aexit__(self, *_):
        if self._held is not None:
            self._held.close()
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.handle(reader, writer)
        self._open.discard(writer)
        writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def handle(self, reader, writer):
        raise NotImplementedError


class ScriptedService(_LoopbackServer):
    """Answers the n-th request with the n-th answer, and all after the last with the last.

    Attributes:
        requests: what arrived, in order.
        server_names: the SNI of each TLS connection.
    """

    def __init__(
        self, *answers: bytes, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host, tls)
        self._answers: Sequence[bytes] = answers
        self.requests: list[Request] = []
        self.server_names: list[str | None] = []
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)

    @property
    def url(self) -> str:
        """Its address, with the host 127.0.0.1."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def handle(self, reader, writer):
        self.requests.append(await _read_request(reader))
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if answer == SILENCE:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()


class ForwardProxy(_LoopbackServer):
    """An HTTP proxy (CONNECT and absolute-form, RFC 9110 §9.3.6 and RFC 9112 §3.2.2).

    It resolves no names: every request ends at one port of this machine.

    Attributes:
        asked: the authorities it was asked for, in order.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__()
        self._target_port = target_port
        self.asked: list[str] = []

    async def handle(self, reader, writer):
        request = await _read_request(reader)
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        if request.method == "CONNECT":
            self.asked.append(request.target)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            authority, _, path = request.target.partition("://")[2].partition("/")
            self.asked.append(authority)
            head = [f"{request.method} /{path} HTTP/1.1"]
            head += [f"{name}: {value}" for name, value in request.headers.items()]
            target_writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + request.body)
        back = asyncio.create_task(_pump(target_reader, writer))
        await _pump(reader, target_writer)
        await back


async def _pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        async for data in _chunks(reader):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _chunks(reader) -> AsyncIterator[bytes]:
    while data := await reader.read(65536):
        yield data


async def _read_request(reader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)
