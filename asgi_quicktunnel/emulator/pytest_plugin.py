"""The fixture `local_edge`, for every project that has this package installed.

pytest loads this module in every run: it imports nothing that pytest has not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asgi_quicktunnel.emulator.local import LocalEdge

__all__ = ["local_edge"]


@pytest.fixture
async def local_edge() -> AsyncIterator[LocalEdge]:
    """A running `LocalEdge`, for async tests.

    It runs in the event loop of the test: under anyio's pytest plugin (which comes with this
    package; mark the test with `pytest.mark.anyio`, backend asyncio), or under pytest-asyncio in
    its auto mode. For anything else: `async with LocalEdge() as edge`.
    """
    from asgi_quicktunnel.emulator.local import LocalEdge

    async with LocalEdge() as edge:
        yield edge
