"""A headless Chromium as a visitor; it finds every name under .localhost by itself."""

import hashlib
import json
import os
from contextlib import asynccontextmanager

import pytest

from tests_support.browser import chromium
from tests_support.client_site import make_site
from tests_support.tunnelled import tunnelled

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@asynccontextmanager
async def browsing():
    """A page of a new browser, without anything remembered."""
    async with chromium() as browser:
        yield await browser.new_page(ignore_https_errors=True)


async def log_of(page):
    return await page.locator("#log li").all_text_contents()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_page_loads_its_parts_and_talks(tls):
    """Scripts and stylesheet load, and a WebSocket stays open while forms are fetched beside it."""
    async with (
        tunnelled(make_site(), edge_options={"tls": tls}) as (_, tunnel, _),
        browsing() as page,
    ):
        failures = []
        page.on("requestfailed", lambda request: failures.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.goto(tunnel.url + "/")
        await page.wait_for_function("document.title === 'talking'")
        colour = await page.evaluate("getComputedStyle(document.body).color")
        assert colour == "rgb(1, 2, 3)"

        fields = await page.evaluate(
            """async () => {
                const form = new FormData()
                form.set('name', 'Ада')
                form.set('file', new Blob(['x'.repeat(300000)]), 'größe.txt')
                return (await fetch('/form', {method: 'POST', body: form})).json()
            }"""
        )
        assert fields["name"] == "Ада"
        assert fields["file"]["size"] == 300_000

        await page.evaluate("socket.send('bye')")
        await page.wait_for_function("document.title === 'closed'")
        assert await log_of(page) == [
            "first script: here",
            "open: echo",
            "message: grüße",
            "closed: 4001 as you wish",
        ]
        assert failures == []


async def test_a_form_is_posted_by_its_button(tmp_path):
    """A form filled in and sent by hand arrives with its file, and its answer is shown."""
    content = os.urandom(200_000)
    photo = tmp_path / "photo.bin"
    photo.write_bytes(content)
    async with tunnelled(make_site()) as (_, tunnel, _), browsing() as page:
        await page.goto(tunnel.url + "/")
        await page.fill("input[name=name]", "Ada")
        await page.set_input_files("input[name=file]", photo)
        await page.click("button")
        await page.wait_for_url("**/form")
        assert page.url == tunnel.url + "/form"
        fields = json.loads(await page.inner_text("body"))

    assert fields["name"] == "Ada"
    assert fields["file"]["filename"] == "photo.bin"
    assert fields["file"]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_parts_of_an_answer_arrive_one_by_one():
    """A page reads each part of a streamed answer before it asks for the next one."""
    async with tunnelled(make_site()) as (_, tunnel, _), browsing() as page:
        await page.goto(tunnel.url + "/")
        ticks = await page.evaluate(
            """async () => {
                    const reader = (await fetch('/ticks')).body.getReader()
                    const decoder = new TextDecoder()
                    const ticks = []
                    for (;;) {
                        const {done, value} = await reader.read()
                        if (done) return ticks
                        ticks.push(decoder.decode(value))
                        await fetch('/tick', {method: 'POST'})
                    }
                }"""
        )
    assert ticks == ["tick 0\n", "tick 1\n", "tick 2\n"]


async def test_leaving_the_page_ends_its_websocket():
    """A visitor that navigates away is a disconnect for the app."""
    site = make_site()
    async with tunnelled(site) as (_, tunnel, _), browsing() as page:
        await page.goto(tunnel.url + "/")
        await page.wait_for_function("document.title === 'talking'")
        await page.goto(tunnel.url + "/facts")
        assert await site.state.left.get() == 1001  # RFC 6455 §7.4.1: going away
