"""Whether and how a tunnel's requests are kept."""

from __future__ import annotations

from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.inspector.origin import InspectedOrigin
from asgi_quicktunnel.inspector.record import Record
from asgi_quicktunnel.inspector.replay import Replayer
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.origin.base import Origin

__all__ = ["Inspection"]


class Inspection:
    """The inspector of one tunnel, or that there is none.

    Args:
        origin: what answers.
        is_on: whether requests are kept; otherwise nothing stands in their way.

    Attributes:
        origin: what is to answer.
        store: what is kept, or None.
    """

    def __init__(self, origin: Origin, *, is_on: bool) -> None:
        self.origin = origin
        self.store: RequestStore | None = None
        self._replayer: Replayer | None = None
        if is_on:
            self.store = RequestStore()
            self._replayer = Replayer(origin, self.store)
            self.origin = InspectedOrigin(origin, self.store)

    async def replay(self, record_id: str, edits: Edits | None, *, is_running: bool) -> Record:
        """Send a kept request once more; see `Replayer.replay`.

        Args:
            record_id: of the original.
            edits: what is to be different, or None.
            is_running: whether the tunnel is.
        """
        if self._replayer is None:
            raise ReplayError("no requests are kept: `inspect` is off", status=404)
        if not is_running:
            raise ReplayError("the tunnel does not run, so nothing is sent once more", status=503)
        return await self._replayer.replay(record_id, edits or Edits())

    async def aclose(self) -> None:
        """Cut off what is being sent once more."""
        if self._replayer is not None:
            await self._replayer.aclose()
