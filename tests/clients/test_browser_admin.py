"""A headless Chromium logs into the admin of the Django example and uploads a file."""

import hashlib
import os

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.browser import chromium
from tests_support.guestbook_site import ADMINISTRATOR

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_an_administrator_uploads_a_file(guestbook, tmp_path, tls):
    """Through the tunnel: log in, add an entry with a file, see it styled and live on the page.

    What the visitor then downloads is what was uploaded.
    """
    content = os.urandom(200_000)
    photo = tmp_path / "photo.bin"
    photo.write_bytes(content)
    name, password = ADMINISTRATOR
    with anyio.fail_after(90):
        async with (
            LocalEdge(tls=tls) as edge,
            guestbook.served(edge, "uvicorn") as server,
            chromium() as browser,
        ):
            page = await browser.new_page(ignore_https_errors=True)
            url = await server.public_url()
            await page.goto(url + "/admin/entries/entry/add/")
            await page.fill("input[name=username]", name)
            await page.fill("input[name=password]", password)
            await page.click("input[type=submit]")
            await page.wait_for_url("**/admin/entries/entry/add/")
            header = await page.evaluate(
                "getComputedStyle(document.querySelector('#header')).color"
            )
            assert header == "rgb(255, 255, 204)"  # the admin's own, from its stylesheet

            await page.fill("input[name=name]", "Ada")
            await page.fill("input[name=message]", "by hand")
            await page.set_input_files("input[name=attachment]", photo)
            await page.click("input[name=_save]")
            await page.wait_for_url("**/admin/entries/entry/")
            assert "Ada: by hand" in await page.inner_text(".messagelist")

            await page.goto(url + "/")
            assert "Ada: by hand" in await page.inner_text("#entries")
            await page.wait_for_function(
                "document.querySelector('#live').textContent.startsWith('Live')"
            )
            async with page.expect_download() as downloading:
                await page.click("#entries a")
            saved = await (await downloading.value).path()
            digest = hashlib.sha256(await anyio.Path(saved).read_bytes()).digest()
            assert digest == hashlib.sha256(content).digest()

            await page.fill("input[name=name]", "Grace")
            await page.fill("input[name=message]", "from the form")
            await page.click("button")
            await page.wait_for_selector("text=Grace: from the form")
        assert not list(edge.violations)
