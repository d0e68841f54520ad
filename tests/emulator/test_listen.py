"""Listening, and reading ahead."""

import logging

import anyio
import pytest

from asgi_quicktunnel.emulator.listen import Peeked, serve_tcp

from tests_support.public_front import read_to_end

pytestmark = pytest.mark.anyio


async def test_a_handler_that_fails_ends_its_connection_alone(caplog):
    """The next one is served."""
    visits = []

    async def handle(stream):
        visits.append(await stream.receive())
        if len(visits) == 1:
            raise RuntimeError("broken handler")
        await stream.send(b"ok")

    with anyio.fail_after(5), caplog.at_level(logging.ERROR):
        async with anyio.create_task_group() as tasks:
            port = await serve_tcp("127.0.0.1", 0, handle, tasks)
            for answer in (b"", b"ok"):
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"x")
                    assert await read_to_end(stream) == answer
            tasks.cancel_scope.cancel()
    assert "broken handler" in caplog.text


async def test_a_port_that_is_taken():
    """It is an OSError at once."""

    async def handle(stream):
        pass

    async with anyio.create_task_group() as tasks:
        port = await serve_tcp("127.0.0.1", 0, handle, tasks)
        with pytest.raises(OSError, match=r"in use|only one usage"):
            await serve_tcp("127.0.0.1", port, handle, tasks)
        tasks.cancel_scope.cancel()


async def test_what_was_read_ahead_comes_first():
    """In pieces as small as wanted, then what the stream has; everything else passes through."""
    answers = []

    async def handle(stream):
        peeked = Peeked(stream, b"abc")
        assert peeked.extra_attributes.keys() == stream.extra_attributes.keys()
        answers.append(await peeked.receive(2))
        answers.append(await peeked.receive())
        answers.append(await peeked.receive())
        await peeked.send(b"bye")
        await peeked.send_eof()
        await peeked.aclose()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            port = await serve_tcp("127.0.0.1", 0, handle, tasks)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"def")
                assert await stream.receive() == b"bye"
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
            tasks.cancel_scope.cancel()
    assert answers == [b"ab", b"c", b"def"]
