"""One request to the public URL, sent to an address that is known already.

This is what a visitor does, so proxies of this machine are not used. It speaks HTTP/1.1 itself:
httpx leaves its socket open when it is cancelled in a TLS handshake.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream

from asgi_quicktunnel.protocol.readiness import expected_answer, readiness_path
from asgi_quicktunnel.protocol.tunnel_answer import presentable
from asgi_quicktunnel.readiness.base import NotProved, Step

__all__ = ["Target", "visit"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a public URL says of the way to it.

    Attributes:
        host: in lower case, without brackets and final dot; for SNI and the certificate.
        port: of TCP.
        authority: as the URL has it; for the Host header.
        is_secure: whether TLS is spoken.
        addresses: the literal addresses that the URL itself means; () when DNS has to tell.
    """

    host: str
    port: int
    authority: str
    is_secure: bool
    addresses: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Target:
        """Read a URL. Names under .localhost are this machine (RFC 6761 §6.3).

        Raises:
            NotProved: it is no http or https URL with a host.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise NotProved(Step.REQUEST, f"{url} is no usable URL", is_final=True) from exc
        host = (parts.hostname or "").rstrip(".")
        if not host or parts.scheme not in _PORTS:
            raise NotProved(Step.REQUEST, f"{url} is no usable URL", is_final=True)
        return cls(
            host=host,
            port=port or _PORTS[parts.scheme],
            authority=parts.netloc.rpartition("@")[2],
            is_secure=parts.scheme == "https",
            addresses=_addresses_in(host),
        )


async def visit(
    target: Target,
    addresses: Sequence[str],
    nonce: str,
    *,
    context: ssl.SSLContext | None,
    user_agent: str,
) -> None:
    """Ask for the readiness path at the first of these addresses that takes a connection.

    Args:
        target: whom to ask for.
        addresses: literal, the best first; at most four are tried.
        nonce: what the connector answers to.
        context: for https, verifies the certificate against the host of the URL.
        user_agent: as the service should see it.

    Raises:
        NotProved: no connection, or an answer that is not this connector's; finally when the
            certificate is not the host's.
    """
    failures = []
    for address in addresses[:_MOST_ADDRESSES]:
        try:
            stream = await _connect(target, address, context)
        except ssl.SSLCertVerificationError as exc:
            raise NotProved(
                Step.REQUEST,
                f"the certificate that {address} showed for {target.host} can't be verified "
                f"({presentable(exc.verify_message)}); where a proxy inspects TLS, name its CA in "
                "SSL_CERT_FILE",
                is_final=True,
            ) from exc
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as exc:
            failures.append(f"{address} ({_why(exc)})")
            continue
        async with stream:
            await _prove(stream, target, address, nonce, user_agent)
        return
    raise NotProved(
        Step.REQUEST,
        f"no connection to port {target.port} of {' and '.join(failures)}; a network that lets "
        "only a proxy out does this, and visitors elsewhere don't notice",
    )


async def _connect(target: Target, address: str, context: ssl.SSLContext | None) -> ByteStream:
    with anyio.fail_after(_CONNECT_TIMEOUT):
        if not target.is_secure:
            return await anyio.connect_tcp(address, target.port)
        return await anyio.connect_tcp(
            address,
            target.port,
            tls_hostname=target.host,
            ssl_context=context,
            tls_standard_compatible=False,
        )


async def _prove(
    stream: ByteStream, target: Target, address: str, nonce: str, user_agent: str
) -> None:
    headers = [
        ("Host", target.authority),
        ("User-Agent", user_agent),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=readiness_path(nonce), headers=headers)
    asked = f"a request for {target.authority} at {address}"
    try:
        with anyio.fail_after(_ANSWER_TIMEOUT):
            status, body = await _exchange(stream, request)
    except TimeoutError as exc:
        raise NotProved(Step.REQUEST, f"{asked} got no answer in {_ANSWER_TIMEOUT:g} s") from exc
    except (OSError, anyio.BrokenResourceError, h11.RemoteProtocolError) as exc:
        raise NotProved(Step.REQUEST, f"{asked} got no answer ({_why(exc)})") from exc
    if status == 200 and body == expected_answer(nonce):
        return
    if status == 200:
        raise NotProved(
            Step.REQUEST,
            f"{asked} was answered, but not by this connector: another site or the login page of "
            "a network answers in its place",
        )
    meaning = "; the edge knows no connection for it yet" if status == _NO_TUNNEL else ""
    raise NotProved(Step.REQUEST, f"{asked} was answered with status {status}{meaning}")


async def _exchange(stream: ByteStream, request: h11.Request) -> tuple[int, bytes]:
    """Send a request; status and body of the answer, of which a long one is cut off."""
    http = h11.Connection(h11.CLIENT)
    for part in (request, h11.EndOfMessage()):
        await stream.send(http.send(part) or b"")
    status, body = 0, b""
    while len(body) <= _LONGEST_BODY:
        match http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await _receive(stream))
            case h11.Response(status_code=status):
                pass
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage() | h11.ConnectionClosed():
                break
    return status, body


async def _receive(stream: ByteStream) -> bytes:
    """The next bytes, b"" at the end."""
    try:
        return await stream.receive()
    except anyio.EndOfStream:
        return b""


def _addresses_in(host: str) -> tuple[str, ...]:
    if f".{host}".endswith(".localhost"):
        return "127.0.0.1", "::1"
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return ()


def _why(exc: Exception) -> str:
    """What happened, in few words."""
    match exc:
        case TimeoutError():
            return f"none within {_CONNECT_TIMEOUT:g} s"
        case anyio.EndOfStream():
            return "it was closed in the TLS handshake"
        case ssl.SSLError():
            return presentable(exc.reason or str(exc))
    cause = exc.__cause__ if isinstance(exc.__cause__, OSError) else exc
    if isinstance(cause, OSError) and cause.errno:
        return presentable(os.strerror(cause.errno))
    return presentable(str(cause)) or type(cause).__name__


_CONNECT_TIMEOUT = 3.0  # s, for one address, TCP and TLS
_ANSWER_TIMEOUT = 5.0  # s
_MOST_ADDRESSES = 4
_LONGEST_BODY = 1024  # bytes; ours has 64
_NO_TUNNEL = 530  # protocol.md §1, "error code: 1033"
_PORTS = {"http": 80, "https": 443}
