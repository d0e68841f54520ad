"""A visitor of the Django example, who tries all of it through the public URL."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

from asgi_quicktunnel.demo.examples import Say

__all__ = ["GuestbookVisitor"]


class GuestbookVisitor:
    """A visitor with cookies, who sends `Origin` with each form, as browsers do.

    Args:
        client: has the public URL as its base.
        address: of the edge's front, ip and port; no name is looked up.
        say: prints one line.
        ca_file: PEM; what a WebSocket's https is verified against.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        address: tuple[str, int],
        say: Say,
        *,
        ca_file: str | None = None,
    ) -> None:
        self._client = client
        self._address = address
        self._say = say
        self._ca_file = ca_file
        self._origin = str(client.base_url).rstrip("/")

    async def try_everything(self, name: str, password: str) -> bool:
        """Try each part of the site, and say how it went.

        Args:
            name: of an administrator.
            password: of the administrator.

        Returns:
            Whether all was well.

        Raises:
            httpx.HTTPError: the visitor was not answered.
        """
        parts: list[tuple[str, Callable[[], Awaitable[str | None]]]] = [
            ("a form with its CSRF token and a file, and the file back", self.write),
            ("a form without its token, or from another site, is refused", self.forge),
            ("scheme, host and the visitor's address, in an async view", self.ask),
            ("an async stream, part by part", self.listen),
            ("a WebSocket through Channels", self.watch),
            (f"the admin, logged in as {name}", lambda: self.administer(name, password)),
        ]
        well = True
        for what, part in parts:
            trouble = await part()
            well = well and trouble is None
            self._say(f"ok: {what}" if trouble is None else f"FAILED: {what}: {trouble}")
        return well

    async def write(self) -> str | None:
        """Write an entry with a file, and fetch the file; what went wrong, or None."""
        content = os.urandom(200_000)
        page = await self._send("/", _ENTRY, {"attachment": ("photo.bin", content)})
        if page.status_code != 302:
            return _unexpected(page)
        page = await self._client.get("/")
        if _TEXT not in page.text:
            return f"the entry is not on the page: {_unexpected(page)}"
        path = re.search(r'href="(/entries/\d+/attachment)"', page.text)
        if path is None:
            return "the page has no link to the file"
        file = await self._client.get(path[1])
        return None if file.content == content else f"another file: {_unexpected(file)}"

    async def forge(self) -> str | None:
        """Send the form as another site would make a browser do."""
        answer = await self._client.post("/", data=_ENTRY, headers={"Origin": self._origin})
        if answer.status_code != 403:
            return f"without a token: {_unexpected(answer)}"
        answer = await self._send("/", _ENTRY, origin="https://elsewhere.example")
        return None if answer.status_code == 403 else f"from elsewhere: {_unexpected(answer)}"

    async def ask(self) -> str | None:
        """Compare what the project takes a request for with what it was."""
        answer = await self._client.get("/facts")
        if answer.status_code != 200:
            return _unexpected(answer)
        facts = answer.json()
        if facts["url"] != f"{self._origin}/facts":
            return f"it takes itself for {facts['url']}"
        if facts["secure"] is not self._origin.startswith("https://"):
            return f"it takes the request for {'' if facts['secure'] else 'in'}secure"
        if facts["visitor"].startswith("127."):
            return f"it takes the visitor for {facts['visitor']}"
        return None

    async def listen(self) -> str | None:
        """Read the ticks, which come a second after each other."""
        async with self._client.stream("GET", "/ticks") as answer:
            if answer.status_code != 200:
                return f"it was answered with {answer.status_code}"
            came = [time.monotonic() async for _ in answer.aiter_lines()]
        if len(came) != _TICKS:
            return f"{len(came)} parts came rather than {_TICKS}"
        return None if came[-1] - came[0] > 1 else "all parts came at once"

    async def watch(self) -> str | None:
        """Wait at the WebSocket for an entry that is written meanwhile."""
        host, port = self._address
        url, origin = self._origin.replace("http", "ws", 1) + "/live", Origin(self._origin)
        tls = None
        if url.startswith("wss"):
            tls = ssl.create_default_context(cafile=self._ca_file)
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                connect(url, host=host, port=port, ssl=tls, origin=origin, proxy=None) as socket,
            ):
                return await self._watch(socket)
        except (OSError, TimeoutError, WebSocketException) as exc:
            return f"{type(exc).__name__}: {exc}"

    async def _watch(self, socket: ClientConnection) -> str | None:
        greeting = json.loads(await socket.recv())
        if "entries" not in greeting:
            return f"it began with {greeting}"
        await self._send("/", _ENTRY)
        news = json.loads(await socket.recv())
        return None if news == {"entry": _TEXT} else f"it said {news}"

    async def administer(self, name: str, password: str) -> str | None:
        """Log in, and look at the entries and the styles of the admin."""
        account = {"username": name, "password": password, "next": "/admin/entries/entry/"}
        answer = await self._send("/admin/login/", account)
        if answer.status_code != 302:
            return f"it did not let us in: {_unexpected(answer)}"
        page = await self._client.get(answer.headers["location"])
        if page.status_code != 200 or "Log out" not in page.text:
            return _unexpected(page)
        styles = await self._client.get("/static/admin/css/base.css")
        return None if styles.status_code == 200 else f"no styles: {_unexpected(styles)}"

    async def _send(
        self,
        path: str,
        fields: dict[str, str],
        files: dict[str, tuple[str, bytes]] | None = None,
        *,
        origin: str | None = None,
    ) -> httpx.Response:
        """Fetch a form and send it, as a page of `origin`, or of the site itself."""
        form = await self._client.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        if token is None:
            return form
        return await self._client.post(
            path,
            data={"csrfmiddlewaretoken": token[1], **fields},
            files=files,
            headers={"Origin": origin or self._origin},
        )


def _unexpected(answer: httpx.Response) -> str:
    request = answer.request
    return f"{request.method} {request.url} answered {answer.status_code}"


_ENTRY = {"name": "Ada", "message": "It works."}
_TEXT = "Ada: It works."
_TICKS = 3
_PATIENCE = 20.0  # s
