"""What is at work here."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from asgi_quicktunnel.config import PACKAGE_VERSION
from asgi_quicktunnel.transport.engines import Engine

__all__ = ["Versions", "versions_here"]


@dataclass(frozen=True, slots=True)
class Versions:
    """Names with versions.

    Attributes:
        package: our own.
        engine: what speaks QUIC.
        libraries: what else matters when something fails.
        python: implementation and version.
        system: operating system and processor.
    """

    package: str
    engine: str
    libraries: tuple[str, ...]
    python: str
    system: str

    def __str__(self) -> str:
        libraries = ", ".join(self.libraries)
        return f"QUIC by {self.engine}; {libraries}; {self.python} on {self.system}"


def versions_here(engine: Engine) -> Versions:
    """Those of this process, and the engine that carries its connections."""
    return Versions(
        package=PACKAGE_VERSION,
        engine=f"{engine.name} {engine.version}",
        libraries=tuple(map(_named, _LIBRARIES)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
    )


def _named(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} (missing)"


_LIBRARIES = ("pycapnp", "uvicorn", "httpx", "dnspython")
