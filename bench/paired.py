"""Small requests to an app in a process of its own, under one of two conditions in turn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.model import RequestHead, RequestKind

__all__ = ["answer_small", "connector_process", "load", "paired"]

HEADERS = [(b"x-header-%d" % number, b"value %d" % number) for number in range(20)]
HEAD = RequestHead(RequestKind.HTTP, b"/", "GET", b"bench.example", HEADERS)
BODY = b"x" * 100


async def answer_small(scope, receive, send) -> None:
    """An ASGI app: 100 bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BODY})


@contextlib.asynccontextmanager
async def connector_process(
    script: str | Path, edge: LocalEdge, **environ: str
) -> AsyncIterator[Process]:
    """Run `script --connector` with the edge in its environment; its input ends it."""
    config = edge.config()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        "--connector",
        stdin=PIPE,
        stdout=PIPE,
        env={
            **os.environ,
            **environ,
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
        },
    )
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def load(edge: LocalEdge, at_once: int, seconds: float) -> tuple[int, float]:
    """How many requests were answered, `at_once` at a time, and in how many seconds."""
    (connection,) = edge.connections
    end = time.perf_counter() + seconds
    count = 0

    async def ask() -> None:
        nonlocal count
        while time.perf_counter() < end:
            answer = await connection.open_request(HEAD, end=True)
            await answer.receive_head()
            while await answer.receive():
                pass
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(at_once)))
    return count, time.perf_counter() - began


def paired(first: Sequence[float], second: Sequence[float]) -> float:
    """The median of the ratios of figures that were measured one after the other."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))
