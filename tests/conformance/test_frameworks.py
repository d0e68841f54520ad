"""Sample apps of four frameworks answer through a tunnel, byte for byte, as under plain uvicorn.

Compared are status, headers and body of what a visitor gets, less the headers that belong to the
hop and the server (`HOP`). What is random or the clock's in the apps' own answers is blanked: the
values of session cookies, the boundaries of multipart ranges, Expires, the time in a gzip header.
"""

import importlib
import os
import re
from contextlib import AsyncExitStack

import httpx
import pytest
import websockets

from tests_support.served_twice import KINDS, serve

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # between frameworks and their apps
]

FRAMEWORKS = ("starlette", "fastapi", "quart", "litestar")
HOP = {b"connection", b"date", b"server", b"transfer-encoding", b"x-robots-tag"}
FORM = (
    b'--limit\r\ncontent-disposition: form-data; name="title"\r\n\r\nMy %s\r\n'
    b'--limit\r\ncontent-disposition: form-data; name="file"; filename="gr\xc3\xb6\xc3\x9fe.bin"'
    b"\r\ncontent-type: application/x-photo\r\n\r\n%s\r\n--limit--\r\n"
)


@pytest.fixture(params=FRAMEWORKS)
async def sites(request, tmp_path):
    """The same app twice, behind a tunnel and under uvicorn; both are asked for one Host."""
    file = tmp_path / "download.txt"
    file.write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)))
    module = importlib.import_module(f"conformance.apps.{request.param}_app")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serve(kind, module.make_app(file))) for kind in KINDS
        ]


class Visit:
    """The same requests to both sites; each answer has to be the same."""

    def __init__(self, sites):
        self._sites = sites
        self._jars = [httpx.Cookies() for _ in sites]
        self._host = sites[0].host

    async def ask(self, method, path, *, headers=(), content=b""):
        """The one answer of both sites: (status, headers sorted, body)."""
        answers = [
            await self._ask(site, jar, method, path, dict(headers), content)
            for site, jar in zip(self._sites, self._jars, strict=True)
        ]
        assert answers[0] == answers[1], f"{method} {path}"
        return answers[0]

    async def _ask(self, site, jar, method, path, headers, content):
        headers = {"accept-encoding": "gzip, br", "host": self._host, **headers}
        request = site.visitor.build_request(method, path, headers=headers, content=content)
        jar.set_cookie_header(request)
        answer = await site.visitor.send(request, stream=True)
        body = b"".join([part async for part in answer.aiter_raw()])
        jar.extract_cookies(answer)
        site.visitor.cookies.clear()
        return blanked(answer.status_code, answer.headers.raw, body)

    async def talk(self, path, *messages, **options):
        """The one conversation of both sites: headers of the 101, all messages, code and reason."""
        transcripts = [await self._talk(site, path, messages, options) for site in self._sites]
        assert transcripts[0] == transcripts[1]
        return transcripts[0]

    async def _talk(self, site, path, messages, options):
        async with site.websocket(path, **options) as socket:
            heard = [list(socket.response.headers.raw_items()), socket.subprotocol]
            heard[0] = sorted(
                (name.lower(), value)
                for name, value in heard[0]
                if name.lower().encode() not in HOP | {b"sec-websocket-accept"}
            )
            try:
                for message in messages:
                    await socket.send(message)
                    heard += [await socket.recv(), await socket.recv()]
                heard.append(await socket.recv())
            except websockets.ConnectionClosed:
                heard.append((socket.close_code, socket.close_reason))
        return heard


def blanked(status, headers, body):
    """An answer without what is random in it."""
    fields = dict(headers)
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in HOP]
    if fields.get(b"content-encoding") == b"gzip":
        body = body[:4] + bytes(4) + body[8:]  # RFC 1952 §2.3.1: MTIME
    boundary = re.search(rb"multipart/byteranges; boundary=(\S+)", fields.get(b"content-type", b""))
    if boundary:
        body = body.replace(boundary[1], b"boundary")
        kept = [(name, value.replace(boundary[1], b"boundary")) for name, value in kept]
    blank = {
        b"expires": (rb".+", b"blank"),
        b"set-cookie": (rb"^(session[^=]*)=[^;]+", rb"\1=blank"),
    }
    kept = [(name, re.sub(*blank[name], value) if name in blank else value) for name, value in kept]
    return status, sorted(kept), body


async def test_pages_and_errors(sites):
    """Pages, HEAD, redirects, 404, 405 and 500 are the same; URLs have the visitor's host."""
    visit = Visit(sites)
    status, _, body = await visit.ask("GET", "/?q=%C3%A4&r=a%2Fb")
    assert status == 200
    assert body.decode().startswith(f"http://{sites[0].host}/?q=")
    assert (await visit.ask("GET", "/slash"))[0] in (200, 301, 307, 308)
    assert (await visit.ask("HEAD", "/"))[2] == b""
    assert (await visit.ask("GET", "/nowhere"))[0] == 404
    assert (await visit.ask("DELETE", "/upload"))[0] == 405
    assert (await visit.ask("OPTIONS", "/upload"))[0] in (200, 204, 405)
    assert (await visit.ask("GET", "/broken"))[0] == 500


async def test_form_uploads(sites):
    """A form with a file is the same to the app; so is one that it refuses."""
    visit = Visit(sites)
    headers = {"content-type": "multipart/form-data; boundary=limit"}
    for size in (0, 100, 1_500_000):
        content = FORM % (b"photo", os.urandom(size))
        status, _, body = await visit.ask("POST", "/upload", headers=headers, content=content)
        assert status == 201
        assert b'"application/x-photo"' in body.replace(b" ", b"")
    assert (await visit.ask("POST", "/upload", headers=headers, content=b"broken"))[0] >= 400


RANGES = ["0-0", "0-9", "-5", "899990-", "500-100", "99999999-", "0-1,10-19", "letters"]


async def test_file_responses(sites):
    """Files, their HEAD, ranges of them and conditional requests are the same."""
    visit = Visit(sites)
    status, headers, body = await visit.ask("GET", "/file")
    assert status == 200
    assert len(body) > 900_000
    assert (await visit.ask("HEAD", "/file"))[2] == b""
    for range_ in RANGES:
        await visit.ask("GET", "/file", headers={"range": f"bytes={range_}"})
    fields = dict(headers)
    etag, modified = fields[b"etag"].decode(), fields[b"last-modified"].decode()
    await visit.ask("GET", "/file", headers={"if-none-match": etag})
    await visit.ask("GET", "/file", headers={"if-modified-since": modified})
    for condition in (etag, '"another"'):
        await visit.ask("GET", "/file", headers={"range": "bytes=0-9", "if-range": condition})


async def test_streams(sites):
    """A streamed answer, and one that is compressed where the app does so, are the same."""
    visit = Visit(sites)
    status, headers, body = await visit.ask("GET", "/stream")
    assert (status, body.count(b"\n")) == (200, 200)
    assert b"content-length" not in dict(headers)
    assert (await visit.ask("GET", "/text"))[0] == 200


async def test_sessions(sites):
    """A session is remembered from request to request, its cookie's attributes are the same."""
    visit = Visit(sites)
    for number in range(1, 4):
        status, headers, body = await visit.ask("GET", "/visits")
        assert status == 200
        assert body.replace(b" ", b"").strip() == b'{"visits":%d}' % number
        assert b"set-cookie" in dict(headers)


async def test_websockets(sites):
    """Headers of the 101, subprotocol, messages, code and reason are the same."""
    visit = Visit(sites)
    heard = await visit.talk("/ws", "grüße", "", "x" * 100_000, "bye", subprotocols=["a", "echo"])
    assert heard[1:4] == ["echo", "grüße", "grüße".encode()]
    assert heard[-1] == (4000, "bye")


async def test_background_tasks(sites):
    """An answer is complete before the app's work in the background is, and that is then done."""
    visit = Visit(sites)
    assert (await visit.ask("POST", "/later/one"))[0] == 202
    assert (await visit.ask("GET", "/tasks"))[2].strip() == b"[]"
    assert (await visit.ask("POST", "/release"))[0] == 200
    for site in sites:
        while not (await site.visitor.get("/tasks")).json():
            pass
    assert (await visit.ask("GET", "/tasks"))[2].strip() == b'["one"]'
