"""Tells whoever asked for it that the public URL works: a callback and a file."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import tempfile
from pathlib import Path

from asgi_quicktunnel.config import OnUrl

__all__ = ["Announcement"]

logger = logging.getLogger(__name__)


class Announcement:
    """The options `on_url` and `url_file` of one tunnel. What fails here never stops the tunnel.

    Args:
        on_url: called with the URL each time one is announced; sync or async.
        url_file: path that holds the URL while it works.
    """

    def __init__(self, on_url: OnUrl | None, url_file: str | None) -> None:
        self._on_url = on_url
        self._path = Path(url_file) if url_file is not None else None
        self._written: str | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def announce(self, url: str) -> None:
        """Write the file and have the callback called, on the running loop."""
        if self._path is not None:
            try:
                _write(self._path, url)
                self._written = url
            except OSError as exc:
                logger.warning("url_file=%r could not be written: %s", str(self._path), exc)
        if self._on_url is not None:
            call = asyncio.get_running_loop().create_task(self._call(self._on_url, url))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def withdraw(self) -> None:
        """Remove the file if it still holds our URL; harmless when nothing was announced."""
        if self._path is None or self._written is None:
            return
        with contextlib.suppress(OSError):
            if self._path.read_text().strip() == self._written:
                self._path.unlink()
        self._written = None

    async def aclose(self) -> None:
        """Withdraw, and end callbacks that still run."""
        self.withdraw()
        calls = tuple(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _call(self, on_url: OnUrl, url: str) -> None:
        try:
            result = on_url(url)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("on_url failed")


def _write(path: Path, url: str) -> None:
    """Replace the file in one step: who reads it sees a whole URL or none."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(url + "\n")
        Path(beside).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise
