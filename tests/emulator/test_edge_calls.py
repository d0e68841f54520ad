"""Calls of the edge to connectors that answer, and to those that don't."""

import asyncio

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import RemoteProtocolError, StreamReset
from asgi_quicktunnel.protocol.datastream import RPC_SIGNATURE
from asgi_quicktunnel.protocol.registration import (
    ConfigurationAnswered,
    ConnectorService,
    Failed,
    UdpSessionAnswered,
)

from tests_support.raw_connector import raw_connector

pytestmark = pytest.mark.anyio


@pytest.fixture
async def dialled():
    """A connection, and the streams that its connector was opened."""
    streams = asyncio.Queue()
    with anyio.fail_after(15):
        async with LocalEdge() as edge, raw_connector(edge) as connector:
            connector.on_stream = streams.put_nowait
            yield edge.connections[0], streams


async def answered(streams, data=b""):
    """Answer one call as this package does, or with the given bytes."""
    stream = await streams.get()
    service = ConnectorService()
    received = b""
    while not received.startswith(RPC_SIGNATURE) or not service.data_to_send:
        received += await stream.receive()
    service.receive_data(received[len(RPC_SIGNATURE) :])
    await stream.send(data or service.data_to_send())
    return stream


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda rpc: rpc.update_configuration(1, b"{}"), ConfigurationAnswered),
        (lambda rpc: rpc.register_udp_session(bytes(16), (bytes(4), 53)), UdpSessionAnswered),
        (lambda rpc: rpc.unregister_udp_session(bytes(16), "bye"), Failed),
    ],
)
async def test_calls_are_answered(dialled, ask, kind):
    """Each call has its answer, and the stream is ended by the edge."""
    connection, streams = dialled
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answered, streams)
        assert isinstance(await connection.call(ask), kind)


async def test_streams_that_bring_no_answer(dialled):
    """An end, a reset and garbage are told apart."""
    connection, streams = dialled

    async def end():
        await (await streams.get()).send_eof()

    async def reset():
        (await streams.get()).reset()

    async def garbage():
        await answered(streams, b"\xff" * 64)

    for behaviour, error in (
        (end, RemoteProtocolError),
        (reset, StreamReset),
        (garbage, RemoteProtocolError),
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(behaviour)
            with pytest.raises(error):
                await connection.call(lambda rpc: rpc.update_configuration(1, b"{}"))
