"""The demo: an example under uvicorn, public through the embedded edge."""

from __future__ import annotations

import asyncio
import os

import httpx

from asgi_quicktunnel.demo.django import DjangoExample
from asgi_quicktunnel.demo.examples import Example, Say
from asgi_quicktunnel.demo.fastapi import FastAPIExample
from asgi_quicktunnel.demo.serving import GRACE_PERIOD, POLL, public_url_of, serving
from asgi_quicktunnel.emulator import LocalEdge

__all__ = ["run_demo"]


async def run_demo(name: str, *, check: bool, port: int, say: Say) -> int:
    """Run a demo until Ctrl-C, or its check.

    Args:
        name: of the example, "fastapi" or "django".
        check: visit the example through the public URL as a visitor would, then end.
        port: local TCP port, 0 for any.
        say: prints one line.

    Returns:
        The exit status: 0, or 1 when the check failed.

    Raises:
        QuickTunnelError: the tunnel or the demo can't start.
    """
    example = _EXAMPLES[name]()
    async with LocalEdge() as edge:
        _point_at(edge)
        async with example.loaded() as app, serving(app, port) as (server, local_url):
            public_url = await public_url_of(app)
            if check:
                return await _check(example, edge, public_url, say)
            say(f"the example app is public at {public_url}")
            example.explain(public_url, say)
            say(f"or open {public_url} in a browser,")
            say(f"and {local_url}/_quicktunnel to see what comes through; Ctrl-C ends everything")
            while not server.should_exit:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(POLL)
            say("stopping")
    return 0


def _point_at(edge: LocalEdge) -> None:
    """Let the example find the edge where its options would come from."""
    config = edge.config()
    os.environ.update(
        QUICKTUNNEL_SERVICE_URL=config.service_url,
        QUICKTUNNEL_EDGE=config.edge or "",
        QUICKTUNNEL_CA_FILE=config.ca_file or "",
        QUICKTUNNEL_STRICT="1",
        QUICKTUNNEL_GRACE_PERIOD=str(GRACE_PERIOD),
    )


async def _check(example: Example, edge: LocalEdge, public_url: str, say: Say) -> int:
    try:
        return 0 if await example.check(edge, public_url, say) else 1
    except httpx.HTTPError as exc:
        say(f"FAILED: {type(exc).__name__}: {exc}")
        return 1


_EXAMPLES: dict[str, type[Example]] = {"fastapi": FastAPIExample, "django": DjangoExample}
