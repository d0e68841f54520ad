"""For TEMPLATES: `{{ quicktunnel.url }}` in every template."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from asgi_quicktunnel.django.visitors import RequestTunnel

__all__ = ["quicktunnel"]


def quicktunnel(request: HttpRequest) -> dict[str, Any]:
    """`quicktunnel`: that of the request, also where our middleware did not run."""
    return {"quicktunnel": getattr(request, "quicktunnel", None) or RequestTunnel(False)}
