"""Tasks beside one that counts."""

from __future__ import annotations

import asyncio

__all__ = ["first_failure"]


async def first_failure(main: asyncio.Task[None], beside: list[asyncio.Task[None]]) -> None:
    """Until `main` ends, or one of those beside it fails; they may end before it.

    Raises:
        Exception: whatever the first task to fail raised.
    """
    waiting = {main, *beside}
    while main in waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
