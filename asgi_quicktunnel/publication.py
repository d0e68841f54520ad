"""Where the app and its requests find the tunnel."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.types import Scope

__all__ = ["TUNNEL_KEY", "URL_KEY", "Publication", "has_tunnel"]

logger = logging.getLogger(__name__)


class Publication:
    """`public_url` (str or None) and `quicktunnel` (the tunnel or None), in every place at once.

    The places: `app.state`, the lifespan state of the server (which copies it into each of its
    requests, some servers once and for all), and `state`, of which each request of the tunnel gets
    a copy. `apply` covers the requests of servers whose copy is stale or that give none.

    Attributes:
        state: the app's lifespan state with the two names in it. Ours, because a server may clear
            its own before the last requests of the tunnel are answered (granian does).
    """

    __slots__ = ("_app_state", "_server_state", "state")

    def __init__(self) -> None:
        self.state = _nothing()
        self._app_state: object = None
        self._server_state: MutableMapping[str, Any] = {}

    @property
    def tunnel(self) -> Any:
        """What was published as `quicktunnel`; None while no tunnel belongs to the app."""
        return self.state[TUNNEL_KEY]

    def open(self, app_state: object, server_state: MutableMapping[str, Any] | None) -> None:
        """Publish in these places from now on, beginning with two times None.

        Args:
            app_state: `app.state`: an object that takes attributes, or a mapping.
            server_state: the state of the lifespan scope, None when the server gives none.
        """
        self._app_state = app_state
        self._server_state = {} if server_state is None else server_state
        self.publish(None, None)

    def adopt_lifespan_state(self) -> None:
        """Take over what the app's startup put into the server's state; our two names stay."""
        names = self._names()
        self.state.update(self._server_state)
        self.state.update(names)

    def publish(self, tunnel: object, url: str | None) -> None:
        """Say in every place that this is the tunnel and its URL."""
        for name, value in ((URL_KEY, url), (TUNNEL_KEY, tunnel)):
            self.state[name] = value
            self._server_state[name] = value
            _set(self._app_state, name, value)

    def close(self) -> None:
        """Take both names back, and let go of the places."""
        self.publish(None, None)
        self.state = _nothing()
        self._app_state = None
        self._server_state = {}

    def apply(self, scope: Scope) -> None:
        """Put both names into `scope["state"]`; the scope stays the same object."""
        state = scope.get("state")
        if state is None:
            scope["state"] = self.state.copy()
        else:
            state.update(self._names())

    def _names(self) -> dict[str, Any]:
        return {URL_KEY: self.state[URL_KEY], TUNNEL_KEY: self.state[TUNNEL_KEY]}


def has_tunnel(scope: Scope) -> bool:
    """Whether a tunnel was published to this request, by a wrapper further out."""
    return (scope.get("state") or {}).get(TUNNEL_KEY) is not None


URL_KEY = "public_url"
TUNNEL_KEY = "quicktunnel"


def _nothing() -> dict[str, Any]:
    return {URL_KEY: None, TUNNEL_KEY: None}


def _set(target: object, name: str, value: object) -> None:
    if isinstance(target, MutableMapping):
        target[name] = value
        return
    try:
        setattr(target, name, value)
    except (AttributeError, TypeError):
        logger.debug("app.state (%s) takes no %s", type(target).__name__, name)
