"""`{% load quicktunnel %}{% public_url "/path" %}`."""

from __future__ import annotations

from django import template
from django.utils.encoding import iri_to_uri

from asgi_quicktunnel.django import current

__all__ = ["register"]

register = template.Library()


@register.simple_tag
def public_url(path: str = "") -> str:
    """The public URL of a path of this site; without a tunnel the path alone.

    Args:
        path: such as "/admin/"; none gives the URL as it was announced.
    """
    url = current.public_url()
    if url is None:
        return str(path)
    return url + iri_to_uri(f"/{str(path).lstrip('/')}") if path else url
