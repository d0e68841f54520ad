"""Tasks beside one that counts."""

import asyncio

import pytest

from asgi_quicktunnel.beside import first_failure


async def end():
    """Ends at once."""


async def fail():
    """Fails at once."""
    raise ValueError("failed")


async def stay():
    """Never ends."""
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("beside", [[], [end], [stay], [end, stay]])
def test_it_ends_with_the_one_that_counts(beside):
    """Those beside it may end before, or not at all."""

    async def run():
        tasks = [asyncio.create_task(each()) for each in beside]
        await asyncio.wait_for(first_failure(asyncio.create_task(end()), tasks), 5)
        for task in tasks:
            task.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(("main", "beside"), [(fail, stay), (stay, fail)])
def test_it_ends_with_the_first_failure(main, beside):
    """Whichever fails, the others are not waited for."""

    async def run():
        with pytest.raises(ValueError, match="failed"):
            await asyncio.wait_for(
                first_failure(asyncio.create_task(main()), [asyncio.create_task(beside())]), 5
            )

    asyncio.run(run())
