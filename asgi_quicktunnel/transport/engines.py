"""Which QUIC engine carries a connection: the native one where it is installed, else aioquic."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.model import RequestHead
from asgi_quicktunnel.protocol.datastream import read_request
from asgi_quicktunnel.transport.engine import (
    ClientSettings,
    QuicAcceptor,
    QuicEngine,
    ServerSettings,
)

__all__ = ["Engine", "choose_engine"]

logger = logging.getLogger(__name__)


class DialEngine(Protocol):
    """Begins the connector's side of a connection."""

    def __call__(self, settings: ClientSettings, *, now: float) -> QuicEngine:
        """A connection whose first `datagrams_to_send` carries the client's Initial."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """A QUIC implementation behind the seam of `transport.engine`.

    Attributes:
        name: "native" or "aioquic", as the option `engine` says it.
        version: of the package that it comes from.
        dial: begins the connector's side of a connection.
        acceptor: makes the edge's side of one UDP address.
        read_request: reads the head that a stream begins with, as `datastream.read_request`.
    """

    name: str
    version: str
    dial: DialEngine
    acceptor: Callable[[ServerSettings], QuicAcceptor]
    read_request: Callable[[bytes], tuple[RequestHead, bytes] | None] = read_request


def choose_engine(name: str = "auto") -> Engine:
    """The engine that the option `engine` names.

    Args:
        name: "native", "aioquic", or "auto" for the native one where it is installed and fits this
            version, else aioquic. What speaks against an installed one is warned of once.

    Raises:
        ConfigError: the native engine is named and can't be used; the message says why.
    """
    if name == "aioquic":
        return _aioquic()
    if name == "native":
        return _native()
    return _best()


@functools.cache
def _aioquic() -> Engine:
    from aioquic import __version__

    from asgi_quicktunnel.transport.aioquic_acceptor import AioquicAcceptor
    from asgi_quicktunnel.transport.engine_aioquic import AioquicEngine

    return Engine("aioquic", __version__, AioquicEngine.client, AioquicAcceptor)


@functools.cache
def _native() -> Engine:
    try:
        from asgi_quicktunnel.transport import engine_native
    except ModuleNotFoundError as exc:
        if exc.name != _NATIVE_MODULE:
            raise ConfigError(_unusable(f"its import failed: {exc}")) from exc
        raise ConfigError(_unusable("it is not installed")) from exc
    except Exception as exc:  # a build for another machine fails in its own ways
        raise ConfigError(_unusable(f"its import failed: {exc}")) from exc
    if engine_native.INSTALLED_INTERFACE != engine_native.INTERFACE:
        installed = f"version {engine_native.VERSION} of it is installed"
        raise ConfigError(_unusable(f"{installed}, which does not fit this version"))
    return Engine(
        "native",
        engine_native.VERSION,
        engine_native.dial,
        engine_native.acceptor,
        engine_native.read_request,
    )


@functools.cache
def _best() -> Engine:
    try:
        return _native()
    except ConfigError as exc:
        if not isinstance(exc.__cause__, ModuleNotFoundError):
            logger.warning("%s; aioquic is used instead", exc)
        return _aioquic()


def _unusable(why: str) -> str:
    return (
        f"engine='native' can't be used: {why}; `pip install --upgrade asgi-quicktunnel-native` "
        "brings the one that fits, engine='aioquic' does without"
    )


_NATIVE_MODULE = "asgi_quicktunnel_native"
