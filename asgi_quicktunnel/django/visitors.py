"""Requests that came through the tunnel, as Django is to see them."""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port

from asgi_quicktunnel.django.current import current, public_url
from asgi_quicktunnel.origin.base import from_tunnel
from asgi_quicktunnel.origin.mark import MARK, MARK_HEADER
from asgi_quicktunnel.origin.scope import read_fields

__all__ = ["RequestTunnel", "prepare"]


class RequestTunnel:
    """`request.quicktunnel`.

    Attributes:
        from_tunnel: whether the request came through the tunnel.
    """

    __slots__ = ("from_tunnel",)

    def __init__(self, from_tunnel: bool) -> None:
        self.from_tunnel = from_tunnel

    @property
    def url(self) -> str | None:
        """The public URL while it works, else None."""
        return public_url()


class PublicAddress(NamedTuple):
    """Scheme, host and port of the public URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> PublicAddress:
        """That of a public URL."""
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, (parts.hostname or "").rstrip("."), port)

    def is_host(self, header: str) -> bool:
        """Whether a Host header names exactly this; without a port that of either scheme."""
        domain, port = split_domain_port(header)
        if domain != self.host:
            return False
        return int(port) == self.port if port else self.port in _DEFAULT_PORTS.values()


class KnownHost:
    """Takes the place of a request's `get_host`: the tunnel's host needs no setting."""

    __slots__ = ("_host",)

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self) -> str:
        return self._host


class RefusedHost(KnownHost):
    """What DEBUG allows by itself, the names of this machine, is not for visitors of the tunnel."""

    __slots__ = ()

    def __call__(self) -> str:
        raise DisallowedHost(
            f"Invalid HTTP_HOST header: {self._host!r}. It is not the host of the tunnel."
        )


def prepare(request: HttpRequest) -> None:
    """Tell a request of the tunnel from others, and let it look as its visitor made it."""
    scope: Any = getattr(request, "scope", None)
    mark = _take_mark(request, scope)
    address: PublicAddress | None = None
    is_ours = scope is not None and from_tunnel(scope)
    if is_ours:
        if scope.get("server"):
            address = PublicAddress(scope["scheme"], *scope["server"])
    elif mark is not None and hmac.compare_digest(mark.encode("latin-1"), MARK):
        is_ours = True
        address = _from_proxy(request, scope)
    request.quicktunnel = RequestTunnel(is_ours)  # type: ignore[attr-defined]
    if is_ours:
        request.META.setdefault("REMOTE_ADDR", "")  # a visitor whose address nobody told
        _judge_host(request, address)


def _take_mark(request: HttpRequest, scope: Any) -> str | None:
    """The mark of the tunnel's own proxy, which no view is to see: with it one could forge it."""
    mark: str | None = request.META.pop(_MARK_KEY, None)
    if mark is not None and scope is not None:
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != MARK_HEADER]
    return mark


def _from_proxy(request: HttpRequest, scope: Any) -> PublicAddress | None:
    """Undo what a hop over loopback changes: scheme, the visitor's address, and our own."""
    meta = request.META
    tunnel = current.tunnel
    if tunnel is None or tunnel.given_url is None:
        return None
    address = PublicAddress.of(tunnel.given_url)
    told = [
        (name.encode("ascii"), value.encode("latin-1"))
        for name in ("cf-connecting-ip", "x-forwarded-proto")
        if (value := meta.get(f"HTTP_{name.upper().replace('-', '_')}")) is not None
    ]
    fields = read_fields(told)
    scheme = fields.forwarded_proto or address.scheme
    client = fields.client or ("", 0)
    meta["REMOTE_ADDR"] = client[0]
    if "REMOTE_HOST" in meta:
        meta["REMOTE_HOST"] = client[0]
    if "REMOTE_PORT" in meta:
        meta["REMOTE_PORT"] = client[1]
    meta["SERVER_NAME"], meta["SERVER_PORT"] = address.host, str(address.port)
    if scope is None:
        meta["wsgi.url_scheme"] = scheme
        if "HTTPS" in meta or scheme == "https":
            meta["HTTPS"] = "on" if scheme == "https" else "off"
    else:
        scope["scheme"] = scheme
        scope["client"] = fields.client
        scope["server"] = (address.host, address.port)
    return address


def _judge_host(request: HttpRequest, address: PublicAddress | None) -> None:
    """Accept exactly the tunnel's host; any other is for ALLOWED_HOSTS to judge."""
    key = "HTTP_HOST"
    if current.tunnel is not None and current.tunnel.config.host_header is not None:
        key = "HTTP_X_FORWARDED_HOST" if "HTTP_X_FORWARDED_HOST" in request.META else key
    host = request.META.get(key, "")
    if address is not None and address.is_host(host):
        request.get_host = KnownHost(host)  # type: ignore[method-assign]
    elif settings.DEBUG and not settings.ALLOWED_HOSTS:
        request.get_host = RefusedHost(host)  # type: ignore[method-assign]


_MARK_KEY = "HTTP_" + MARK_HEADER.decode("ascii").upper().replace("-", "_")
_DEFAULT_PORTS = {"http": 80, "https": 443}
