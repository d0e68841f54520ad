"""The server's side of the ASGI lifespan, message by message."""

from __future__ import annotations

import asyncio
import contextlib


class LifespanServer:
    """Runs one lifespan of an app in a task, as servers do: `async with LifespanServer(app)`.

    Args:
        app: called once, with a lifespan scope.
        state: `scope["state"]`; None for a server that gives none.
        scope: further keys of the scope.
    """

    def __init__(self, app, *, state=None, **scope):
        self.app = app
        self.scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            **scope,
        }
        if state is not None:
            self.scope["state"] = state
        self.sent = []
        self._inbox = asyncio.Queue()
        self._outbox = asyncio.Queue()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.app(self.scope, self._inbox.get, self._send))
        return self

    async def __aexit__(self, *exc_info):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.task

    async def startup(self):
        """Ask for the startup; the answer."""
        return await self.ask("lifespan.startup")

    async def shutdown(self):
        """Ask for the shutdown; the answer."""
        return await self.ask("lifespan.shutdown")

    async def ask(self, kind):
        self._inbox.put_nowait({"type": kind})
        return await self.answer()

    def ask_nowait(self, kind):
        self._inbox.put_nowait({"type": kind})

    async def answer(self):
        """The next message of the app; raises what the app raised when there is none."""
        getter = asyncio.create_task(self._outbox.get())
        await asyncio.wait({getter, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done():
            if not self._outbox.empty():
                return await getter
            getter.cancel()
            self.task.result()
            raise AssertionError("the app returned without an answer")
        return getter.result()

    async def _send(self, message):
        self.sent.append(message["type"])
        self._outbox.put_nowait(message)
