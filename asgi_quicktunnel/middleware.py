"""QuickTunnelASGI: an app with a tunnel around it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.diagnostics import Diagnostics
from asgi_quicktunnel.lifespan import LifespanRelay
from asgi_quicktunnel.origin.base import from_tunnel
from asgi_quicktunnel.project import current_project
from asgi_quicktunnel.publication import Publication, has_tunnel
from asgi_quicktunnel.supervision import is_supervised, name_application

if TYPE_CHECKING:
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["QuickTunnelASGI"]

logger = logging.getLogger(__name__)


class QuickTunnelASGI:
    """An ASGI 3 application that is public while it runs: `app = QuickTunnelASGI(app)`.

    Also `app.add_middleware(QuickTunnelASGI)` on Starlette and FastAPI: visitors of the tunnel then
    pass every middleware of the app. The tunnel lives in the ASGI lifespan; importing and
    wrapping start nothing.

    With `mode="proxy"` and an `origin` visitors are sent to the server that listens there, such as
    the one around this app; the tunnel lives in this app's lifespan all the same.

    Reading, setting and deleting attributes, and `isinstance`, go to the wrapped app, so it can be
    used as before. Only double-underscore names are the wrapper's own. An app without a `state`
    gets one, for `state.public_url` and `state.quicktunnel`; both are also in `request.state`.

    Args:
        app: any ASGI 3 application.
        config: options as one object.
        options: any option of `TunnelConfig`; they win over `config`, and both over the
            environment.

    Raises:
        ConfigError: an option that can't be used.
    """

    # Mangled, so that no name of an app can meet them.
    __slots__ = (
        "__app",
        "__application",
        "__config",
        "__diagnostics",
        "__enabled",
        "__has_lifespan",
        "__late",
        "__publication",
        "__state",
        "__weakref__",
    )

    def __init__(self, app: ASGIApp, config: TunnelConfig | None = None, **options: Any) -> None:
        self.__app = app
        self.__application = name_application(sys._getframe(1).f_globals.get("__name__", ""))
        self.__config = TunnelConfig.resolve(config, options, os.environ)
        self.__enabled = self.__config.is_enabled(os.environ)
        self.__has_lifespan = False
        self.__late: Any = None  # the tunnel of a server without lifespan
        self.__publication = Publication()
        self.__state = State()
        self.__diagnostics: Diagnostics | None = None
        if self.__enabled and self.__config.diagnostics_path is not None:
            publication = self.__publication
            self.__diagnostics = Diagnostics(
                self.__config.diagnostics_path,
                lambda: publication.tunnel,
                access_token=self.__config.diagnostics_token,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the server around us, or its lifespan.

        Raises:
            Exception: whatever the app raises.
        """
        if scope["type"] == "lifespan":
            self.__has_lifespan = True
            await self.__serve_lifespan(scope, receive, send)
            return
        app: ASGIApp = self.__app
        if scope["type"] in ("http", "websocket") and not from_tunnel(scope):
            if self.__has_lifespan:
                self.__publication.apply(scope)
            elif not has_tunnel(scope):  # of a wrapper around us
                self.__start_late()
                self.__publication.apply(scope)
            if self.__diagnostics is not None and self.__diagnostics.claims(scope):
                app = self.__diagnostics
        await app(scope, receive, send)

    async def __serve_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Installed by add_middleware we stand inside the app: visitors are to enter from outside.
        entry = scope.get("app", self.__app)
        publication = self.__publication
        is_tunnelled = self.__enabled and _is_runtime_supported()
        if is_tunnelled:
            scope.setdefault("state", {})  # `apply` hands it on where the server does not
        publication.open(getattr(entry, "state", self.__state), scope.get("state"))
        try:
            if not is_tunnelled:
                await self.__app(scope, receive, send)
                return
            relay = LifespanRelay(
                self.__app,
                self.__make_tunnel(entry),
                publication,
                self.__config,
                # Who starts this process has bound the port for it, and will start it again.
                start_delay=0.0 if is_supervised() else None,
            )
            await relay.run(scope, receive, send)
        finally:
            publication.close()

    def __start_late(self) -> None:
        """Begin the tunnel with this request, the first, if the project wants that."""
        project = current_project()
        if self.__late is not None or project is None or not project.starts_late:
            return
        if not self.__enabled or not _is_runtime_supported():
            return
        from asgi_quicktunnel.first_request import LateTunnel

        self.__publication.open(getattr(self.__app, "state", self.__state), None)
        self.__late = LateTunnel(self.__make_tunnel(self.__app), self.__publication)

    def __make_tunnel(self, entry: ASGIApp) -> QuickTunnel:
        # Here and not above: the QUIC engine is not imported where no tunnel is wanted.
        from asgi_quicktunnel.tunnel import QuickTunnel

        tunnel = QuickTunnel(
            entry,
            self.__config,
            state=self.__publication.state,
            application=self.__application,
        )
        if (project := current_project()) is not None:
            project.on_tunnel(tunnel)
        return tunnel

    def __getattr__(self, name: str) -> Any:
        if _is_dunder(name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        # Not `self.__app`: in an object that is still being made that would end up here again.
        app = object.__getattribute__(self, "_QuickTunnelASGI__app")
        try:
            return getattr(app, name)
        except AttributeError:
            if name == "state":
                return self.__state
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_own(name):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__app, name, value)

    def __delattr__(self, name: str) -> None:
        if _is_own(name):
            object.__delattr__(self, name)
        else:
            delattr(self.__app, name)

    @property  # type: ignore[misc]  # read-only: what `isinstance` asks after the real type
    def __class__(self) -> type[Any]:
        try:
            wrapped = self.__app.__class__
        except AttributeError:  # still being made
            return QuickTunnelASGI
        return QuickTunnelASGI if issubclass(wrapped, _PLAIN_CALLABLES) else wrapped

    def __dir__(self) -> list[str]:
        return dir(self.__app)

    def __repr__(self) -> str:
        return f"QuickTunnelASGI({self.__app!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy wraps (a copy of) the same app; a running tunnel stays with the original.
        return type(self), (self.__app, self.__config)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_own(name: str) -> bool:
    return name.startswith("_QuickTunnelASGI__") or _is_dunder(name)


def _is_runtime_supported() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        logger.warning("there is no tunnel: it needs asyncio, and this server runs on another loop")
        return False
    return True


# Servers look at the code of a plain function and at the attributes of a class to learn how to
# call it (uvicorn, hypercorn): a wrapper that passes for one would be called wrongly.
_PLAIN_CALLABLES = (
    type,
    types.BuiltinFunctionType,
    types.FunctionType,
    types.MethodType,
    functools.partial,
)
