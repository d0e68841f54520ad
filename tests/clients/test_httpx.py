"""httpx as a visitor."""

import hashlib
import os

import pytest

from tests_support.client_site import PAGE, make_site
from tests_support.tunnelled import tunnelled

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["http", "https"])
def edge_options(request):
    return {"tls": request.param}


async def test_pages_and_methods(edge_options):
    """Pages, 404s and every ordinary method reach the app under the public URL."""
    async with tunnelled(make_site(), edge_options=edge_options) as (_, tunnel, visitor):
        assert (await visitor.get("/")).text == PAGE
        assert (await visitor.get("/missing")).status_code == 404
        for method in ("GET", "POST", "DELETE", "PATCH"):
            facts = (await visitor.request(method, "/facts", params={"q": "ä/b"})).json()
            assert facts["method"] == method
            assert facts["url"] == tunnel.url + "/facts?q=%C3%A4%2Fb"
        assert (await visitor.put("/facts")).status_code == 405


async def test_forms_with_files(edge_options):
    """Fields and files of a form arrive whole, names beyond ASCII included."""
    content = os.urandom(500_000)
    files = {"file": ("größe.bin", content), "empty": ("empty.txt", b"")}
    async with tunnelled(make_site(), edge_options=edge_options) as (_, _, visitor):
        answer = await visitor.post("/form", data={"name": "Ада"}, files=files)

    fields = answer.json()
    assert fields["name"] == "Ада"
    assert fields["file"] == {
        "filename": "größe.bin",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert fields["empty"]["size"] == 0


async def test_parts_arrive_while_the_answer_goes_on():
    """Each part of a streamed answer is here before the next one is made."""
    async with (
        tunnelled(make_site()) as (_, _, visitor),
        visitor.stream("GET", "/ticks") as answer,
    ):
        lines = answer.aiter_lines()
        for number in range(3):
            assert await anext(lines) == f"tick {number}"
            await visitor.post("/tick")
        assert [line async for line in lines] == []


async def test_a_client_that_keeps_cookies_and_follows_redirects():
    """The redirect stays on the public name; the cookie comes back with the next request."""
    async with tunnelled(make_site()) as (_, tunnel, visitor):
        answer = await visitor.get("/away", follow_redirects=True)
        assert str(answer.url) == tunnel.url + "/facts"
        assert answer.json()["headers"]["cookie"] == "visited=yes"
