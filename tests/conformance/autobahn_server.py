"""A WebSocket echo app behind a tunnel: python -m conformance.autobahn_server

Writes where it is, as JSON: address and port to connect to, and the name to ask for. Ends when its
standard input does.
"""

import asyncio
import json
import sys

import uvloop

from tests_support.tunnelled import tunnelled


async def echo(scope, receive, send):
    """Send each message back as it came."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def main():
    async with tunnelled(echo, limit=None) as (edge, tunnel, _):
        name = tunnel.url.partition("//")[2].partition(":")[0]
        print(json.dumps([*edge.address, name]), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
