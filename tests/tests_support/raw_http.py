"""A visitor who writes every byte of a request itself: no client normalises what it asks for."""

import asyncio
from typing import NamedTuple


class RawAnswer(NamedTuple):
    """What came back; names of headers in lower case, a name that came twice once for each."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name):
        """The only value of a header, or None."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


async def ask(address, target, *headers, method="GET", host=None, body=b"", version="1.1"):
    """Send one request to "host:port" and read the whole answer.

    Args:
        address: where the server listens.
        target: as it is to stand in the request line.
        headers: "Name: value" texts, as they are to be sent.
        method: the same.
        host: the Host header; None for the address itself, "" for no such header.
        body: sent with its length.
        version: of HTTP, as it is to stand in the request line.
    """
    host = address if host is None else host
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host else []
    lines += headers
    lines += ["Connection: close"] if not any("upgrade" in each.lower() for each in headers) else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    name, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *fields = head.rstrip("\r\n").split("\r\n")
        status = int(status_line.split(" ")[1])
        pairs = [field.partition(":")[::2] for field in fields]
        content = b"" if status == 101 else await reader.read()
        return RawAnswer(status, [(name.lower(), value.strip()) for name, value in pairs], content)
    finally:
        writer.close()


WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",  # RFC 6455 §1.3
)
