"""The load generator where there is no cargo: the same commands, on the embedded edge.

It speaks as native/loadgen does and takes the same arguments, but makes its own certificate and
service. In Python it is no faster than what it measures: its figures are lower bounds, good for
comparing one commit with another on one machine, and not for a ratio to other programs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
import time
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):
    sys.path.pop(0)  # its websockets.py would hide the library of that name

import httptools
from websockets.frames import Frame, Opcode

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.model import RequestHead, RequestKind

HOST = b"words-of-the-day.trycloudflare.com"
BLOCK = b"u" * (64 << 10)
ENDLESS = 1 << 40  # bytes


class Tunnelled:
    """A visitor who comes through a connector."""

    def __init__(self, connection) -> None:
        self._connection = connection

    async def ask(self, path, headers, body=b"", on_data=None) -> int:
        method = "POST" if body else "GET"
        if body:
            length = ENDLESS if body is BLOCK else len(body)
            headers = [*headers, (b"content-length", b"%d" % length)]
        head = RequestHead(RequestKind.HTTP, b"https://" + HOST + path, method, HOST, headers)
        answer = await self._connection.open_request(head, end=not body)
        try:
            while body is BLOCK:
                await answer.send(BLOCK)
            if body:
                await answer.send(body)
                await answer.send_eof()
            received = await answer.receive_head()
            if received.status != 200:
                raise RuntimeError(f"status {received.status}")
            length = 0
            while data := await answer.receive():
                length += len(data)
                if on_data:
                    on_data(data)
        finally:
            answer.abandon()
        return length

    async def open_websocket(self):
        headers = [*header_list(20), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]
        head = RequestHead(
            RequestKind.WEBSOCKET, b"https://" + HOST + b"/echo", "GET", HOST, headers
        )
        answer = await self._connection.open_request(head, end=False)
        if (await answer.receive_head()).status != 101:
            raise RuntimeError("no WebSocket")
        return answer.send, answer.receive, answer.abandon


class Plain:
    """A visitor who comes over TCP; the connection is kept."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams = None

    async def ask(self, path, headers, body=b"", on_data=None) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        answer = _Answer(on_data)
        parser = httptools.HttpResponseParser(answer)
        try:
            if body:
                length = ENDLESS if body is BLOCK else len(body)
                headers = [*headers, (b"content-length", b"%d" % length)]
            writer.write(_plain_head(b"POST" if body else b"GET", path, headers) + body)
            while body is BLOCK:
                await writer.drain()
                writer.write(BLOCK)
            while not answer.is_complete and (data := await reader.read(64 << 10)):
                parser.feed_data(data)
        except BaseException:
            writer.transport.abort()
            self._streams = None
            raise
        if not answer.is_complete or parser.get_status_code() != 200:
            raise RuntimeError("no whole answer, or its status is not 200")
        return answer.length

    async def open_websocket(self):
        reader, writer = await asyncio.open_connection(*self._address)
        upgrade = [
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        writer.write(_plain_head(b"GET", b"/echo", [*header_list(20), *upgrade]))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError("no WebSocket")

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        return send, lambda: reader.read(64 << 10), writer.transport.abort


class _Answer:
    """What httptools tells of an answer."""

    def __init__(self, on_data) -> None:
        self._on_data = on_data
        self.length = 0
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        self.length += len(data)
        if self._on_data:
            self._on_data(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


class Generator:
    """Carries out commands; native/loadgen/src/command.rs says what each means."""

    def __init__(self, edge: LocalEdge) -> None:
        self._edge = edge
        self._held: list = []

    async def requests(self, command) -> dict:
        body = b"b" * command.get("body", 0)
        headers = header_list(command.get("headers", 20))
        path, expect = command["path"].encode(), command.get("expect")

        def actor(number: int):
            visitor = self._visitor(command["via"], number)

            async def act() -> None:
                length = await visitor.ask(path, headers, body)
                if expect is not None and length != expect:
                    raise RuntimeError(f"an answer of {length} bytes, not {expect}")

            return act

        return await closed_loop([actor(n) for n in range(command["concurrency"])], command)

    async def websockets(self, command) -> dict:
        encoded = _masked(b"w" * command["size"])
        size = len(encoded) - 4  # the echo has no mask
        actors, opened = [], []
        for number in range(command["sockets"]):
            send, receive, end = await self._visitor(command["via"], number).open_websocket()
            opened.append(end)

            async def act(send=send, receive=receive) -> None:
                await send(encoded)
                missing = size
                while missing > 0:
                    if not (data := await receive()):
                        raise RuntimeError("the WebSocket ended")
                    missing -= len(data)

            actors.append(act)
        try:
            return await closed_loop(actors, command)
        finally:
            for end in opened:
                end()

    async def bulk(self, command) -> dict:
        is_up, via = command["direction"] == "up", command["via"]
        counted = 0

        def count(data: bytes) -> None:
            nonlocal counted
            counted += len(data)

        async def read() -> int:
            if not is_up:
                return counted
            text = bytearray()
            await self._visitor(via, 0).ask(b"/received", header_list(20), on_data=text.extend)
            return int(text)

        path, body = (b"/sink", BLOCK) if is_up else (b"/endless", b"")
        before = await read()
        transfers = [
            asyncio.create_task(self._visitor(via, n).ask(path, header_list(20), body, count))
            for n in range(command["streams"])
        ]
        small = None
        if command.get("small"):
            also = {**command, "path": "/small", "expect": 100, "concurrency": command["small"]}
            small = asyncio.create_task(self.requests(also))
        await asyncio.sleep(command.get("warmup", 0))
        first, began = await read(), time.perf_counter()
        await asyncio.sleep(command["seconds"])
        last, seconds = await read(), time.perf_counter() - began
        ended = [transfer for transfer in transfers if transfer.done()]
        for transfer in transfers:
            transfer.cancel()
        outcomes = await asyncio.gather(*transfers, return_exceptions=True)
        return {
            "bytes": last - first,
            "total": await read() - before,
            "seconds": seconds,
            "per_second": (last - first) / seconds,
            "errors": len(ended),
            "first_error": repr(outcomes) if ended else None,
            "small": await small if small else None,
        }

    async def hold(self, command) -> dict:
        for number in range(command["count"]):
            visitor = self._visitor(command["via"], number)
            if command["kind"] == "websocket":
                _, _, end = await visitor.open_websocket()
            else:
                begun = asyncio.Event()
                ask = visitor.ask(b"/idle", header_list(20), on_data=lambda _, e=begun: e.set())
                end = asyncio.create_task(ask).cancel
                await begun.wait()
            self._held.append(end)
        return {"open": len(self._held)}

    async def release(self, command) -> dict:
        for end in self._held:
            end()
        self._held.clear()
        return {"open": 0}

    def _visitor(self, via, number: int):
        if "tcp" in via:
            host, _, port = via["tcp"].rpartition(":")
            return Plain(host, int(port))
        serving = self._edge.tunnels.latest.serving if self._edge.tunnels.latest else ()
        connections = list(serving)[: via["tunnel"] or None]
        if not connections:
            raise RuntimeError("no connector is registered")
        return Tunnelled(connections[number % len(connections)])


async def closed_loop(actors, command) -> dict:
    """Everyone acts again and again; what happened within the window."""
    begin = time.perf_counter() + command.get("warmup", 0)
    end = begin + command["seconds"]
    measured: list[float] = []
    errors: list[Exception] = []
    total = 0

    async def repeat(act) -> None:
        nonlocal total
        while (began := time.perf_counter()) < end:
            total += 1
            try:
                await act()
            except Exception as exc:  # noqa: BLE001 - told to whoever asked
                errors.append(exc)
                return
            if begin <= (now := time.perf_counter()) <= end:
                measured.append(now - began)

    await asyncio.gather(*map(repeat, actors))
    measured.sort()

    def percentile(share: float) -> float:
        return measured[max(math.ceil(share * len(measured)), 1) - 1] if measured else 0.0

    return {
        "count": len(measured),
        "total": total,
        "seconds": command["seconds"],
        "per_second": len(measured) / command["seconds"],
        "p50": percentile(0.5),
        "p99": percentile(0.99),
        "max": percentile(1.0),
        "errors": len(errors),
        "first_error": repr(errors[0]) if errors else None,
    }


def header_list(count: int) -> list[tuple[bytes, bytes]]:
    """Made-up ones, about as long as a browser's."""
    return [(b"x-header-%d" % number, b"value %026d" % number) for number in range(count)]


def _plain_head(method: bytes, path: bytes, headers) -> bytes:
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, path, HOST)]
    return b"".join([*lines, *[b"%b: %b\r\n" % header for header in headers], b"\r\n"])


def _masked(payload: bytes) -> bytes:
    return Frame(Opcode.BINARY, payload).serialize(mask=True)


def say(event: str, **fields) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


async def watch(edge: LocalEdge) -> None:
    """Tell of registrations as they come and go."""
    known: set[int] = set()

    def serving() -> set[int]:
        tunnel = edge.tunnels.latest
        return {each.dialled.number for each in (tunnel.serving if tunnel else ())}

    while True:
        await edge.wait_for(lambda: serving() != known)
        now = serving()
        for number in known - now:
            say("closed", connection=number, reason="it is registered no more")
        for number in now - known:
            say("registered", connection=number, conn_index=0)
        known.clear()
        known.update(now)


async def serve(ports: int) -> None:
    async with LocalEdge(edges=ports, max_in_flight=1 << 20) as edge:
        listening = [int(address.rpartition(":")[2]) for address in edge.edge_addresses]
        say("listening", ports=listening, service_url=edge.service_url, ca_file=edge.ca_file)
        watching = asyncio.create_task(watch(edge))
        generator = Generator(edge)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            try:
                say("done", result=await getattr(generator, command["command"])(command))
            except Exception as exc:  # noqa: BLE001 - told to whoever asked
                say("failed", error=repr(exc))
        watching.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ports", type=int, default=1)
    parser.add_argument("--certificate", help="not used: the edge makes its own")
    parser.add_argument("--key", help="not used")
    ports = parser.parse_args().ports
    runner = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        runner = uvloop.run
    runner(serve(ports))


if __name__ == "__main__":
    main()
