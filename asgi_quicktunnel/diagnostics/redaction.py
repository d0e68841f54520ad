"""Headers as they may be shown: without the values that open something."""

from __future__ import annotations

from collections.abc import Collection

from asgi_quicktunnel.inspector.edits import MASK
from asgi_quicktunnel.model import Headers

__all__ = ["Redaction", "text_of"]


class Redaction:
    """Which values are masked.

    Args:
        more: names of headers, in lower case, besides those that always are.
    """

    def __init__(self, more: Collection[str] = ()) -> None:
        self._names = _ALWAYS | {name.lower().encode("latin-1") for name in more}

    def masks(self, name: bytes) -> bool:
        """Whether the values of a header, named in any case, are not shown."""
        return name.lower() in self._names

    def show(self, headers: Headers) -> list[tuple[str, str]]:
        """The headers as text, in order, those values masked."""
        return [
            (text_of(name), MASK if self.masks(name) else text_of(value)) for name, value in headers
        ]


def text_of(value: bytes) -> str:
    """A name or a value as text: UTF-8 where it is that, else Latin-1, which anything is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


_ALWAYS = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
