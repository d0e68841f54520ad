"""Who may see the diagnostics: whoever sits at this machine (design.md §5, "Local only")."""

from __future__ import annotations

import ipaddress

from starlette.types import Scope

from asgi_quicktunnel.origin.base import from_tunnel
from asgi_quicktunnel.origin.mark import MARK_HEADER

__all__ = ["is_direct", "is_local"]


def is_local(scope: Scope) -> bool:
    """Whether this request was made on this machine, straight to this server.

    A loopback peer alone proves little: a reverse proxy, a tunnel of another make, and any web
    page in the developer's browser (DNS rebinding, cross-site requests) come from loopback too.
    Each of them shows in at least one of the things looked at here. Pure; whatever is missing or
    malformed counts against the request.

    Args:
        scope: an ASGI "http" or "websocket" scope (ASGI HTTP 2.3, WebSocket 2.3).
    """
    return is_direct(scope) and _peer_is_loopback(scope) and _has_own_host(scope)


def is_direct(scope: Scope) -> bool:
    """Whether nobody stands between the visitor and this server, and no other site's page asks.

    From whatever machine, and under whatever name of this server: who asks is another question.
    Pure; whatever is malformed counts against the request.

    Args:
        scope: an ASGI "http" or "websocket" scope.
    """
    # No browser and no client of today speaks 1.0; proxies did for long (nginx's old default).
    if from_tunnel(scope) or scope.get("http_version") == "1.0":
        return False
    headers = _headers_by_name(scope)
    if any(_tells_of_a_proxy(name) for name in headers):
        return False
    if not set(headers.get("sec-fetch-site", ())) <= {"none", "same-origin"}:
        return False
    hosts = headers.get("host", ())
    if len(hosts) != 1:
        return False
    origins = headers.get("origin", ())
    if not origins:
        return bool(scope["type"] == "http")
    return list(origins) == [_own_origin(hosts[0], scope)]


def _peer_is_loopback(scope: Scope) -> bool:
    client = scope.get("client")  # None: a unix socket
    if client is None:
        return False
    return _is_loopback(client[0])


def _headers_by_name(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _tells_of_a_proxy(name: str) -> bool:
    return name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIXES)


def _has_own_host(scope: Scope) -> bool:
    hosts = _headers_by_name(scope).get("host", ())
    return len(hosts) == 1 and _is_own_host(hosts[0], scope)


def _is_own_host(host: str, scope: Scope) -> bool:
    """Whether `host`, the value of the Host header, names this server at this machine."""
    bound_address, bound_port = scope.get("server") or ("", None)
    name, port = _split_host(host.lower(), "443" if _is_secure(scope) else "80")
    if not name or port != str(bound_port):
        return False
    return name == "localhost" or _is_loopback(name) or bool(name == bound_address.lower())


def _split_host(host: str, default_port: str) -> tuple[str, str]:
    """The two parts of "name", "name:port", "[ipv6]" or "[ipv6]:port"; ("", "") for the rest."""
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        if not bracket or ":" not in name:
            return "", ""
    else:
        name, colon, port = host.partition(":")
        rest = colon + port
    if not rest:
        return name, default_port
    return (name, rest[1:]) if rest[0] == ":" else ("", "")


def _is_loopback(address: str) -> bool:
    """Whether this is a literal loopback address; "127.1" and "0x7f000001" are none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_loopback


def _own_origin(host: str, scope: Scope) -> str:
    """What a browser says as Origin on a page of ours: it leaves default ports out, as in Host."""
    return f"{'https' if _is_secure(scope) else 'http'}://{host.lower()}"


def _is_secure(scope: Scope) -> bool:
    return scope.get("scheme") in ("https", "wss")


# The mark counts whatever its value: the tunnel may run in another worker of the same server.
_PROXY_HEADERS = frozenset(
    {"cdn-loop", "forwarded", MARK_HEADER.decode("ascii"), "via", "x-real-ip"}
)
_PROXY_PREFIXES = ("cf-", "x-forwarded-")
