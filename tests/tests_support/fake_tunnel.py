"""A tunnel whose moments are the test's to choose; test_fake_tunnel.py holds it to QuickTunnel."""

from __future__ import annotations

import asyncio

from asgi_quicktunnel.events import TunnelReady


class FakeTunnel:
    """Keeps a diary of what is asked of it.

    Args:
        diary: shared with whatever else the test puts in order.
        failure: what `wait_ready` raises.
        ready: whether the URL works at once; otherwise `become_ready` says when.
        close_failure: what `aclose` raises, as only a bug would.
        drained: whether `aclose` returns at once; otherwise `finish_draining` says when.
    """

    URL = "https://fake.example"

    def __init__(self, diary=None, *, failure=None, close_failure=None, ready=True, drained=True):
        self.diary = [] if diary is None else diary
        self.url = None
        self._failure = failure
        self._close_failure = close_failure
        self._listeners = []
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self.started = asyncio.Event()
        self.draining = asyncio.Event()
        if ready:
            self._ready.set()
        if drained:
            self._drained.set()

    def add_listener(self, listener):
        self._listeners.append(listener)

    def become_ready(self):
        self._ready.set()

    def finish_draining(self):
        self._drained.set()

    async def start(self):
        self.diary.append("tunnel starts")
        self.started.set()

    async def wait_ready(self):
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure
        self.url = self.URL
        self.diary.append("tunnel ready")
        for listener in self._listeners:
            listener(TunnelReady(self.URL))

    async def aclose(self):
        self.diary.append("tunnel drains")
        self.draining.set()
        try:
            await self._drained.wait()
            if self._close_failure is not None:
                raise self._close_failure
        except asyncio.CancelledError:
            self.diary.append("drain cut short")
            raise
        finally:
            self.diary.append("tunnel closed")
