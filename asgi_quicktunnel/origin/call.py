"""One call of an ASGI app, whatever comes of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["call_app"]

logger = logging.getLogger(__name__)


async def call_app(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    expected: tuple[type[Exception], ...] = (),
) -> bool:
    """Run the app and log what it did wrong.

    Args:
        app: an ASGI 3 app, or what passes for one.
        scope: the app's three.
        receive: the app's three.
        send: the app's three.
        expected: what the app may raise without being blamed.

    Returns:
        Whether it returned None, as it should.

    Raises:
        asyncio.CancelledError: this task was cancelled, rather than something within the app.
        KeyboardInterrupt: somebody pressed Ctrl-C.
    """
    try:
        returned: Any = await app(scope, receive, send)  # type: ignore[func-returns-value]  # apps err
    except expected:
        return False
    except BaseException as exc:
        if _must_pass(exc):
            raise
        logger.exception("Exception in ASGI application")
        return False
    if returned is not None:
        logger.error("ASGI callable should return None, but returned %r.", returned)
    return returned is None


def _must_pass(exc: BaseException) -> bool:
    """Whether this is meant for the whole task or process rather than the app's own failure."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(exc, (GeneratorExit, KeyboardInterrupt))
