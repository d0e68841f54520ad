"""The middleware that the app puts first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from asgi_quicktunnel.django.visitors import prepare

__all__ = ["QuickTunnelMiddleware"]


class QuickTunnelMiddleware:
    """Knows requests of the tunnel, and gives every request its `request.quicktunnel`.

    For those of the tunnel alone the tunnel's host is an allowed one. Where they came to this
    server through a socket, scheme, REMOTE_ADDR, SERVER_NAME and SERVER_PORT become the visitor's.

    Args:
        get_response: what is next, sync or async.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Prepare the request, and hand it on."""
        prepare(request)
        return cast("HttpResponseBase | Awaitable[HttpResponseBase]", self._get_response(request))
