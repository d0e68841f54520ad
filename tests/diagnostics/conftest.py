"""Servers of others with an app in them."""

from contextlib import asynccontextmanager

import anyio
import pytest

from tests_support.local_servers import hypercorn_at, uvicorn_at


@pytest.fixture(params=[uvicorn_at, hypercorn_at], ids=["uvicorn", "hypercorn"])
def serve(request):
    """`async with serve(app) as address`, for each server; ten seconds at most."""

    @asynccontextmanager
    async def limited(app):
        with anyio.fail_after(10):
            async with request.param(app) as address:
                yield address

    return limited
