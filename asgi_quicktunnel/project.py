"""What a framework says once for every tunnel of its project in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Project", "current_project", "set_project"]


class Project(Protocol):
    """A project whose framework has settings of its own, such as Django's."""

    @property
    def starts_late(self) -> bool:
        """Whether a tunnel begins with the first request where a server has no lifespan."""
        ...

    def options(self) -> Mapping[str, Any]:
        """Options of `TunnelConfig` from the project's settings; above the environment's.

        Raises:
            ConfigError: a setting that can't be used.
        """
        ...

    def on_tunnel(self, tunnel: Any) -> None:
        """Hear of a `QuickTunnel` around the project's app, before it starts."""
        ...


_project: Project | None = None


def set_project(project: Project | None) -> None:
    """Make this the project of the process; None for none."""
    global _project
    _project = project


def current_project() -> Project | None:
    """The project of this process, or None."""
    return _project
