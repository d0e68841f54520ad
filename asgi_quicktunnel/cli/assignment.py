"""What the process that parses the command line hands to those that serve the app."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Self

from asgi_quicktunnel.display import DisplaySettings
from asgi_quicktunnel.errors import LocalProtocolError

__all__ = ["Assignment"]


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """The app and how to show its tunnel; the tunnel's options are environment variables.

    A child of uvicorn's is started with an import string alone, so this travels in the environment.

    Attributes:
        app: import string, as uvicorn takes it.
        factory: whether it makes the app.
        interface: as uvicorn's.
        local_url: where the server listens, without a trailing slash; None if that is not known.
        reloads: whether a reloader runs the serving process.
        display: how to show the tunnel.
    """

    app: str
    factory: bool
    interface: str
    local_url: str | None
    reloads: bool
    display: DisplaySettings

    def hand_on(self) -> None:
        """Leave it for this process and its children."""
        os.environ[VARIABLE] = json.dumps(dataclasses.asdict(self))

    @classmethod
    def take(cls) -> Self:
        """Find it.

        Raises:
            LocalProtocolError: nobody left one.
        """
        if VARIABLE not in os.environ:
            raise LocalProtocolError("there is no app to serve: use the command `run`")
        members = json.loads(os.environ[VARIABLE])
        return cls(**{**members, "display": DisplaySettings(**members["display"])})


VARIABLE = "QUICKTUNNEL_RUN_ASSIGNMENT"
