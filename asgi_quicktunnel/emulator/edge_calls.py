"""What the edge calls on a connector, on streams of its own (protocol.md §7.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.protocol.datastream import RPC_SIGNATURE
from asgi_quicktunnel.protocol.registration import (
    ConfigurationAnswered,
    ConnectorServiceClient,
    Done,
    Ended,
    Failed,
    UdpSessionAnswered,
)
from asgi_quicktunnel.transport.quic_stream import QuicStream

__all__ = ["CallAnswer", "call_connector"]

CallAnswer = ConfigurationAnswered | UdpSessionAnswered | Done | Failed


async def call_connector(
    stream: QuicStream, ask: Callable[[ConnectorServiceClient], int]
) -> CallAnswer:
    """Make one call.

    Args:
        stream: just opened.
        ask: makes the call and returns its question.

    Raises:
        RemoteProtocolError: the connector broke the rules, or ended the stream without an answer.
        StreamReset: it gave the stream up.
        ConnectionLost: the connection ended.
        TimeoutError: it was silent for 5 s.
    """
    session = ConnectorServiceClient()
    question = ask(session)
    try:
        async with asyncio.timeout(TIMEOUT):
            await stream.send(RPC_SIGNATURE + session.data_to_send())
            while data := await stream.receive():
                for event in session.receive_data(data):
                    if not isinstance(event, Ended) and event.question == question:
                        session.shutdown()
                        await stream.send(session.data_to_send())
                        await stream.send_eof()
                        return event
                if reply := session.data_to_send():
                    await stream.send(reply)
        raise RemoteProtocolError("the connector ended the stream without an answer")
    finally:
        stream.stop(0)


TIMEOUT = 5.0  # s; protocol.md §7.1
