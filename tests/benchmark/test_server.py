import asyncio

import pytest

from bench.server import ENDLESS, BareApp


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Visitor:
    """Says what it was made with, then that it is gone."""

    def __init__(self, *messages):
        self._messages = list(messages)
        self.sent = []
        self.enough = asyncio.Event()

    async def receive(self):
        if self._messages:
            return self._messages.pop(0)
        await self.enough.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)
        if len(self.sent) == 5:
            self.enough.set()


async def ask(app, path, visitor):
    async with asyncio.timeout(5):
        await app({"type": "http", "path": path}, visitor.receive, visitor.send)
    return b"".join(message.get("body", b"") for message in visitor.sent)


@pytest.mark.anyio
async def test_what_the_load_generator_expects():
    """A small answer has 100 bytes, another as many as were asked for."""
    app = BareApp()
    assert len(await ask(app, "/small", Visitor())) == 100
    assert len(await ask(app, "/bytes/12345", Visitor())) == 12345


@pytest.mark.anyio
async def test_an_answer_without_end_ends_with_its_visitor():
    """The length that was promised is never reached, and nobody sends to who is gone."""
    visitor = Visitor()
    await ask(BareApp(), "/endless", visitor)
    assert dict(visitor.sent[0]["headers"])[b"content-length"] == ENDLESS
    assert len(visitor.sent) < 10


@pytest.mark.anyio
async def test_what_arrives_is_counted_while_it_arrives():
    """Also of an upload that was given up."""
    app = BareApp()
    visitor = Visitor(
        {"type": "http.request", "body": b"x" * 1000, "more_body": True},
        {"type": "http.request", "body": b"x" * 24, "more_body": True},
        {"type": "http.disconnect"},
    )
    await ask(app, "/sink", visitor)
    assert visitor.sent == []
    assert await ask(app, "/received", Visitor()) == b"1024"
