"""The requests that came through, as local visitors see them, in both modes."""

import json
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.diagnostics.routes import Diagnostics

from tests_support.local_servers import uvicorn_at
from tests_support.tunnelled import tunnelled

pytestmark = pytest.mark.anyio

LIST = "/_quicktunnel/requests"
SECRETS = {
    "authorization": "Bearer TOPSECRET-1",
    "cookie": "session=TOPSECRET-3",
    "x-api-key": "TOPSECRET-4",
}


class App:
    """Says the body back, with a cookie, and notes what it was asked."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers, body))
        answer = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(body)),
            (b"set-cookie", b"session=TOPSECRET-5"),
            (b"x-api-key", b"TOPSECRET-6"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": answer})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def page(tunnel, *, word=True):
    """A client that sees the diagnostics of a tunnel, and says the word that changes need."""
    diagnostics = Diagnostics("/_quicktunnel", lambda: tunnel)
    transport = httpx.ASGITransport(diagnostics)
    headers = {"x-quicktunnel-token": diagnostics.page_token.value} if word else {}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost:8000", headers=headers
    ) as client:
        yield client


@asynccontextmanager
async def served(mode, app, **options):
    """`async with served("proxy", app) as (tunnel, visitor, page)`."""
    if mode == "asgi":
        async with tunnelled(app, **options) as (_, tunnel, visitor), page(tunnel) as local:
            yield tunnel, visitor, local
    else:
        async with (
            uvicorn_at(app) as address,
            tunnelled(address, **options) as (_, tunnel, visitor),
            page(tunnel) as local,
        ):
            yield tunnel, visitor, local


both_modes = pytest.mark.parametrize("mode", ["asgi", "proxy"])


@both_modes
async def test_a_request_is_listed_and_described(mode):
    """With its answer, soon after it was given."""
    async with served(mode, App()) as (tunnel, visitor, local):
        assert (await visitor.post("/echo?a=1", content=b"hello")).text == "hello"
        listed = (await local.get(LIST)).json()
        (summary,) = listed["requests"]
        assert (listed["version"], listed["total"]) == (1, 1)
        assert listed["revision"] == tunnel.inspector.revision
        assert (summary["method"], summary["path"], summary["query"]) == ("POST", "/echo", "a=1")
        assert (summary["status"], summary["received"], summary["sent"]) == (200, 5, 5)
        assert summary["host"] == httpx.URL(tunnel.url).netloc.decode()
        described = (await local.get(f"{LIST}/{summary['id']}")).json()
        assert described["request"]["body"]["text"] == "hello"
        assert described["response"]["body"]["text"] == "hello"
        assert described["curl"].startswith(f"curl '{tunnel.url}/echo?a=1'")
        assert described.items() >= summary.items()


@both_modes
async def test_no_secret_is_in_any_answer(mode):
    """Not in lists, details, snippets or what a search finds; the app got them all."""
    app = App()
    async with served(mode, app, inspect_redact="X-Api-Key") as (_, visitor, local):
        await visitor.post("/", content=b"plain", headers=SECRETS)
        replayed = await local.post(f"{LIST}/1/replay")
        texts = [replayed.text]
        for path in ("", "/1", "/2", "?text=TOPSECRET", "?text=plain", "/1/nothing"):
            texts.append((await local.get(LIST + path)).text)
        assert all("TOPSECRET" not in text for text in texts)
        assert texts[1].count('"id"') == texts[5].count('"id"') == 2
        assert json.loads(texts[4])["requests"] == []
        assert texts[2].count('"***"') == 5
    for _, _, headers, _ in app.asked:
        assert headers.items() >= SECRETS.items()


@both_modes
async def test_a_replay_reaches_the_app_once(mode):
    """With the mark, the body and the real values; the result stands beside the original."""
    app = App()
    async with served(mode, app) as (_, visitor, local):
        await visitor.put("/echo", content=b"hello" * 1000, headers=SECRETS)
        answer = (await local.post(f"{LIST}/1/replay", json={})).json()
        assert answer.keys() == {"version", "id", "request"}
        assert answer["id"] == answer["request"]["id"] == "2"
        assert answer["request"]["replay_of"] == "1"
        assert answer["request"]["response"]["body"]["text"] == "hello" * 1000
        assert (await local.get(f"{LIST}/1")).json()["replays"] == ["2"]
    original, repeated = app.asked
    mark = repeated[2].pop("x-quicktunnel-replay")
    assert mark == "1"
    assert repeated == original


@both_modes
async def test_edits_reach_the_app(mode):
    """A masked value is the one that was kept, everything else is what was written."""
    app = App()
    async with served(mode, app) as (_, visitor, local):
        await visitor.get("/old", headers=SECRETS)
        edits = {
            "method": "PATCH",
            "path": "/new?x=1",
            "headers": [["cookie", "***"], ["x-mine", "yes"]],
            "body": "é",
        }
        answer = await local.post(f"{LIST}/1/replay", json=edits)
        assert answer.json()["request"]["query"] == "x=1"
    method, path, headers, body = app.asked[1]
    assert (method, path, body) == ("PATCH", "/new", "é".encode())
    assert headers["cookie"] == SECRETS["cookie"]
    assert headers["x-mine"] == "yes"
    assert "authorization" not in headers


@both_modes
async def test_a_visitor_can_not_pretend_to_be_a_replay(mode):
    """The mark is taken off what comes through the edge."""
    app = App()
    async with served(mode, app) as (_, visitor, local):
        await visitor.get("/", headers={"X-Quicktunnel-Replay": "1"})
        (summary,) = (await local.get(LIST)).json()["requests"]
        assert summary["replay_of"] is None
    assert "x-quicktunnel-replay" not in app.asked[0][2]


async def test_what_is_refused():
    """Each with its status and a sentence."""
    async with served("asgi", App()) as (_, visitor, local):
        await visitor.get("/")
        for status, method, path, body in (
            (404, "GET", "/7", None),
            (404, "POST", "/7/replay", None),
            (400, "POST", "/1/replay", b"{"),
            (400, "POST", "/1/replay", b'{"method": "a b"}'),
            (400, "POST", "/1/replay", b" " * (5 << 20)),
            (400, "GET", "?status=x", None),
        ):
            answer = await local.request(method, LIST + path, content=body)
            assert (answer.status_code, answer.json()["version"]) == (status, 1)
            assert len(answer.json()["error"]) > 20
        assert (await local.put(LIST + "/1/replay")).status_code == 405


async def test_what_can_not_be_replayed():
    """An open one and one that was cut; it is said why, and the detail says so too."""
    finish = anyio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/large":
            while (await receive())["more_body"]:
                pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/open":
            await finish.wait()
        await send({"type": "http.response.body", "body": b""})

    async with tunnelled(app) as (_, tunnel, visitor), page(tunnel) as local:
        await visitor.post("/large", content=bytes(300_000))
        async with anyio.create_task_group() as tasks, visitor.stream("GET", "/open"):
            for record_id in ("1", "2"):
                answer = await local.post(f"{LIST}/{record_id}/replay")
                described = (await local.get(f"{LIST}/{record_id}")).json()
                assert answer.status_code == 409
                assert not described["replayable"]
                assert described["why_not"] in answer.json()["error"]
            finish.set()
            tasks.cancel_scope.cancel()


async def test_what_changes_something_needs_the_word():
    """Without it nothing is sent and nothing is forgotten."""
    app = App()
    async with tunnelled(app) as (_, tunnel, visitor), page(tunnel, word=False) as local:
        await visitor.get("/")
        assert (await local.post(f"{LIST}/1/replay")).status_code == 403
        assert (await local.delete(LIST)).status_code == 403
        assert len((await local.get(LIST)).json()["requests"]) == 1
    assert len(app.asked) == 1


async def test_everything_can_be_forgotten():
    """And the next request is listed alone."""
    async with served("asgi", App()) as (tunnel, visitor, local):
        await visitor.get("/first")
        before = tunnel.inspector.revision
        assert (await local.delete(LIST)).status_code == 204
        assert (await local.get(LIST)).json()["requests"] == []
        assert tunnel.inspector.revision > before
        await visitor.get("/second")
        (summary,) = (await local.get(LIST)).json()["requests"]
        assert (summary["id"], summary["path"]) == ("2", "/second")


async def test_without_a_tunnel_there_is_nothing():
    """Lists are empty and nothing can be sent."""
    async with page(None) as local:
        listed = (await local.get(LIST)).json()
        assert listed == {"version": 1, "revision": 0, "total": 0, "requests": []}
        assert (await local.get(LIST + "/1")).status_code == 404
        assert (await local.post(LIST + "/1/replay")).status_code == 503
        assert (await local.delete(LIST)).status_code == 204


async def test_before_the_start_and_after_the_end_nothing_is_replayed():
    """It is said that the tunnel does not run; what is kept can still be seen."""
    app = App()
    stopped = QuickTunnel(app, edge="127.0.0.1:1")
    async with page(stopped) as local:
        assert (await local.post(LIST + "/1/replay")).status_code == 503
    async with tunnelled(app) as (_, tunnel, visitor):
        await visitor.get("/")
    async with page(tunnel) as local:
        answer = await local.post(LIST + "/1/replay")
        assert (answer.status_code, len(app.asked)) == (503, 1)
        assert "does not run" in answer.json()["error"]
        assert (await local.get(LIST + "/1")).json()["status"] == 200
