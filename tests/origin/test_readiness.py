"""The request that proves the public URL, as the origin answers it."""

import pytest

from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.protocol.readiness import expected_answer, readiness_path

from tests_support.visit import HOST, Visit

pytestmark = pytest.mark.anyio

NONCE = "00112233445566778899aabbccddeeff"
PATH = readiness_path(NONCE).encode()


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 404})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def visit_with(nonce=NONCE, app=app, **request):
    visit = Visit(app, **{"dest": b"https://" + HOST + PATH, **request})
    visit.origin.readiness_nonce = nonce
    return visit


@pytest.mark.parametrize("dest", [b"https://" + HOST + PATH, PATH, PATH + b"?x=1"])
async def test_the_origin_answers_and_nobody_hears_of_it(dest):
    """The proof comes back, uncached; the app is not called and no event is emitted."""
    visit = await visit_with(dest=dest, app=None).run()

    assert (visit.status, visit.body) == (200, expected_answer(NONCE))
    assert visit.headers == {
        b"content-type": b"text/plain",
        b"content-length": b"64",
        b"cache-control": b"no-store",
    }
    assert visit.events == []


@pytest.mark.parametrize(
    "request_",
    [
        {"nonce": None},
        {"nonce": NONCE[::-1]},
        {"method": "POST", "body": b""},
        {"dest": PATH + b"/x"},
        {"dest": b"/x" + PATH},
        {"dest": b"/\xff"},
    ],
)
async def test_every_other_request_is_the_apps(request_):
    """Without a nonce, with another one, another method or path: the app answers, and it counts."""
    visit = await visit_with(**request_).run()

    assert visit.status == 404
    assert len(visit.events) == 1


async def test_a_websocket_is_not_the_proof():
    """It goes its own way."""
    visit = await visit_with(kind=RequestKind.WEBSOCKET).run()
    assert visit.body != expected_answer(NONCE)


@pytest.mark.parametrize("leave", ["feed_reset", "lose"])
async def test_a_visitor_that_left(leave, caplog):
    """The stream is reset, and nothing is logged."""
    visit = visit_with(app=None)
    getattr(visit.stream, leave)()
    await visit.run()

    assert visit.stream.reset_code == 0
    assert visit.status is None
    assert caplog.text == ""
