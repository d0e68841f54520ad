"""The diagnostics as local visitors, attackers and middleware around them see it."""

from urllib.parse import unquote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_quicktunnel.diagnostics.routes import Diagnostics
from asgi_quicktunnel.diagnostics.status import describe, describe_readiness

pytestmark = pytest.mark.anyio

OWN = "http://localhost:8000"
STATUS = "/_quicktunnel/status"


async def the_app(scope, receive, send):
    """Answers what the diagnostics do not claim."""
    await PlainTextResponse("the app", 418)(scope, receive, send)


class Around:
    """Offers each request to the diagnostics first, as `QuickTunnelASGI` does."""

    def __init__(self, app, diagnostics=None):
        self.app = app
        self.diagnostics = diagnostics or Diagnostics("/_quicktunnel", lambda: None)

    async def __call__(self, scope, receive, send):
        claimed = scope["type"] != "lifespan" and self.diagnostics.claims(scope)
        await (self.diagnostics if claimed else self.app)(scope, receive, send)


def visitor(app, *, client=("127.0.0.1", 50000), root_path=""):
    transport = httpx.ASGITransport(app, client=client, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url=OWN)


async def get(url, *, app=None, **headers):
    async with visitor(app or Around(the_app)) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.get(url, headers=named)


async def test_status():
    """What describes the tunnel comes as JSON."""
    response = await get(STATUS)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == describe(None)


async def test_readiness():
    """The HTTP status says what the body says; without a tunnel nothing is ready."""
    response = await get("/_quicktunnel/ready")
    assert response.status_code == 503
    assert response.json() == describe_readiness(None)


async def test_traffic_and_metrics():
    """Both are there, the second in the format that Prometheus asks for."""
    described = (await get("/_quicktunnel/traffic")).json()
    assert (described["version"], described["counts"]) == (1, [])
    plain = await get("/_quicktunnel/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "quicktunnel_build_info{" in plain.text
    modern = await get("/_quicktunnel/metrics", accept="application/openmetrics-text")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1")
    assert modern.text.endswith("# EOF\n")
    for response in (plain, modern):
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [STATUS, "/_quicktunnel", "/_quicktunnel/no-such-page"])
async def test_answers_stay_private(path):
    """Whatever the status: not stored, not framed, not loaded by other origins."""
    response = await get(path)
    assert response.status_code == (404 if "no-such" in path else 200)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_only_reading_is_answered():
    """HEAD is GET without a body; other methods are refused."""
    async with visitor(Around(the_app)) as client:
        head = await client.head(STATUS)
        assert (head.status_code, head.content) == (200, b"")
        token = (await client.get("/_quicktunnel/token")).json()["token"]
        trusted = {"x-quicktunnel-token": token}
        assert (await client.post(STATUS, headers=trusted)).status_code == 405
        assert (await client.options(STATUS)).status_code == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize("path", [STATUS, "/_quicktunnel/requests/1/replay", "/_quicktunnel"])
async def test_what_changes_something_needs_the_token(method, path):
    """Without the word that our page knows it is refused, whatever it asks for."""
    app = Around(the_app)
    async with visitor(app) as client:
        for headers in ({}, {"x-quicktunnel-token": "x"}, {"x-quicktunnel-token": ""}):
            refused = await client.request(method, path, headers=headers)
            assert refused.status_code == 403
            assert refused.headers["cache-control"] == "no-store"
            assert refused.json() == {
                "version": 1,
                "error": "this needs the header X-Quicktunnel-Token; GET /_quicktunnel/token "
                "gives it",
            }
        trusted = {"x-quicktunnel-token": app.diagnostics.page_token.value}
        answer = await client.request(method, path, headers=trusted)
        assert answer.status_code in (
            404,
            405,
            503,
        )  # the last where there is no tunnel to replay in


async def test_the_token_is_given_to_readers():
    """It is the same each time, and another app's is another."""
    app = Around(the_app)
    described = (await get("/_quicktunnel/token", app=app)).json()
    assert described == {"version": 1, "token": app.diagnostics.page_token.value}
    assert (await get("/_quicktunnel/token", app=app)).json() == described
    assert (await get("/_quicktunnel/token")).json() != described


SECRET = "a-secret-of-mine-alone"


def guarded():
    diagnostics = Diagnostics("/_quicktunnel", lambda: None, access_token=SECRET)
    return Around(the_app, diagnostics)


async def test_a_neighbour_with_the_secret_is_answered():
    """By header; without it, or with another one, the app is all there is."""
    async with visitor(guarded(), client=("192.168.1.7", 1)) as neighbour:
        shown = {"authorization": f"Bearer {SECRET}", "host": "devbox:8000"}
        answer = await neighbour.get(STATUS, headers=shown)
        assert answer.json() == describe(None)
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        for headers in ({}, {"authorization": f"Bearer {SECRET[:-1]}"}):
            assert (await neighbour.get(STATUS, headers=headers)).text == "the app"
        assert (await neighbour.get(STATUS, params={"token": "x" * 20})).text == "the app"
        assert (await neighbour.get("/", params={"token": SECRET})).text == "the app"
    async with visitor(Around(the_app), client=("192.168.1.7", 1)) as neighbour:
        assert (await neighbour.get(STATUS, headers=shown)).text == "the app"


async def test_a_neighbours_browser_shows_the_secret_once():
    """The query becomes a cookie of our path, and the address that is left has no secret."""
    async with visitor(guarded(), client=("192.168.1.7", 1)) as neighbour:
        first = await neighbour.get(STATUS, params={"a": "1", "token": SECRET})
        assert (first.status_code, first.headers["location"]) == (303, STATUS + "?a=1")
        assert SECRET not in first.headers["set-cookie"]
        assert first.headers["cache-control"] == "no-store"
        assert (await neighbour.get(first.headers["location"])).json() == describe(None)
        token = (await neighbour.get("/_quicktunnel/token")).json()["token"]
        trusted = {"x-quicktunnel-token": token}
        assert (await neighbour.post(STATUS)).status_code == 403
        assert (await neighbour.post(STATUS, headers=trusted)).status_code == 405
        assert (await neighbour.get("/")).request.headers.get("cookie") is None


@pytest.mark.parametrize(
    ("path", "root_path", "where"),
    [(STATUS, "", "/_quicktunnel"), ("/api" + STATUS, "/api", "/api/_quicktunnel")],
)
async def test_the_cookie_has_the_path_that_the_visitor_sees(path, root_path, where):
    """Also where the server's root_path stands before it."""
    async with visitor(guarded(), root_path=root_path) as client:
        first = await client.get(path, params={"token": SECRET})
    assert first.headers["location"] == path
    assert f"; Path={where}; " in first.headers["set-cookie"]


async def test_the_secret_leaves_the_scope_before_anybody_logs_it():
    """Servers write their access log from the scope, when the answer begins."""
    for method in ("GET", "POST"):
        scope = http_scope(
            raw_path=STATUS.encode(), method=method, query_string=f"token={SECRET}&a".encode()
        )
        diagnostics = guarded().diagnostics
        assert diagnostics.claims(scope)
        assert await status_of(diagnostics, scope) == (303 if method == "GET" else 403)
        assert scope["query_string"] == b"a"


@pytest.mark.parametrize(
    "path",
    [
        "//_quicktunnel/status",
        "/./_quicktunnel/status",
        "/x/../_quicktunnel/status",
        "/%5fquicktunnel/status",
        "/%5Fquicktunnel/status",
        "/_quicktunnel/%73tatus",
        "/_quicktunnel%2fstatus",
        "/_QUICKTUNNEL/status",
        "/_quicktunnelstatus",
        "/x/_quicktunnel/status",
        "/_quicktunnel;/status",
        "/_quicktunnel%00/status",
    ],
)
async def test_only_the_plain_spelling_of_the_path_is_ours(path):
    """What a filter in front might have read differently goes to the app."""
    scope = http_scope(raw_path=path.encode())
    assert not Diagnostics("/_quicktunnel", lambda: None).claims(scope)


@pytest.mark.parametrize(
    "path",
    [
        "/_quicktunnel/../_quicktunnel/status",
        "/_quicktunnel/./status",
        "/_quicktunnel//status",
        "/_quicktunnel/status/",
        "/_quicktunnel/status/../status",
    ],
)
async def test_detours_below_the_path_lead_nowhere(path):
    """Paths are compared, never resolved, and there is no redirect."""
    scope = http_scope(raw_path=path.encode())
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    assert diagnostics.claims(scope)
    assert await status_of(diagnostics, scope) == 404


def http_scope(*, raw_path, **changes):
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": unquote(raw_path.decode()),
        "raw_path": raw_path,
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"localhost:8000")],
    } | changes


async def status_of(app, scope):
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, send)
    return statuses[0]


async def test_a_raw_path_that_contradicts_the_path_is_not_ours():
    """Two readings of one request are one too many."""
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    assert diagnostics.claims(http_scope(raw_path=STATUS.encode()))
    assert not diagnostics.claims(http_scope(raw_path=b"/", path=STATUS))
    assert not diagnostics.claims(http_scope(raw_path=STATUS.encode(), path="/"))


async def test_a_server_need_not_give_the_raw_path():
    """ASGI has it optional."""
    scope = http_scope(raw_path=STATUS.encode())
    del scope["raw_path"]
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    assert diagnostics.claims(scope)
    assert diagnostics.claims(scope | {"raw_path": None})


@pytest.mark.parametrize("path", [STATUS, "/api" + STATUS])
async def test_a_root_path_is_looked_through(path):
    """Some servers put root_path before the path, some don't; either way ours is below it."""
    scope = http_scope(raw_path=path.encode(), root_path="/api")
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    assert diagnostics.claims(scope)
    assert await status_of(diagnostics, scope) == 200


async def test_the_path_is_an_option():
    """Another path moves the diagnostics, and the usual one is the app's then."""
    app = Around(the_app, Diagnostics("/debug/tunnel", lambda: None))
    assert (await get("/debug/tunnel/status", app=app)).status_code == 200
    assert (await get(STATUS, app=app)).text == "the app"


async def test_who_is_not_local_sees_the_app():
    """Other peers, other hosts and forwarded requests get what the app says, unchanged."""
    async with visitor(Around(the_app), client=("192.168.1.7", 1)) as neighbour:
        assert (await neighbour.get(STATUS)).text == "the app"
    for headers in (
        {"host": "attacker.example:8000"},
        {"x_forwarded_for": "127.0.0.1"},
        {"origin": "https://attacker.example"},
        {"sec_fetch_site": "cross-site"},
    ):
        response = await get(STATUS, **headers)
        assert (response.status_code, response.text) == (418, "the app")
        assert "x-frame-options" not in response.headers


def inside_a_stack():
    """A Starlette app with the diagnostics inside and a permissive CORS middleware outside."""
    app = Starlette(routes=[Route("/", PlainTextResponse("the app"))])
    app.add_middleware(Around)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    return app


async def test_no_cors_header_under_a_cors_middleware():
    """What is answered within a stack carries no CORS header, whoever stands outside."""
    response = await get(STATUS, app=inside_a_stack(), sec_fetch_site="same-origin")
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", [OWN, "https://attacker.example", "null"])
async def test_a_request_with_an_origin_is_the_apps_within_a_stack(origin):
    """Where a middleware may add CORS headers to an answer of ours, it gets none to add them to."""
    response = await get(STATUS, app=inside_a_stack(), origin=origin)
    assert response.status_code == 404
    assert "connector_id" not in response.text


async def test_the_page_s_files_are_answered_within_a_stack():
    """Browsers name the origin with scripts that are modules: ours is answered, no other."""
    script = "/_quicktunnel/static/app.js"
    assert (await get(script, app=inside_a_stack(), origin=OWN)).status_code == 200
    other = await get(script, app=inside_a_stack(), origin="https://attacker.example")
    assert other.status_code == 404


async def test_our_page_is_answered_within_a_stack_when_it_has_the_token():
    """A browser names the origin of each POST, so the token has to tell that it is our page's."""
    app = inside_a_stack()
    async with visitor(app) as client:
        token = (await client.get("/_quicktunnel/token")).json()["token"]
        own = {"origin": OWN}
        trusted = own | {"x-quicktunnel-token": token}
        assert (await client.post(STATUS, headers=trusted)).status_code == 405
        assert (await client.post(STATUS, headers=own)).status_code == 404
        assert (await client.get(STATUS, headers=trusted)).status_code == 404
        other = trusted | {"origin": "https://attacker.example"}
        assert (await client.post(STATUS, headers=other)).status_code == 404


async def test_our_own_origin_is_answered_where_nothing_stands_outside():
    """Around the whole app there is no middleware that could add a header."""
    response = await get(STATUS, origin=OWN)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_the_scope_outside_is_left_alone():
    """What our router writes into the scope is not seen by those around."""
    scope = http_scope(raw_path=STATUS.encode())
    before = dict(scope)
    await status_of(Diagnostics("/_quicktunnel", lambda: None), scope)
    assert scope == before


async def test_a_websocket_where_there_is_none_is_closed():
    """The app's is not reached under our path."""
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {"type": "websocket.connect"}

    own = [(b"host", b"localhost:8000"), (b"origin", OWN.encode())]
    scope = http_scope(raw_path=STATUS.encode(), type="websocket", scheme="ws", headers=own)
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    assert diagnostics.claims(scope)
    await diagnostics(scope, receive, send)
    assert sent == ["websocket.close"]
