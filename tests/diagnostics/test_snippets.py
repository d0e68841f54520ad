"""A request as a command or a program; both are run here, against a server that says what came."""

import json
import shutil
import sys

import anyio
import pytest

from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.diagnostics.snippets import Snippet
from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.inspector.store import RequestStore

from tests_support.local_servers import uvicorn_at
from tests_support.recorded import exchange, request

pytestmark = pytest.mark.anyio

ADDED = [
    (b"cf-connecting-ip", b"203.0.113.7"),
    (b"cf-ray", b"1-LIS"),
    (b"cdn-loop", b"cloudflare"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"accept-encoding", b"gzip"),
]


async def snippet(head, *, body=b"", store=None, base_url="http://a.example", masked=()):
    record = await exchange(head, body=body, store=store)
    return Snippet(record, Redaction(masked), base_url)


async def test_a_plain_request():
    """What the edge and the client add by themselves is left out."""
    made = await snippet(request(dest=b"/a?b=1&c=2", headers=[(b"x", b"it's"), *ADDED]))
    assert made.curl() == "curl 'http://a.example/a?b=1&c=2' -H 'x: it'\"'\"'s' --compressed"
    assert made.httpx() == (
        "import httpx\n\n"
        "response = httpx.request(\n"
        "    'GET',\n"
        "    'http://a.example/a?b=1&c=2',\n"
        "    headers=[\n"
        "        ('x', \"it's\"),\n"
        "    ],\n"
        ")\n"
        "print(response.status_code, response.text)\n"
    )


async def test_secrets_are_masked():
    """In both, also those that an option names."""
    headers = [(b"authorization", b"SECRET"), (b"cookie", b"SECRET"), (b"x-key", b"SECRET")]
    made = await snippet(request(headers=headers), masked={"x-key"})
    for text in (made.curl(), made.httpx()):
        assert "SECRET" not in text
        assert text.count("***") == 3


async def test_without_a_url_it_is_the_host_of_the_request():
    """Over https, as it is seen from outside."""
    made = await snippet(request(host=b"b.example"), base_url=None)
    assert made.curl() == "curl https://b.example/"


async def test_a_body_that_was_cut_is_told_of():
    """In a comment, which harms neither."""
    made = await snippet(
        request("POST", body=b"abcdef"), body=b"abcdef", store=RequestStore(max_body=3)
    )
    note = "# only 3 of 6 bytes of the body are known\n"
    assert made.curl().startswith(note + "curl ")
    assert made.httpx().startswith(note + "import httpx\n")


async def test_what_no_client_would_send_has_none():
    """A malformed destination is no URL."""
    with pytest.raises(RemoteProtocolError):
        await snippet(request(dest=b"nonsense"))


async def says(scope, receive, send):
    """What came, as JSON."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    path = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
    headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    said = json.dumps([scope["method"], path, headers, body.decode("latin-1")]).encode()
    if scope["method"] == "HEAD":
        said = b""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"x-method", scope["method"].encode())],
        }
    )
    await send({"type": "http.response.body", "body": said})


async def run(command, program):
    """The output of a program on standard input, which has to succeed."""
    with anyio.fail_after(30):
        done = await anyio.run_process(command, input=program.encode(), check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


REQUESTS = {
    "plain": (request(dest=b"/a?b=c&d=%20e", headers=[(b"x-a", b"1"), (b"x-a", b"2")]), b""),
    "quotes": (request(dest=b"/it's?$HOME=`ls`", headers=[(b"x-a", b"$(ls) \"'\\")]), b""),
    "patterns": (request(dest=b"/[1-3]/{a,b}?x=[]"), b""),
    "dots": (request(dest=b"/a/./b"), b""),
    "form": (request("POST", headers=[(b"content-type", b"text/x")]), b"a=1&b='2'\n\n"),
    "file": (request("POST"), b"@/etc/hostname"),
    "text": (request("PUT"), "é\u2028 \t \n".encode()),
    "binary": (request("PATCH"), bytes(range(256)) * 3),
    "no utf-8": (request("POST"), b"caf\xe9"),
    "long": (request("POST"), b"x" * 200_000),
    "get with a body": (request("GET"), b"body"),
    "post without": (request("POST"), b""),
    "delete": (request("DELETE"), b""),
    "empty value": (request(headers=[(b"x-a", b"")]), b""),
    "latin-1": (request(headers=[(b"x-a", b"caf\xe9")]), b""),
    "utf-8": (request(headers=[(b"x-a", "caf\u00e9".encode())]), b""),
    "bytes": (request(dest=b"/caf\xe9"), b""),
}


def expected(head, body):
    """What the server should say."""
    path = "".join(chr(byte) if byte < 127 else f"%{byte:02X}" for byte in head.dest)
    if "?" not in path:
        path += "?"
    own = [[name.decode(), value.decode("latin-1")] for name, value in head.headers]
    return head.method, path, own, body.decode("latin-1")


@pytest.fixture
async def server():
    """The URL of a server that says what came."""
    async with uvicorn_at(says) as address:
        yield f"http://{address}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("name", REQUESTS)
async def test_the_command_sends_the_request(name, server):
    """A shell that is given the line makes curl send it as it came, byte for byte."""
    head, body = REQUESTS[name]
    made = await snippet(head, body=body, base_url=server)
    method, path, headers, content = json.loads(await run(["sh"], made.curl()))
    wanted = expected(head, body)
    assert (method, path, content) == (wanted[0], wanted[1], wanted[3])
    assert [pair for pair in headers if pair in wanted[2]] == wanted[2]
    assert ["content-type", "application/x-www-form-urlencoded"] not in headers


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_the_command_asks_for_a_head(server):
    """And does not wait for a body."""
    made = await snippet(request("HEAD"), base_url=server)
    assert "x-method: HEAD" in await run(["sh"], made.curl())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REQUESTS.keys() - {"dots", "quotes", "patterns"}))
async def test_the_program_sends_the_request(name, server):
    """httpx does so; it writes some characters of a path in another way, and takes dots out."""
    head, body = REQUESTS[name]
    made = await snippet(head, body=body, base_url=server)
    output = await run([sys.executable, "-"], made.httpx())
    method, path, headers, content = json.loads(output.partition(" ")[2])
    wanted = expected(head, body)
    assert (method, path, content) == (wanted[0], wanted[1], wanted[3])
    assert [pair for pair in headers if pair in wanted[2]] == wanted[2]
