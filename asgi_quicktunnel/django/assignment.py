"""What `manage.py tunnel` hands to the processes that serve the project."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from asgi_quicktunnel.config import TunnelConfig, environment_name

__all__ = ["Assignment", "parse_option"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """How to serve the project; a child of uvicorn's gets an import string alone.

    Attributes:
        options: of `TunnelConfig`, as the environment would spell them; above QUICKTUNNEL.
        static_files: whether files of the apps are served while DEBUG is set.
        local_url: where the server listens, without a trailing slash; None if that is not known.
        reloads: whether a reloader runs the serving process.
        quiet: no line for each request of the tunnel.
        qr: a QR code of the URL where there is room for it.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    static_files: bool = True
    local_url: str | None = None
    reloads: bool = False
    quiet: bool = False
    qr: bool = True

    def hand_on(self) -> None:
        """Leave it for this process and its children."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def take(cls) -> Self | None:
        """Find it; None where this is no process of that command."""
        text = os.environ.get(VARIABLE)
        return None if text is None else cls(**json.loads(text))

    def parsed_options(self) -> dict[str, Any]:
        """The options with their values.

        Raises:
            ConfigError: a value that can't be used; `parse_option` let none pass.
        """
        return {option: parse_option(option, text) for option, text in self.options.items()}


def parse_option(option: str, text: str) -> Any:
    """The value of an option that the environment can set.

    Raises:
        ConfigError: it can't be used.
    """
    return getattr(TunnelConfig.from_env({environment_name(option): text}), option)


VARIABLE = "QUICKTUNNEL_DJANGO_ASSIGNMENT"
