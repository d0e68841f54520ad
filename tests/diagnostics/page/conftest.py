"""A browser and a site for each module, a page for each test."""

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests_support.browser import chromium
from tests_support.page_site import served_site

WATCH = """
window.violations = [];
addEventListener('securitypolicyviolation', (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend):
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def site(anyio_backend):
    async with served_site() as site:
        yield site


@pytest.fixture
def look(browser):
    """`async with look(url) as page`: a page of a browser that remembers nothing.

    Whatever a test does: no script fails, nothing breaks the policy, nothing that visitors sent is
    run, and no other host is asked for anything.
    """

    @asynccontextmanager
    async def look(url, *, expected_errors=(), **options):
        options = {"viewport": {"width": 1280, "height": 900}} | options
        context = await browser.new_context(**options)
        context.set_default_timeout(15_000)
        page = await context.new_page()
        errors, asked = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.on("request", lambda request: asked.append(urlsplit(request.url)))
        page.on("websocket", lambda socket: asked.append(urlsplit(socket.url)))
        await page.add_init_script(WATCH)
        try:
            await page.goto(url)
            yield page
            assert await page.evaluate("window.harmed") is None
            assert await page.evaluate("window.violations") == []
            own = urlsplit(url).netloc
            assert {each.netloc for each in asked if each.scheme != "blob"} == {own}
            unexpected = [
                error for error in errors if not any(each in error for each in expected_errors)
            ]
            assert unexpected == []
        finally:
            await context.close()

    return look
