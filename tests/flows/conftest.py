"""An edge, and an app served through it."""

from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge


@pytest.fixture(params=["held", "early"])
def fin(request):
    """When the edge ends a request without a body."""
    return request.param


@pytest.fixture
def tunnelled():
    """`async with tunnelled(app) as (edge, tunnel, visitor)`: an app behind a tunnel."""

    @asynccontextmanager
    async def start(app, *, fin="held", edge_options=None, ha_connections=1, **options):
        options["ha_connections"] = ha_connections
        with anyio.fail_after(60):
            async with LocalEdge(fin=fin, **(edge_options or {})) as edge:
                async with (
                    QuickTunnel(app, edge.config(**options)) as tunnel,
                    edge.httpx_client(base_url=tunnel.url) as visitor,
                ):
                    yield edge, tunnel, visitor
                assert list(edge.violations) == []

    return start
