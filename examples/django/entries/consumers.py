"""The WebSocket of the page."""

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from entries.models import Entry

GROUP = "entries"


class Live(AsyncJsonWebsocketConsumer):
    """Tell a visitor how many entries there are, then each new one as it is written."""

    groups = (GROUP,)

    async def connect(self) -> None:
        """Take everybody: what is told here is on the page for all to see."""
        await self.accept()
        await self.send_json({"entries": await Entry.objects.acount()})

    async def receive(self, *args: Any, **kwargs: Any) -> None:
        """Take no messages."""

    async def entry_written(self, event: dict[str, str]) -> None:
        """Pass an entry on."""
        await self.send_json({"entry": event["text"]})
