"""Whether and how a tunnel's requests are kept."""

import pytest

from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.inspector.inspection import Inspection
from asgi_quicktunnel.origin.asgi import AsgiOrigin

from tests_support.recorded import exchange

pytestmark = pytest.mark.anyio


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def refused(replaying):
    with pytest.raises(ReplayError) as caught:
        await replaying
    return caught.value.status


@pytest.fixture
def origin():
    return AsgiOrigin(app, emit=lambda event: None)


async def test_switched_off(origin):
    """Nothing stands before the origin, and nothing is kept that could be sent once more."""
    off = Inspection(origin, is_on=False)
    assert (off.origin, off.store) == (origin, None)
    assert await refused(off.replay("1", None, is_running=True)) == 404
    await off.aclose()


async def test_switched_on(origin):
    """What is kept can be sent once more while the tunnel runs, changed or not."""
    on = Inspection(origin, is_on=True)
    assert on.origin is not origin
    await exchange(store=on.store)
    assert (await on.replay("1", None, is_running=True)).response_body == b"/"
    edited = await on.replay("1", Edits(path="/x"), is_running=True)
    assert edited.response_body == b"/x"
    assert await refused(on.replay("1", None, is_running=False)) == 503
    assert await refused(on.replay("9", None, is_running=True)) == 404
    await on.aclose()
