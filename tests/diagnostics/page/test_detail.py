"""The view of one request, in a browser."""

import asyncio

import pytest

from tests_support.page_site import HOSTILE, SVG, open_detail, row

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_headers_query_and_facts(site, look):
    """The request shows its query and headers, secrets masked; the timing tab shows the rest."""
    await site.visitor.get(
        "/status/404?a=1&b=%3Cb%3E",
        headers={"x-own": "value <i>", "authorization": "Bearer hush", "cookie": "c=hush"},
    )
    async with look(site.page) as page:
        await open_detail(page, "/status/404")
        assert await page.locator(".summary-line .status").inner_text() == "404"
        await page.get_by_role("tab", name="Request").click()
        query = await page.get_by_role("table", name="Query").locator("tr").all_inner_texts()
        assert query == ["a\t1", "b\t<b>"]
        panel = page.get_by_role("tabpanel", name="Request")
        headers = await panel.get_by_role("table", name="Headers").locator("tr").all_inner_texts()
        assert "x-own\tvalue <i>" in headers
        assert "authorization\t***" in headers
        assert "hush" not in await page.content()
        await page.get_by_role("tab", name="Timing").click()
        facts = await page.get_by_role("table", name="Facts").inner_text()
        record = site.tunnel.inspector.records()[0]
        head = dict(record.head.headers)
        for part in ("First byte", "Total", head[b"cf-ray"].decode(), "203.0.113.7", record.id):
            assert part in facts


async def test_json_is_a_tree_that_folds(site, look):
    """JSON is shown level by level, folds at a click, and can be seen as it came."""
    await site.visitor.get("/json")
    async with look(site.page) as page:
        await open_detail(page, "/json")
        tree = page.locator(".tree")
        await tree.wait_for()
        assert '"order": {' in await tree.inner_text()
        assert "tea" not in await tree.inner_text()  # the third level is folded
        await tree.get_by_text('"lines": [').click()
        await tree.locator(".folded:visible").first.click()
        await tree.get_by_text('"tea"').wait_for()
        await tree.get_by_text('"order": {').click()
        assert not await tree.get_by_text('"tea"').is_visible()
        await page.get_by_role("button", name="As it came").click()
        assert (await page.locator("pre.text").inner_text()).startswith('{"order":{"lines":[')


async def test_numbers_keep_their_spelling(site, look):
    """A number that JavaScript can't hold is shown as it came."""
    await site.visitor.post(
        "/asked/number",
        content='{"id": 12345678901234567890}',
        headers={"content-type": "application/json"},
    )
    async with look(site.page) as page:
        await open_detail(page, "/asked/number")
        await page.get_by_role("tab", name="Request").click()
        panel = page.get_by_role("tabpanel", name="Request")
        assert '"id": 12345678901234567890' in await panel.inner_text()


async def test_form_fields_are_a_table(site, look):
    """Fields of a form are listed by name, files by theirs and their size."""
    await site.visitor.post("/asked/form", data={"name": "Zoë", "note": "a&b=c"})
    async with look(site.page) as page:
        await open_detail(page, "/asked/form")
        await page.get_by_role("tab", name="Request").click()
        fields = page.get_by_role("table", name="Fields")
        assert await fields.locator("tr").all_inner_texts() == ["name\tZoë", "note\ta&b=c"]
        await site.visitor.post(
            "/asked/parts", data={"name": "Zoë"}, files={"photo": ("größe.bin", b"\0" * 2000)}
        )
        await open_detail(page, "/asked/parts")
        rows = await fields.locator("tr").all_inner_texts()
        assert rows[0] == "name\tZoë"
        assert rows[1].startswith("photo\tgröße.bin")
        assert "2.0 KiB" in rows[1]


async def test_a_picture_is_shown(site, look):
    """A PNG is drawn from its bytes, with its type and size."""
    await site.visitor.get("/picture")
    async with look(site.page) as page:
        await open_detail(page, "/picture")
        await page.get_by_text("image/png, 24 \N{MULTIPLICATION SIGN} 16 pixels").wait_for()
        image = page.get_by_role("img", name="Picture of the body, image/png")
        assert await image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
            24,
            16,
        ]
        assert (await image.get_attribute("src")).startswith("blob:")


async def test_bytes_are_a_hex_dump(site, look):
    """What is neither text nor picture is dumped, a portion at a time."""
    await site.visitor.get("/bytes")
    async with look(site.page) as page:
        await open_detail(page, "/bytes")
        dump = page.locator(".hex")
        lines = (await dump.inner_text()).splitlines()
        assert lines[4] == (
            "000040  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO"
        )
        assert len(lines) == 128
        await page.get_by_role("button", name="Show more").click()
        await page.get_by_role("button", name="Show more").click()
        assert len((await dump.inner_text()).splitlines()) == 320
        assert not await page.get_by_role("button", name="Show more").is_visible()


@pytest.mark.parametrize(("path", "markup"), [("/hostile", HOSTILE), ("/svg", SVG)])
async def test_markup_of_an_answer_is_text(site, look, path, markup):
    """HTML and SVG are shown as they were written, and nothing in them is run."""
    await site.visitor.get(path)
    async with look(site.page) as page:
        await open_detail(page, path)
        await page.locator("pre.text").wait_for()
        assert await page.locator("pre.text").inner_text() == markup
        assert await page.locator("#detail-content").locator("script, svg, iframe").count() == 0


async def test_markup_of_a_visitor_is_text(site, look):
    """Method, path, query, headers, form fields and frames may be hostile: they stay text."""
    await site.visitor.request(
        "PATCH",
        "/asked/<img src=x onerror=harmed=7>?<script>harmed=8</script>=<svg onload=harmed=9>",
        headers={"x-markup": HOSTILE, "referer": "javascript:harmed=10"},
        data={"<script>harmed=11</script>": HOSTILE},
    )
    async with look(site.page) as page:
        shown = row(page, "/asked/%3Cimg%20src=x%20onerror=harmed=7%3E")
        await shown.or_(row(page, "/asked/<img src=x onerror=harmed=7>")).click()
        await page.get_by_role("tab", name="Request").click()
        await page.get_by_role("table", name="Fields").wait_for()
        assert HOSTILE in await page.get_by_role("table", name="Fields").inner_text()
        panel = page.get_by_role("tabpanel", name="Request")
        assert HOSTILE in await panel.get_by_role("table", name="Headers").inner_text()
        await page.get_by_role("button", name="Edit and replay").click()
        assert HOSTILE in await page.get_by_label("Headers, one a line").input_value()
        assert await page.locator("main").locator("script, iframe, img:not(.qr-image)").count() == 0


async def test_a_wrong_picture_is_a_dump(site, look):
    """What calls itself a picture and is none is shown byte by byte."""
    await site.visitor.post(
        "/asked/liar", content=b"\x89PNG\r\n\x1a\nno image", headers={"content-type": "image/png"}
    )
    async with look(site.page) as page:
        await open_detail(page, "/asked/liar")
        await page.get_by_role("tab", name="Request").click()
        panel = page.get_by_role("tabpanel", name="Request")
        await panel.locator(".hex").wait_for()
        assert "no image" in await panel.locator(".hex").inner_text()


async def test_a_conversation_is_listed_frame_by_frame(site, look):
    """Frames appear while it talks, with who said them, and its end with its code."""
    async with look(site.page) as page:
        async with site.connect("/socket") as socket:
            await socket.send("grüße <b>")
            assert await socket.recv() == "grüße <b>"
            await open_detail(page, "/socket")
            frames = page.get_by_role("list", name="Frames")
            await frames.get_by_text("grüße <b>").first.wait_for()
            await socket.send(b"\0\1\2")
            assert await socket.recv() == b"\0\1\2"
            await frames.locator(".hex", has_text="00 01 02").nth(1).wait_for()
            await socket.send("bye")
            await frames.get_by_text("close 4001").first.wait_for()
        said = await frames.locator(".frame-from").all_inner_texts()
        kinds = await frames.locator(".frame-kind").all_inner_texts()
        assert list(zip(said, kinds, strict=True))[:5] == [
            ("Visitor", "text"),
            ("App", "text"),
            ("Visitor", "binary"),
            ("App", "binary"),
            ("Visitor", "text"),
        ]
        assert await page.get_by_role("button", name="Replay", exact=True).is_disabled()
        await page.get_by_text("No replay:").wait_for()


async def test_a_request_is_copied_as_curl_and_httpx(site, look):
    """What lands on the clipboard is what the diagnostics answer for it."""
    await site.visitor.post("/asked/copied", content="it's 'quoted'")
    async with look(site.page, permissions=["clipboard-read", "clipboard-write"]) as page:
        await open_detail(page, "/asked/copied")
        record = site.tunnel.inspector.records()[0]
        detail = await page.evaluate(
            "id => fetch(`_quicktunnel/requests/${id}`).then(answer => answer.json())", record.id
        )
        for kind in ("curl", "httpx"):
            await page.get_by_role("button", name=f"Copy as {kind}").click()
            await page.get_by_role("button", name="Copied", exact=True).wait_for()
            assert await page.evaluate("navigator.clipboard.readText()") == detail[kind]
            assert "/asked/copied" in detail[kind]
            await page.get_by_role("button", name=f"Copy as {kind}").wait_for()


async def test_what_acts_on_a_request_waits_until_that_one_is_shown(site, look):
    """While the next request is on its way nothing acts on it in the name of the last one."""
    await site.visitor.get("/status/201")
    await site.visitor.get("/status/202")
    async with look(site.page) as page:
        await open_detail(page, "/status/201")
        edit = page.get_by_role("button", name="Edit and replay")
        await edit.wait_for()
        asked, answer = asyncio.Event(), asyncio.Event()

        async def hold(route):
            asked.set()
            await answer.wait()
            await route.continue_()

        await page.route("**/_quicktunnel/requests/*", hold)
        await row(page, "/status/202").click()
        await asked.wait()
        assert await edit.count() == 0
        answer.set()
        await edit.click()
        assert await page.get_by_label("Path and query").input_value() == "/status/202"
