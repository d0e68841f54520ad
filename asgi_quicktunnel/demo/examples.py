"""Where the examples are, and what a demo is to say of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["DemoError", "Example", "Say", "find_example"]

Say = Callable[[str], None]


class DemoError(QuickTunnelError):
    """The demo can't run here; the message says what is missing."""


class Example(Protocol):
    """One example, as the demo runs it."""

    def loaded(self) -> AbstractAsyncContextManager[QuickTunnelASGI]:
        """The application, and what it needs as long as it runs.

        Raises:
            DemoError: something that it needs is not installed.
        """
        ...

    def explain(self, public_url: str, say: Say) -> None:
        """Say what there is to try."""
        ...

    async def check(self, edge: LocalEdge, public_url: str, say: Say) -> bool:
        """Visit the example, say how it went, and whether all went well.

        Raises:
            httpx.HTTPError: the visitor was not answered.
        """
        ...


def find_example(name: str) -> Path:
    """The folder of an example, installed or in a source tree.

    Raises:
        DemoError: this installation has none.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_examples" / name, package.parent / "examples" / name):
        if folder.is_dir():
            return folder
    raise DemoError(f"the {name} example is not part of this installation")
