"""Apps as people write them, driven through the origin."""

import asyncio
import json
import logging

import anyio
import pytest
from fastapi import FastAPI, File, Form, UploadFile
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.routing import Route

from tests_support.visit import HOST, Visit

pytestmark = pytest.mark.anyio

EDGE = [(b"cf-connecting-ip", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]


def starlette(endpoint, path="/", **options):
    methods = ["GET", "POST", "OPTIONS"]
    return Starlette(routes=[Route(path, endpoint, methods=methods)], **options)


async def test_a_request_says_who_asked_for_what():
    """URL, client, headers and state are what an app behind no proxy at all would see."""

    async def endpoint(request: Request):
        return JSONResponse(
            {
                "url": str(request.url),
                "base": str(request.base_url),
                "client": request.client.host,
                "agent": request.headers["user-agent"],
                "state": request.state.public_url,
                "colo": request.scope["extensions"]["quicktunnel"]["colo"],
            }
        )

    visit = Visit(
        starlette(endpoint, "/a"), dest=b"/a?q=%20", headers=[*EDGE, (b"user-agent", b"x")]
    )
    visit.origin.state["public_url"] = "https://" + HOST.decode()
    await visit.run()

    assert json.loads(visit.body) == {
        "url": f"https://{HOST.decode()}/a?q=%20",
        "base": f"https://{HOST.decode()}/",
        "client": "203.0.113.7",
        "agent": "x",
        "state": f"https://{HOST.decode()}",
        "colo": "bog01",
    }


async def test_redirects_keep_the_public_scheme_and_host():
    """A trailing-slash redirect of FastAPI leads to the public https address."""
    app = FastAPI()
    app.get("/items/")(lambda: {})  # noqa: PIE807

    visit = await Visit(app, dest=b"/items", headers=EDGE).run()

    assert visit.status == 307
    assert visit.headers[b"location"] == b"https://" + HOST + b"/items/"


async def test_fastapi_reads_json_and_answers_json():
    """A validated body in, a model out, and 422 for what does not fit."""
    app = FastAPI()

    @app.post("/add")
    async def add(a: int, body: dict[str, int]) -> dict[str, int]:
        return {"sum": a + body["b"]}

    headers = [(b"content-type", b"application/json")]
    good = await Visit(app, "POST", b"/add?a=1", headers, body=b'{"b": 2}').run()
    bad = await Visit(app, "POST", b"/add?a=x", headers, body=b'{"b": 2}').run()

    assert (good.status, json.loads(good.body)) == (200, {"sum": 3})
    assert bad.status == 422


@pytest.mark.parametrize("chunked", [False, True])
async def test_fastapi_takes_a_form_with_a_file(chunked):
    """A multipart upload larger than one part of the stream arrives whole."""
    app = FastAPI()

    @app.post("/upload")
    async def upload(name: str = Form(), file: UploadFile = File()) -> dict[str, object]:  # noqa: B008
        content = await file.read()
        return {"name": name, "file": file.filename, "size": len(content), "sum": sum(content)}

    content = bytes(range(256)) * 1024
    data = (
        b"--b\r\ncontent-disposition: form-data; name=name\r\n\r\nAda\r\n"
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"content-type: application/octet-stream\r\n\r\n" + content + b"\r\n--b--\r\n"
    )
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
        visit = Visit(app, "POST", b"/upload", headers)
        visit.stream.feed(data)
        visit.stream.feed_eof()
    else:
        visit = Visit(app, "POST", b"/upload", headers, body=data)
    await visit.run()

    assert json.loads(visit.body) == {
        "name": "Ada",
        "file": "f.bin",
        "size": len(content),
        "sum": sum(content),
    }


async def test_a_streaming_response_flows_through_a_slow_visitor():
    """A streamed answer far larger than the queue reaches a visitor who takes his time."""
    chunks = 64

    async def numbers():
        for number in range(chunks):
            yield bytes([number]) * 1000

    async def endpoint(request):
        return StreamingResponse(numbers())

    visit = Visit(starlette(endpoint), manual=True, high_water=3000)
    taken = bytearray()
    async with visit.running() as stream:
        while not stream.ended or len(taken) < chunks * 1000:
            await anyio.wait_all_tasks_blocked()
            taken += stream.take(1500)

    assert taken == b"".join(bytes([number]) * 1000 for number in range(chunks))
    assert visit.stream.complete


@pytest.mark.parametrize("leave", ["stop", "feed_reset", "lose"])
async def test_a_streaming_response_ends_when_the_visitor_leaves(leave, caplog):
    """An endless stream is cancelled at the disconnect, and its cleanup runs."""
    ended = []

    async def for_ever():
        try:
            while True:
                yield b"tick"
                await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def endpoint(request):
        return StreamingResponse(for_ever())

    visit = Visit(starlette(endpoint))
    async with visit.running() as stream:
        await stream.until(lambda: stream.sent)
        getattr(stream, leave)()

    assert ended == [True]
    assert visit.done.status == 200
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_sync_generator_streams_from_a_thread():
    """A plain generator, which Starlette iterates in a thread, arrives whole."""

    async def endpoint(request):
        return StreamingResponse(b"%d," % number for number in range(100))

    visit = await Visit(starlette(endpoint)).run()

    assert visit.body == b"".join(b"%d," % number for number in range(100))


async def test_a_file_is_sent_whole_in_ranges_and_as_a_head(tmp_path):
    """FileResponse: all of it, a range of it, and its head alone with the length."""
    content = bytes(range(256)) * 1000
    file = tmp_path / "file.bin"
    file.write_bytes(content)

    async def endpoint(request):
        return FileResponse(file)

    app = starlette(endpoint)
    whole = await Visit(app).run()
    part = await Visit(app, headers=[(b"range", b"bytes=100-199")]).run()
    head = await Visit(app, "HEAD").run()

    assert (whole.status, whole.body) == (200, content)
    assert (part.status, part.body) == (206, content[100:200])
    assert (head.status, head.body) == (200, b"")
    assert head.headers[b"content-length"] == b"256000"
    assert all(visit.stream.complete for visit in (whole, part, head))


async def test_background_tasks_run_after_the_answer_is_out():
    """The visitor has the whole answer before the background task begins."""
    seen = []

    async def later():
        seen.append((visit.stream.complete, visit.done.status))

    async def endpoint(request):
        return PlainTextResponse("done", background=BackgroundTask(later))

    visit = Visit(starlette(endpoint))
    await visit.run()

    assert seen == [(True, 200)]


async def test_polling_for_the_disconnect_works():
    """`request.is_disconnected()` is False while the visitor waits and True afterwards."""
    answers = []

    async def endpoint(request):
        await request.body()
        answers.append(await request.is_disconnected())
        visit.stream.feed_reset()
        await anyio.wait_all_tasks_blocked()
        answers.append(await request.is_disconnected())
        return PlainTextResponse("to nobody")

    visit = Visit(starlette(endpoint))
    await visit.run()

    assert answers == [False, True]


async def test_an_upload_that_breaks_off_is_a_client_disconnect():
    """Reading a body that the visitor gave up raises Starlette's ClientDisconnect."""
    caught = []

    async def endpoint(request):
        try:
            await request.body()
        except ClientDisconnect:
            caught.append(True)
            raise

    visit = Visit(starlette(endpoint), "POST", headers=[(b"content-length", b"100")])
    async with visit.running() as stream:
        stream.feed(b"half")
        await anyio.wait_all_tasks_blocked()
        stream.feed_reset()

    assert caught == [True]
    assert visit.status is None


async def test_base_http_middleware_passes_streams():
    """Starlette's BaseHTTPMiddleware, which wraps receive and send, changes nothing."""

    async def dispatch(request, call_next):
        response = await call_next(request)
        response.headers["x-seen"] = "yes"
        return response

    async def endpoint(request):
        return StreamingResponse(iter([await request.body(), b"end"]))

    app = starlette(endpoint)
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    visit = await Visit(app, "POST", body=b"x" * 200_000).run()

    assert visit.body == b"x" * 200_000 + b"end"
    assert visit.headers[b"x-seen"] == b"yes"


async def test_an_unhandled_error_is_starlettes_500(caplog):
    """Starlette answers 500 itself and raises; the answer stays whole, the traceback is logged."""

    async def endpoint(request):
        raise ValueError("the reason")

    visit = await Visit(starlette(endpoint)).run()

    assert (visit.status, visit.body) == (500, b"Internal Server Error")
    assert visit.stream.complete
    assert "the reason" in caplog.text


async def test_a_body_that_the_app_does_not_read_is_not_taken():
    """A redirect in answer to a large upload: nothing of it is read."""

    async def endpoint(request):
        return RedirectResponse("/elsewhere", 303)

    visit = await Visit(starlette(endpoint), "POST", body=bytes(1_000_000)).run()

    assert visit.status == 303
    assert (visit.stream.consumed, visit.stream.complete) == (0, True)


async def test_an_app_that_reads_and_writes_in_two_tasks():
    """The way of Quart: one task feeds the request in, another sends the answer, in step."""

    async def app(scope, receive, send):
        queue = asyncio.Queue()

        async def read():
            while True:
                message = await receive()
                await queue.put(message)
                if message["type"] == "http.disconnect":
                    return

        async def write():
            await send({"type": "http.response.start", "status": 200, "headers": []})
            more = True
            while more:
                message = await queue.get()
                more = message["more_body"]
                await send(
                    {"type": "http.response.body", "body": message["body"], "more_body": more}
                )

        reading, writing = asyncio.create_task(read()), asyncio.create_task(write())
        await asyncio.wait([reading, writing])

    visit = Visit(app, "POST", headers=[(b"transfer-encoding", b"chunked")])
    async with visit.running() as stream:
        for part in (b"a", b"bc", b"def"):
            stream.feed(part)
            await stream.until(lambda part=part: stream.sent.endswith(part))
        stream.feed_eof()

    assert visit.body == b"abcdef"
    assert visit.stream.complete
