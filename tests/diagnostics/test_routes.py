"""The diagnostics as local visitors, attackers and middleware around them see it."""

import uuid
from urllib.parse import unquote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_quicktunnel.diagnostics.routes import Diagnostics
from asgi_quicktunnel.events import TunnelState
from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.origin.pool import PoolStatistics
from asgi_quicktunnel.statistics import ConnectionStatistics, Transferred, TunnelStatistics
from asgi_quicktunnel.transport.base import TransportStatistics
from asgi_quicktunnel.tunnel import QuickTunnel

pytestmark = pytest.mark.anyio

OWN = "http://localhost:8000"
STATUS = "/_quicktunnel/status"


class Snapshot:
    """Has the one method that the diagnostics ask of a tunnel."""

    def __init__(self, statistics):
        self._statistics = statistics

    def statistics(self):
        return self._statistics


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


async def test_status_without_a_tunnel():
    """Where no lifespan has begun, the shape is the same and nothing is made up."""
    response = await get(STATUS)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "version": 1,
        "state": "stopped",
        "cause": None,
        "since": None,
        "url": None,
        "connector_id": None,
        "reconnects": 0,
        "streams_total": 0,
        "bytes_received": 0,
        "bytes_sent": 0,
        "connections": [],
        "pool": None,
    }


async def test_status_of_a_tunnel_with_a_connection():
    """Every documented key is there, in JSON's types."""
    transport = TransportStatistics(
        address=EdgeAddress("2001:db8::7", 7844),
        engine="native",
        rtt=0.02,
        streams_open=1,
        streams_total=5,
        streams_refused=2,
        bytes_received=300,
        bytes_sent=400,
        packets_lost=3,
    )
    tunnel = Snapshot(
        TunnelStatistics(
            state=TunnelState.DEGRADED,
            cause="the peer went silent",
            since=1.5e9,
            url="https://words.example",
            connector_id=uuid.UUID(int=7),
            connections=(ConnectionStatistics(0, "bog01", 12.5, 5, transport),),
            transferred=Transferred(8, 600, 700),
            reconnects=1,
            pool=PoolStatistics(open=6, idle=5, created=9, reused=8, retried=2, failures=4),
        )
    )
    app = Around(the_app, Diagnostics("/_quicktunnel", lambda: tunnel))
    assert (await get(STATUS, app=app)).json() == {
        "version": 1,
        "state": "degraded",
        "cause": "the peer went silent",
        "since": 1.5e9,
        "url": "https://words.example",
        "connector_id": "00000000-0000-0000-0000-000000000007",
        "reconnects": 1,
        "streams_total": 8,
        "bytes_received": 600,
        "bytes_sent": 700,
        "connections": [
            {
                "conn_index": 0,
                "colo": "bog01",
                "address": "[2001:db8::7]:7844",
                "engine": "native",
                "age": 12.5,
                "rtt": 0.02,
                "requests": 5,
                "streams_open": 1,
                "streams_refused": 2,
                "bytes_received": 300,
                "bytes_sent": 400,
                "packets_lost": 3,
            }
        ],
        "pool": {
            "open": 6,
            "idle": 5,
            "created": 9,
            "reused": 8,
            "retried": 2,
            "failures": 4,
        },
    }


@pytest.mark.parametrize(
    ("url", "count", "status"),
    [("https://words.example", 1, 200), ("https://words.example", 0, 503), (None, 1, 503)],
)
async def test_readiness(url, count, status):
    """Ready is an announced URL with a connection that serves; the HTTP status says the same."""
    transport = TransportStatistics(
        EdgeAddress("192.0.2.1", 7844), "aioquic", None, 0, 0, 0, 0, 0, 0
    )
    connection = ConnectionStatistics(0, "bog01", 1.0, 0, transport)
    tunnel = Snapshot(
        TunnelStatistics(
            state=TunnelState.READY,
            cause=None,
            since=0.0,
            url=url,
            connector_id=uuid.UUID(int=7),
            connections=(connection,) * count,
            transferred=Transferred(),
            reconnects=0,
        )
    )
    app = Around(the_app, Diagnostics("/_quicktunnel", lambda: tunnel))
    answer = await get(f"{OWN}/_quicktunnel/ready", app=app)
    assert answer.status_code == status
    assert answer.json() == {
        "status": status,
        "readyConnections": count,
        "connectorId": "00000000-0000-0000-0000-000000000007",
    }


async def test_readiness_without_a_tunnel():
    """Where there is no tunnel, nothing is ready."""
    answer = await get(f"{OWN}/_quicktunnel/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": 503, "readyConnections": 0, "connectorId": None}


async def test_status_of_a_tunnel_that_was_not_started():
    """A real tunnel at rest is described as stopped."""
    tunnel = QuickTunnel(the_app, enabled=False)
    app = Around(the_app, Diagnostics("/_quicktunnel", lambda: tunnel))
    answer = (await get(STATUS, app=app)).json()
    assert (answer["state"], answer["url"], answer["connections"]) == ("stopped", None, [])


@pytest.mark.parametrize("path", [STATUS, "/_quicktunnel", "/_quicktunnel/no-such-page"])
async def test_answers_stay_private(path):
    """Whatever the status: not stored, not framed, not loaded by other origins."""
    response = await get(path)
    assert response.status_code == (200 if path == STATUS else 404)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_only_reading_is_answered():
    """HEAD is GET without a body; other methods are refused."""
    async with visitor(Around(the_app)) as client:
        head = await client.head(STATUS)
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.post(STATUS)).status_code == 405
        assert (await client.options(STATUS)).status_code == 405


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


async def test_a_websocket_of_our_own_page_is_closed():
    """There is no WebSocket here yet, and the app's is not reached under our path."""
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
