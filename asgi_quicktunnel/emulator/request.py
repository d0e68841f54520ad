"""A visitor's request as the edge hands it to a connector (protocol.md §6.1, §6.6, §6.8)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from asgi_quicktunnel.emulator.http1 import BadRequest
from asgi_quicktunnel.model import RequestHead, RequestKind

__all__ = ["Visitor", "has_body", "host_name", "request_head"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, as far as the edge tells the origin.

    Attributes:
        address: IPv4 or IPv6.
        scheme: "http" or "https", what the visitor used.
        colo: the site that took the request, such as "lis01".
    """

    address: str
    scheme: str
    colo: str

    @classmethod
    def at(cls, peer: str, *, loopback_as: str, scheme: str, colo: str) -> Visitor:
        """The visitor behind a socket.

        Args:
            peer: the socket's address, possibly with a zone (RFC 4007 §11).
            loopback_as: who a visitor on this machine is said to be. The real edge never names a
                loopback address, and apps may trust those.
            scheme: as the attribute.
            colo: as the attribute.
        """
        address = ipaddress.ip_address(peer.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        return cls(loopback_as if address.is_loopback else str(address), scheme, colo)


def request_head(request: h11.Request, visitor: Visitor, *, ray: str) -> RequestHead:
    """What goes to the connector.

    Header names keep the visitor's spelling, as connectors must not care.

    Args:
        request: as h11 read it.
        visitor: who asks.
        ray: 16 hexadecimal digits that name this request.

    Raises:
        BadRequest: a target or host that the edge does not serve.
    """
    if request.method in (b"CONNECT", b"TRACE"):
        raise BadRequest("a method that the edge does not pass on", status=405)
    host, path = _split_target(request)
    websocket = _wants_websocket(request)
    dropped = _dropped(request, websocket=websocket)
    headers = [item for item in request.headers.raw_items() if item[0].lower() not in dropped]
    return RequestHead(
        kind=RequestKind.WEBSOCKET if websocket else RequestKind.HTTP,
        dest=b"%b://%b%b" % (visitor.scheme.encode(), host, path),
        method=request.method.decode("ascii"),
        host=host,
        headers=headers + _added(request, visitor, ray),
    )


def has_body(head: RequestHead) -> bool:
    """Whether a body follows: a length above 0, or chunks."""
    return _announces_body((name.lower(), value) for name, value in head.headers)


def host_name(host: bytes) -> str:
    """The name in a Host header: lower case, without port and final dot."""
    name = host.decode("ascii").lower()
    if not name.endswith("]"):
        name, _, _ = name.rpartition(":") if ":" in name else (name, "", "")
    return name.removesuffix(".")


def _announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        for name, value in headers
    )


def _split_target(request: h11.Request) -> tuple[bytes, bytes]:
    """Host and path with query (RFC 9112 §3.2)."""
    host = _value(request, b"host") or b""
    path = request.target
    if not path.startswith(b"/"):
        scheme, separator, rest = path.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise BadRequest("a target that is neither a path nor a web address")
        host, path = _AUTHORITY_END.split(rest, maxsplit=1)[0], b""
        path = rest[len(host) :]
        if not path.startswith(b"/"):
            path = b"/" + path
    if not _HOST.fullmatch(host):
        raise BadRequest("a host that is no name and no address")
    return host, path.partition(b"#")[0]


def _wants_websocket(request: h11.Request) -> bool:
    return (
        request.method == b"GET"
        and not _announces_body(request.headers)
        and request.http_version >= b"1.1"
        and b"upgrade" in _tokens(request, b"connection")
        and (_value(request, b"upgrade") or b"").lower() == b"websocket"
    )


def _dropped(request: h11.Request, *, websocket: bool) -> set[bytes]:
    """Lower-case names of headers that stop here."""
    named = {name for name in _tokens(request, b"connection") if name not in _NEVER_HOP_BY_HOP}
    dropped = _HOP_BY_HOP | _SET_BY_EDGE | named
    if websocket:
        dropped.add(b"sec-websocket-version")
    if _value(request, b"transfer-encoding") is not None:
        dropped.add(b"content-length")  # RFC 9112 §6.3: the chunks count
    dropped.update(
        name for name, _ in request.headers if name.startswith((b"cf-cloudflared-", b"cf-warp-"))
    )
    return dropped


def _added(request: h11.Request, visitor: Visitor, ray: str) -> list[tuple[bytes, bytes]]:
    address = visitor.address.encode("ascii")
    scheme = visitor.scheme.encode("ascii")
    # Appended to what the visitor says, comma without space: protocol.md §6.8.
    forwarded = [value for name, value in request.headers if name == b"x-forwarded-for"]
    loops = [value for name, value in request.headers if name == b"cdn-loop"]
    return [
        (b"Cf-Connecting-Ip", address),
        (b"Cf-Ray", f"{ray}-{visitor.colo[:3].upper()}".encode()),
        (b"Cf-Ipcountry", COUNTRY),
        (b"Cf-Visitor", b'{"scheme":"%b"}' % scheme),
        (b"Cdn-Loop", b", ".join([*loops, b"cloudflare; loops=1"])),
        (b"X-Forwarded-For", b",".join([*forwarded, address])),
        (b"X-Forwarded-Proto", scheme),
        (b"Accept-Encoding", b"gzip, br"),
    ]


def _value(request: h11.Request, wanted: bytes) -> bytes | None:
    return next((value for name, value in request.headers if name == wanted), None)


def _tokens(request: h11.Request, wanted: bytes) -> set[bytes]:
    return {
        token.strip().lower()
        for name, value in request.headers
        if name == wanted
        for token in value.split(b",")
    }


COUNTRY = b"PT"  # protocol.md §6.8, sample
_HOP_BY_HOP = {  # RFC 9110 §7.6.1; of Transfer-Encoding the connector reads whether a body comes
    b"connection",
    b"host",  # it travels beside the headers
    b"keep-alive",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
}
_NEVER_HOP_BY_HOP = {
    b"content-length",
    b"transfer-encoding",
}  # framing is not the visitor's to hide
_SET_BY_EDGE = {
    b"accept-encoding",
    b"cdn-loop",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"cf-ipcountry",
    b"cf-pseudo-ipv4",
    b"cf-ray",
    b"cf-visitor",
    b"x-forwarded-for",
    b"x-forwarded-proto",
}
_AUTHORITY_END = re.compile(rb"[/?#]")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
