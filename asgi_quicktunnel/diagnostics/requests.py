"""The requests that came through, for local visitors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_quicktunnel.diagnostics.edits_view import MOST_JSON, read_edits
from asgi_quicktunnel.diagnostics.record_view import VIEW_VERSION, describe
from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.diagnostics.selection import Selection
from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.inspector.store import RequestStore

if TYPE_CHECKING:
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["RequestRoutes"]


class RequestRoutes:
    """Lists what is kept, describes it, sends it once more and forgets it.

    Whoever calls has seen to it that only those do so who may (`Diagnostics`).

    Args:
        tunnel: gives the tunnel of the moment, or None.
    """

    def __init__(self, tunnel: Callable[[], QuickTunnel | None]) -> None:
        self._tunnel = tunnel

    def below(self, path: str) -> list[Route]:
        """The routes, `path` and below it."""
        return [
            Route(path, self._list, methods=["GET"]),
            Route(path, self._clear, methods=["DELETE"]),
            Route(path + "/{record_id}", self._describe, methods=["GET"]),
            Route(path + "/{record_id}/replay", self._replay, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> JSONResponse:
        """Keys: `version`, `revision`, `total` (of all that are kept), `requests`, newest first."""
        try:
            selection = Selection.of(request.query_params)
        except ValueError as exc:
            return _error(400, str(exc))
        store, redaction = self._store(), self._redaction()
        records = store.records()
        revision = store.revision
        if selection.text:  # bodies are unpacked for it
            summaries = await anyio.to_thread.run_sync(selection.summaries, records, redaction)
        else:
            summaries = selection.summaries(records, redaction)
        return JSONResponse(
            {
                "version": VIEW_VERSION,
                "revision": revision,
                "total": len(records),
                "requests": summaries,
            }
        )

    async def _describe(self, request: Request) -> JSONResponse:
        record = self._store().get(request.path_params["record_id"])
        if record is None:
            return _error(404, _UNKNOWN)
        return JSONResponse(self._described(record))

    async def _replay(self, request: Request) -> JSONResponse:
        """Keys: `version`, `id` (of the new record), `request` (that of `describe`)."""
        tunnel = self._tunnel()
        if tunnel is None:
            return _error(503, "there is no tunnel, so nothing is sent once more")
        try:
            edits = read_edits(await _read(request))
            record = await tunnel.replay(request.path_params["record_id"], edits)
        except ReplayError as exc:
            return _error(exc.status, str(exc))
        return JSONResponse(
            {"version": VIEW_VERSION, "id": record.id, "request": self._described(record)}
        )

    async def _clear(self, request: Request) -> Response:
        self._store().clear()
        return Response(status_code=204)

    def _described(self, record: Record) -> dict[str, Any]:
        replays = [each for each in self._store().records() if each.replay_of == record.id]
        tunnel = self._tunnel()
        url = None if tunnel is None else tunnel.url
        return describe(record, replays, self._redaction(), url)

    def _store(self) -> RequestStore:
        """Of the tunnel; an empty one where nothing is kept."""
        tunnel = self._tunnel()
        return (tunnel and tunnel.inspector) or RequestStore()

    def _redaction(self) -> Redaction:
        tunnel = self._tunnel()
        return Redaction(tunnel.config.redacted_headers if tunnel is not None else ())


async def _read(request: Request) -> bytes:
    """The body.

    Raises:
        ReplayError: it is too long; the status is 400.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_JSON:
            raise ReplayError(f"the body has more than {MOST_JSON} bytes", status=400)
    return bytes(data)


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"version": VIEW_VERSION, "error": sentence}, status_code=status)


_UNKNOWN = "there is no such request: it never was, or it had to make room for newer ones"
