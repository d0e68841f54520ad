"""A small client of the Debug Adapter Protocol."""

import asyncio
import itertools
import json


class DapClient:
    """Requests out, responses and events in; messages are JSON after a Content-Length header."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._messages = []

    @classmethod
    async def connect(cls, host, port):
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, command, **arguments):
        """Send a request; its number."""
        number = next(self._numbers)
        message = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await self._writer.drain()
        return number

    async def response(self, number):
        """The response to a request."""
        message = await self._next(lambda each: each.get("request_seq") == number)
        assert message["success"], message
        return message.get("body", {})

    async def event(self, name):
        """The next event of a name."""
        return (await self._next(lambda each: each.get("event") == name)).get("body", {})

    async def close(self):
        self._writer.close()
        await self._writer.wait_closed()

    async def _next(self, wanted):
        while True:
            for message in self._messages:
                if wanted(message):
                    self._messages.remove(message)
                    return message
            header = await self._reader.readuntil(b"\r\n\r\n")
            length = int(header.split(b":")[1])
            self._messages.append(json.loads(await self._reader.readexactly(length)))
