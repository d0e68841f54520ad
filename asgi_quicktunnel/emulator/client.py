"""An httpx client that finds every name under .localhost at the front."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from asgi_quicktunnel.emulator.names import DOMAIN

__all__ = ["visitor_client"]


def visitor_client(
    address: tuple[str, int], ca_file: str, *, domain: str = DOMAIN, **options: Any
) -> httpx.AsyncClient:
    """A visitor.

    Args:
        address: of the front.
        ca_file: PEM; what https is verified against, with the name of the URL.
        domain: every name under it is found at the front.
        options: of `httpx.AsyncClient`. Proxy variables are ignored unless `trust_env=True`.
    """
    transport = _FrontTransport(address, ssl.create_default_context(cafile=ca_file), domain)
    return httpx.AsyncClient(**{"transport": transport, "trust_env": False, **options})


class _FrontTransport(httpx.AsyncBaseTransport):
    """Many resolvers don't know the names, so the address takes their place."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, domain: str) -> None:
        self._host, self._port = address
        self._suffix = f".{domain}"
        self._transport = httpx.AsyncHTTPTransport(verify=context)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if name.endswith(self._suffix):
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=self._host, port=self._port),
                headers=request.headers,  # Host is among them
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": name},
            )
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
