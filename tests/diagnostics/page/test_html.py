"""The page and its files, as a client without a browser gets them."""

import re
from pathlib import Path

import httpx
import pytest

from asgi_quicktunnel.diagnostics import page
from asgi_quicktunnel.diagnostics.routes import Diagnostics

pytestmark = pytest.mark.anyio

FOLDER = Path(page.__file__).parent
STATIC = sorted(path.name for path in (FOLDER / "static").iterdir())


def visitor(path="/_quicktunnel", **options):
    transport = httpx.ASGITransport(Diagnostics(path, lambda: None), **options)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


async def get(url, **options):
    async with visitor(**options) as client:
        return await client.get(url)


@pytest.mark.parametrize("path", ["/_quicktunnel", "/a/b"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_page_finds_its_parts(path, slash):
    """What the page loads is there, whether or not the page's own address ends with a slash."""
    async with visitor(path) as client:
        answer = await client.get(path + slash)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        links = re.findall(r'(?:href|src)="([^"#]+)"', answer.text)
        assert any(link.endswith("app.js") for link in links)
        for link in links:
            assert (await client.get(answer.url.join(link))).status_code == 200, link


async def test_the_policy_allows_nothing_but_our_own_files():
    """No script and no style stands in the page, and none may."""
    answer = await get("/_quicktunnel")
    policy = answer.headers["content-security-policy"].split("; ")
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert rule in policy
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", answer.text)


async def test_the_page_has_the_token_of_the_routes():
    """What the page shows when it changes something is what the routes want to see."""
    diagnostics = Diagnostics("/_quicktunnel", lambda: None)
    transport = httpx.ASGITransport(diagnostics)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        text = (await client.get("/_quicktunnel")).text
    token = diagnostics.page_token.value
    assert f'<meta name="quicktunnel-token" content="{token}">' in text
    assert text.count(token) == 1


@pytest.mark.parametrize("name", STATIC)
async def test_each_file_is_served_with_its_type(name):
    """Browsers refuse scripts and stylesheets whose type is wrong."""
    answer = await get(f"/_quicktunnel/static/{name}")
    expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == expected[Path(name).suffix]
    assert answer.content == (FOLDER / "static" / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "../html.py", "..%2fhtml.py", "%2e%2e/html.py", "../templates/page.html", ""],
)
async def test_nothing_else_is_served(name):
    """Neither what is not there, nor what lies beside the folder."""
    assert (await get(f"/_quicktunnel/static/{name}")).status_code == 404


async def test_there_is_no_code_without_a_url():
    """Where no URL works yet, its QR code is missing and the page says so."""
    assert (await get("/_quicktunnel/qr.svg")).status_code == 404
    text = (await get("/_quicktunnel")).text
    assert "No public URL yet" in text
    assert "Stopped" in text


def test_no_file_makes_markup_of_text():
    """No script uses what could turn a visitor's text into elements or code."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\b"
        r"|new Function|createContextualFragment|setHTML|javascript:"
    )
    for name in STATIC:
        found = forbidden.findall((FOLDER / "static" / name).read_text())
        assert not found, name


def test_no_file_names_another_host():
    """Nothing is loaded from elsewhere; a name space is no address."""
    for path in [*(FOLDER / "static").iterdir(), *(FOLDER / "templates").iterdir()]:
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s'\"`]*", path.read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path.name


@pytest.mark.parametrize("name", STATIC)
def test_a_file_is_short(name):
    """One noun each."""
    assert len((FOLDER / "static" / name).read_text().splitlines()) < 400
