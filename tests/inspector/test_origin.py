"""An origin whose exchanges are recorded."""

import pytest

from asgi_quicktunnel.inspector.origin import InspectedOrigin
from asgi_quicktunnel.inspector.record import RecordState
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.protocol.readiness import new_nonce, readiness_path

from tests_support.fake_stream import FakeStream
from tests_support.recorded import request
from tests_support.visit import FACTS

pytestmark = pytest.mark.anyio


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the app"})


def inspected():
    store = RequestStore()
    return InspectedOrigin(AsgiOrigin(app, emit=lambda event: None), store), store


async def ask(origin, head):
    stream = FakeStream(head)
    await origin.serve(stream, FACTS)
    return bytes(stream.sent)


async def test_a_request_is_answered_and_recorded():
    """With the connection that it came over."""
    origin, store = inspected()
    assert await ask(origin, request()) == b"the app"
    (record,) = store.records()
    assert (record.status, record.response_body, record.facts) == (200, b"the app", FACTS)


async def test_a_proof_is_not_recorded():
    """Another request for that path is: nobody hides behind it."""
    origin, store = inspected()
    origin.readiness_nonce = nonce = new_nonce()
    await ask(origin, request(dest=readiness_path(nonce).encode()))
    assert store.records() == []
    assert await ask(origin, request(dest=readiness_path(new_nonce()).encode())) == b"the app"
    assert len(store.records()) == 1


@pytest.mark.parametrize(
    ("dest", "host"),
    [
        (b"/", b"management.argotunnel.com"),
        (b"/", b"Management.Argotunnel.com:443"),
        (b"https://management.argotunnel.com/", b""),
    ],
)
async def test_what_is_meant_for_the_connector_is_not_recorded(dest, host):
    """Also after visitors' requests, and after one that named no host."""
    origin, store = inspected()
    await ask(origin, request())
    await ask(origin, request(host=b""))
    await ask(origin, RequestHead(RequestKind.HTTP, dest, "GET", host))
    assert [record.id for record in store.records()] == ["2", "1"]


async def test_what_breaks_in_the_app_ends_the_record():
    """An app that fails after its head leaves a reset."""

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    store = RequestStore()
    origin = InspectedOrigin(AsgiOrigin(broken, emit=lambda event: None), store)
    await ask(origin, request())
    (record,) = store.records()
    assert record.state is RecordState.RESET


async def test_it_is_an_origin():
    """What is set on it is set on the inner one, and what ends it ends that."""
    inner = AsgiOrigin(app, emit=lambda event: None)
    origin = InspectedOrigin(inner, RequestStore())
    origin.public_url, origin.readiness_nonce = "https://x.example", "n"
    assert (inner.public_url, inner.readiness_nonce) == ("https://x.example", "n")
    assert (origin.public_url, origin.readiness_nonce) == ("https://x.example", "n")
    await origin.drain()
    assert inner._draining
    await origin.aclose()
    assert not inner._draining
