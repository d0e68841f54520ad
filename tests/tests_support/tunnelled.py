"""An edge, and an app served through it."""

from contextlib import asynccontextmanager

import anyio
import httpx

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge


@asynccontextmanager
async def tunnelled(
    app, *, fin="held", edge_options=None, ha_connections=1, limit=60, state=None, **options
):
    """`async with tunnelled(app) as (edge, tunnel, visitor)`: an app behind a tunnel.

    `limit` are the seconds that all of it may take; `visitor` is an httpx client.
    """
    options["ha_connections"] = ha_connections
    with anyio.fail_after(limit):
        async with LocalEdge(fin=fin, **(edge_options or {})) as edge:
            async with (
                QuickTunnel(app, edge.config(**options), state=state) as tunnel,
                edge.httpx_client(base_url=tunnel.url, timeout=_PATIENCE) as visitor,
            ):
                yield edge, tunnel, visitor
            assert list(edge.violations) == []


# s; httpx gives one call so long, and it sends a whole body of bytes in one call
_PATIENCE = httpx.Timeout(5, write=30)
