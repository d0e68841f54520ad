import logging

import anyio
import pytest

from asgi_quicktunnel.events import RequestDone
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.origin.base import from_tunnel

from tests_support.fake_stream import FakeStream
from tests_support.visit import FACTS, HOST, Visit

pytestmark = pytest.mark.anyio


class Greeter:
    """Answers 200 "hello" and keeps the scopes it was called with."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})


async def test_the_app_answers_in_place():
    """A request of the tunnel is one call of the app, with a marked scope."""
    app = Greeter()
    visit = await Visit(app, dest=b"https://" + HOST + b"/a?b").run()

    assert (visit.status, visit.body) == (200, b"hello")
    (scope,) = app.scopes
    assert scope["path"] == "/a"
    assert from_tunnel(scope)


async def test_a_request_is_reported_once_with_its_figures():
    """`RequestDone` tells connection, method, path, status, time, bytes, country; no query."""
    headers = [(b"content-length", b"3"), (b"cf-ipcountry", b"PT")]
    visit = Visit(Greeter(), "POST", b"/a%20b?token=secret", headers=headers)
    await visit.run()

    done = visit.done
    assert 0 < done.elapsed < 5
    assert done == RequestDone(
        conn_index=1,
        method="POST",
        path="/a%20b",
        status=200,
        elapsed=done.elapsed,
        received=0,
        sent=5,
        country="PT",
    )


async def test_a_request_is_reported_when_its_answer_ends():
    """What the app does afterwards does not delay the report."""
    reported = []

    async def app(scope, receive, send):
        await Greeter()(scope, receive, send)
        reported.extend(visit.events)

    visit = Visit(app)
    await visit.run()

    assert reported == [visit.done]


async def test_the_public_url_becomes_the_server_once_it_is_known():
    """Before, the Host stands for it; the URL can be set while requests are served."""
    app = Greeter()
    visit = Visit(app, host=b"other.example:8443")
    await visit.run()
    visit.origin.public_url = "http://four-words.localhost:8123"
    await visit.origin.serve(FakeStream(visit.stream.head), FACTS)

    assert [scope["server"] for scope in app.scopes] == [
        ("other.example", 8443),
        ("four-words.localhost", 8123),
    ]


async def test_the_state_is_that_of_the_moment():
    """What is put into the origin's state later is in the state of later requests."""
    app = Greeter()
    state = {"pool": object()}
    origin = AsgiOrigin(app, emit=lambda event: None, state=state)
    head = Visit(app).stream.head

    await origin.serve(FakeStream(head), FACTS)
    state["public_url"] = "https://x.example"
    await origin.serve(FakeStream(head), FACTS)

    first, second = (scope["state"] for scope in app.scopes)
    assert first == {"pool": state["pool"]}
    assert second == state
    assert second is not state


async def test_the_root_path_is_passed_on():
    """An origin mounted below a path says so in each scope."""
    app = Greeter()
    await Visit(app, dest=b"/x", root_path="/sub").run()

    assert (app.scopes[0]["root_path"], app.scopes[0]["path"]) == ("/sub", "/sub/x")


@pytest.mark.parametrize("kind", [RequestKind.HTTP, RequestKind.WEBSOCKET])
async def test_the_management_host_never_reaches_the_app(kind):
    """Requests that Cloudflare addresses to the connector get 404 from us."""
    app = Greeter()
    visit = await Visit(
        app, dest=b"/ping?access_token=x", host=b"management.argotunnel.com", kind=kind
    ).run()

    assert (visit.status, visit.body) == (404, b"Not Found")
    assert app.scopes == []
    assert (visit.done.status, visit.done.path) == (404, "/ping")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"headers": [(b"content-length", b"x")]}, b"Content-Length is not a number"),
        ({"headers": [(b"content-length", b"1")] * 2}, b"Content-Length was given more than once"),
        ({"dest": b"nonsense"}, b"the destination is neither a URL nor a path"),
        ({"dest": b"*"}, b"the destination * belongs to OPTIONS alone"),
        ({"method": "G\nT"}, b"the method is malformed"),
        ({"host": b"a b"}, b"the Host is malformed"),
    ],
)
async def test_a_malformed_request_is_a_400(request_, sentence, caplog):
    """The visitor sees 400 and why; the app does not see the request."""
    app = Greeter()
    visit = await Visit(app, **request_).run()

    assert (visit.status, visit.body) == (400, b"Bad Request: " + sentence)
    assert app.scopes == []
    assert visit.stream.complete
    assert "request refused" in caplog.text
    assert visit.done.status == 400
    assert visit.done.method.isprintable()


async def test_other_kinds_of_request_are_declined():
    """What this origin does not serve gets an error reply that says so."""
    app = Greeter()
    visit = await Visit(app, dest=b"10.0.0.1:22", kind=RequestKind.TCP).run()

    assert visit.status == 502
    assert "TCP" in visit.stream.response.error
    assert (visit.body, visit.stream.complete) == (b"", True)
    assert app.scopes == []
    assert visit.done.status == 502


async def test_declining_a_visitor_who_left_is_quiet(caplog):
    """An error reply to nobody raises nothing and is reported as no answer."""
    visit = Visit(Greeter(), dest=b"10.0.0.1:22", kind=RequestKind.TCP)
    visit.stream.feed_reset()
    await visit.run()

    assert visit.done.status is None
    assert visit.stream.reset_code == 0
    assert not caplog.records


async def test_one_visitors_failure_stays_with_that_one(caplog):
    """Even a bug of ours resets one stream and is logged; serve does not raise."""

    def emit(event):
        raise LookupError("a broken listener")

    stream = FakeStream(Visit(None, kind=RequestKind.TCP).stream.head)
    await AsgiOrigin(Greeter(), emit=emit).serve(stream, FACTS)

    assert stream.reset_code == 0
    assert "a broken listener" in caplog.text


async def test_many_requests_share_one_origin():
    """Requests that overlap do not see each other's bodies, whatever order they end in."""

    async def echo(scope, receive, send):
        parts = []
        more = True
        while more:
            message = await receive()
            parts.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"".join(parts)})

    origin = AsgiOrigin(echo, emit=lambda event: None)
    head = Visit(echo, "POST", headers=[(b"transfer-encoding", b"chunked")]).stream.head
    streams = [FakeStream(head) for _ in range(50)]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for stream in streams:
                tasks.start_soon(origin.serve, stream, FACTS)
            for number, stream in enumerate(reversed(streams)):
                stream.feed(b"%d" % number)
                stream.feed_eof()

    assert [bytes(stream.sent) for stream in reversed(streams)] == [b"%d" % n for n in range(50)]


EVENTS = [(b"Content-Type", b"Text/Event-Stream; charset=utf-8")]


def event_stream(headers=EVENTS, *, status=200):
    """An app that sends one event and then waits for the visitor to leave."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    return app


async def listen(origin, dest=b"/events", method="GET"):
    """A visitor who takes one event and leaves."""
    stream = Visit(None, method, dest).stream
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(origin.serve, stream, FACTS)
        await stream.until(lambda: stream.sent)
        stream.stop()


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


async def test_an_event_stream_is_warned_of_once_per_route(caplog):
    """Cloudflare holds back what answers a GET: one line for each path, however often it is."""
    origin = AsgiOrigin(event_stream(), emit=lambda event: None)
    origin.public_url = "https://four-words.trycloudflare.com"
    for dest in (b"/events", b"/events?token=s3cret", b"/other", b"/events"):
        await listen(origin, dest)

    first, second = warnings(caplog)
    assert first.startswith("GET /events answers with text/event-stream: Cloudflare holds")
    assert second.startswith("GET /other ")
    assert "s3cret" not in caplog.text


async def test_other_streams_are_not_warned_of(caplog):
    """A POST that answers with events is live, and other types are nobody's business."""
    origin = AsgiOrigin(event_stream(), emit=lambda event: None)
    await listen(origin, method="POST")
    origin.app = event_stream([(b"content-type", b"text/plain")])
    await listen(origin)
    origin.app = event_stream([])
    await listen(origin)

    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://four-words.localhost:8123", False),
        ("http://localhost:8123", False),
        ("https://127.0.0.1:8443", False),
        ("https://[::1]:8443", False),
        ("https://localhost.example", True),
        ("https://192.0.2.1", True),
        (None, True),
    ],
)
async def test_an_edge_on_this_machine_holds_nothing_back(url, warned, caplog):
    """No warning where the URL leads to an embedded edge."""
    origin = AsgiOrigin(event_stream(), emit=lambda event: None)
    origin.public_url = url
    await listen(origin)

    assert bool(warnings(caplog)) is warned


async def test_warnings_are_bounded(caplog):
    """An app with a path per visitor is warned 256 times, and nothing is remembered beyond."""
    origin = AsgiOrigin(event_stream(), emit=lambda event: None)
    for number in range(300):
        await listen(origin, b"/events/%d" % number)

    assert len(warnings(caplog)) == 256


# Draining


async def test_draining_ends_an_event_stream():
    """What was sent arrives whole, and the app sees the disconnect."""
    visit = Visit(event_stream())
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        await visit.origin.drain()
        assert stream.complete

    assert visit.body == b"data: 1\n\n"


async def test_an_event_stream_that_begins_while_draining_ends_at_once():
    """The visitor gets a head and an end, and comes back later as browsers do."""
    visit = Visit(event_stream())
    await visit.origin.drain()
    with anyio.fail_after(5):
        await visit.run()

    assert (visit.status, visit.body) == (200, b"")
    assert visit.stream.complete


async def test_an_origin_that_was_drained_and_closed_serves_anew():
    """A tunnel may be started again: its event-streams then go on as before."""
    visit = Visit(event_stream())
    await visit.origin.drain()
    await visit.origin.aclose()
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        assert not stream.complete
        await visit.origin.drain()

    assert visit.body == b"data: 1\n\n"


async def test_draining_leaves_other_answers_alone():
    """A POST that streams events, and any other answer, is finished by its app."""
    go = anyio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": scope["state"]["h"]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"b"})

    visits = [Visit(app, "POST"), Visit(app, "GET")]
    visits[0].origin.state["h"] = EVENTS
    visits[1].origin.state["h"] = [(b"content-type", b"text/plain")]
    async with visits[0].running() as one, visits[1].running() as two:
        for visit in visits:
            await visit.stream.until(lambda visit=visit: visit.stream.sent)
            await visit.origin.drain()
        assert not one.ended
        assert not two.ended
        go.set()

    assert [visit.body for visit in visits] == [b"ab", b"ab"]


async def test_an_event_stream_with_a_length_is_reset_when_draining(caplog):
    """What promised more bytes than it sent must not pass for whole."""
    visit = Visit(event_stream([*EVENTS, (b"content-length", b"100")]))
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        await visit.origin.drain()

    assert visit.stream.reset_code == 0
    assert "shorter than Content-Length" in caplog.text


async def test_draining_survives_a_visitor_who_left():
    """A visitor who leaves in that moment costs the others nothing."""
    visit = Visit(event_stream())
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        stream.lose()
        await visit.origin.drain()

    assert visit.done.status == 200


async def test_secrets_are_in_no_log_line(caplog):
    """Cookies, Authorization and queries are logged at no level, also when the app fails."""
    caplog.set_level(logging.DEBUG)
    headers = [(b"cookie", b"s3cret"), (b"authorization", b"Bearer s3cret")]

    async def app(scope, receive, send):
        raise ValueError

    await Visit(app, dest=b"/?token=s3cret", headers=headers).run()
    await Visit(app, dest=b"x?token=s3cret", headers=headers).run()

    assert caplog.records
    assert "s3cret" not in caplog.text
