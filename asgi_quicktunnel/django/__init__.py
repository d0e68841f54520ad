"""Django: a project with a public address. This app goes first in INSTALLED_APPS.

`application` is an ASGI application for any server, and for the setting ASGI_APPLICATION. Nothing
of Django is imported here, so that a server may import this before the project is set up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgi_quicktunnel.django.hook import DjangoApplication

if TYPE_CHECKING:
    from asgi_quicktunnel.django.current import public_url
    from asgi_quicktunnel.django.signals import tunnel_ready

__all__ = ["application", "public_url", "tunnel_ready"]

application = DjangoApplication()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


_LAZY = {
    "public_url": "asgi_quicktunnel.django.current",
    "tunnel_ready": "asgi_quicktunnel.django.signals",
}
