"""curl as a visitor; it finds every name under .localhost by itself."""

import hashlib
import json
import os

import pytest

from tests_support.client_site import make_site
from tests_support.programs import find_program, run_program
from tests_support.tunnelled import tunnelled

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def curl():
    """`await curl(...)`: standard output, as bytes."""
    path = find_program("curl")

    async def run(*arguments, **options):
        defaults = ("--silent", "--show-error", "--noproxy", "*", "--max-time", 30)
        return await run_program(path, *defaults, *arguments, **options)

    return run


async def test_it_gets_a_page(curl):
    """The page's bytes arrive, under the public name."""
    async with tunnelled(make_site()) as (_, tunnel, _):
        assert b"<form " in await curl(tunnel.url + "/")
        head = await curl("--head", tunnel.url + "/")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        status = await curl("--output", os.devnull, "-w", "%{http_code}", tunnel.url + "/missing")
        assert status == b"404"


async def test_it_trusts_the_edge_over_tls(curl):
    """With the edge's CA file the name of the tunnel is verified, and the app sees https."""
    async with tunnelled(make_site(), edge_options={"tls": True}) as (edge, tunnel, _):
        assert tunnel.url.startswith("https://")
        facts = json.loads(await curl("--cacert", edge.ca_file, tunnel.url + "/facts"))
        assert facts["url"] == tunnel.url + "/facts"


async def test_it_posts_forms(curl, tmp_path):
    """Fields and files of a form arrive whole."""
    content = os.urandom(300_000)
    file = tmp_path / "photo.bin"
    file.write_bytes(content)
    async with tunnelled(make_site()) as (_, tunnel, _):
        plain = await curl("--data", "name=Ada&city=Turin", tunnel.url + "/form")
        parts = await curl("-F", "name=Ada", "-F", f"file=@{file}", tunnel.url + "/form")

    assert json.loads(plain) == {"name": "Ada", "city": "Turin"}
    assert json.loads(parts) == {
        "name": "Ada",
        "file": {
            "filename": "photo.bin",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
    }


@pytest.mark.parametrize(
    "how", [(), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")]
)
async def test_it_uploads(curl, how):
    """A body of 3 MB arrives whole: with a length, after asking first, or in chunks."""
    content = os.urandom(3_000_000)
    async with tunnelled(make_site()) as (_, tunnel, _):
        answer = await curl("-T", "-", *how, tunnel.url + "/digest", stdin=content)
    assert json.loads(answer) == {
        "length": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


async def test_it_downloads(curl):
    """5 MB arrive, and nothing else; an answer to HTTP/1.0 too."""
    async with tunnelled(make_site()) as (_, tunnel, _):
        assert await curl(tunnel.url + "/download/5000000") == bytes(5_000_000)
        assert await curl("--http1.0", tunnel.url + "/download/70000") == bytes(70_000)


async def test_it_follows_redirects_with_cookies(curl):
    """A redirect stays on the public name, and the cookie set on the way comes back."""
    async with tunnelled(make_site()) as (_, tunnel, _):
        facts = json.loads(await curl("--location", "--cookie", "", tunnel.url + "/away"))
        assert facts["url"] == tunnel.url + "/facts"
    assert facts["headers"]["cookie"] == "visited=yes"


async def test_it_uses_one_connection_for_many_requests(curl):
    """Three requests of one curl go over one connection."""
    async with tunnelled(make_site()) as (_, tunnel, _):
        url = tunnel.url + "/facts"
        counts = await curl("-w", "%{num_connects}", *("-o", os.devnull, url) * 3)
    assert counts == b"100"
