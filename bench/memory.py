"""Memory of a connector's process while bodies stream through it against a slow peer.

The connector runs in a process of its own; the embedded edge and the visitor are in this one.
Download: the app sends as fast as it is let, the visitor reads `--rate` MiB a second.
Upload: the visitor sends as fast as it is let, the app reads `--rate` MiB a second.
Printed: the connector's resident memory when it is registered and its peak, per direction.

    python bench/memory.py [--mib 1024] [--rate 16]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time

sys.path.pop(0)  # this folder: its websockets.py would hide the library of that name

from asgi_quicktunnel import QuickTunnel, TunnelConfig
from asgi_quicktunnel.emulator import LocalEdge

MIB = 1 << 20
CHUNK = 64 << 10


class Pace:
    """Keeps a transfer at a rate in MiB per second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._done = 0

    async def passed(self, amount: int) -> None:
        """Wait until `amount` more bytes are due."""
        self._done += amount
        due = self._began + self._done / (self._rate * MIB)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def make_app(total: int, rate: float):
    """GET /: `total` bytes; POST /: reads a body slowly and says how long it was."""
    block = os.urandom(CHUNK)

    async def app(scope, receive, send):
        length = 0
        if scope["method"] == "POST":
            pace = Pace(rate)
            more_body = True
            while more_body:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                length += len(message["body"])
                more_body = message["more_body"]
                await pace.passed(len(message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["method"] == "GET":
            for _ in range(total // CHUNK):
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % length})

    return app


def memory() -> tuple[float, float]:
    """Resident memory of this process now and at its peak, in MiB (proc(5))."""
    fields = {}
    with open("/proc/self/status") as status:
        for line in status:
            name, _, value = line.partition(":")
            fields[name] = value.split()
    return int(fields["VmRSS"][0]) / 1024, int(fields["VmHWM"][0]) / 1024


def forget_peak() -> None:
    """Let the peak begin anew (proc(5), clear_refs)."""
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")


async def connector(total: int, rate: float) -> None:
    """The process that is measured: says its memory at each line it is sent."""
    config = TunnelConfig(enabled=True, wait_ready=True)
    async with QuickTunnel(make_app(total, rate), config) as tunnel:
        print(tunnel.url, flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "begin":
                forget_peak()
            print(*memory(), flush=True)


async def visit(edge: LocalEdge, url: str, total: int, rate: float, *, upload: bool) -> float:
    """One transfer; its duration in seconds."""
    began = time.monotonic()

    async def body():
        block = os.urandom(CHUNK)
        for _ in range(total // CHUNK):
            yield block

    async with edge.httpx_client(timeout=None) as client:
        if upload:
            headers = {"content-length": str(total)}
            answer = await client.post(url, content=body(), headers=headers)
            assert answer.text == str(total), answer.text
        else:
            pace = Pace(rate)
            received = 0
            async with client.stream("GET", url) as answer:
                async for data in answer.aiter_raw(CHUNK):
                    received += len(data)
                    await pace.passed(len(data))
            assert received == total + 1, received
    return time.monotonic() - began


async def measure(mib: int, rate: float) -> None:
    """Run the connector, transfer both ways, print."""
    total = mib * MIB
    async with LocalEdge() as edge:
        config = edge.config()
        environ = {
            **os.environ,
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
        }
        arguments = [__file__, "--connector", "--mib", str(mib), "--rate", str(rate)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environ,
        )

        async def ask(what: str) -> list[float]:
            process.stdin.write(what.encode() + b"\n")
            return [float(value) for value in (await process.stdout.readline()).split()]

        try:
            url = (await process.stdout.readline()).decode().strip() + "/"
            start, _ = await ask("begin")
            print(f"connector at start: {start:.1f} MiB")
            for upload in (False, True):
                await ask("begin")
                elapsed = await visit(edge, url, total, rate, upload=upload)
                _, peak = await ask("end")
                name = "upload" if upload else "download"
                print(
                    f"{name} of {mib} MiB in {elapsed:.1f} s ({mib / elapsed:.1f} MiB/s): "
                    f"peak {peak:.1f} MiB, {peak - start:+.1f} MiB above the start"
                )
        finally:
            process.stdin.close()
            await process.wait()


def main() -> None:
    """Read the arguments and run one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024, help="MiB each way")
    parser.add_argument("--rate", type=float, default=16, help="MiB a second of the slow peer")
    parser.add_argument("--connector", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.connector:
        asyncio.run(connector(options.mib * MIB, options.rate))
    else:
        asyncio.run(measure(options.mib, options.rate))


if __name__ == "__main__":
    main()
