"""The page from its top to the table, in a browser."""

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.local_servers import uvicorn_at
from tests_support.page_site import Asked, make_app, row, served_site
from tests_support.server_process import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def paths_of(page):
    return await page.locator("#rows bdi.path").all_text_contents()


async def test_the_public_url_is_shown_with_its_qr_code(site, look):
    """The URL is there to be copied, opened and scanned; the code opens large and closes again."""
    async with look(site.page) as page:
        url = page.locator("#url")
        await url.filter(has_text=site.public).wait_for()
        assert await url.get_attribute("href") == site.public
        code = page.get_by_role("button", name="Show the QR code large")
        await code.locator("img").wait_for()
        assert await code.locator("img").evaluate("image => image.decode().then(() => true)")
        await code.click()
        dialog = page.get_by_role("dialog", name="QR code")
        assert await dialog.get_by_role("img", name=f"QR code of {site.public}").is_visible()
        await dialog.get_by_role("button", name="Close").click()
        await dialog.wait_for(state="hidden")
        assert await page.locator("#state").text_content() == "Ready"


async def test_the_url_is_copied(site, look):
    """The copy button puts the URL, and nothing else, on the clipboard."""
    async with look(site.page, permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.get_by_role("button", name="Copy", exact=True).click()
        await page.get_by_role("button", name="Copied", exact=True).wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == site.public


async def test_each_connection_has_a_card(site, look):
    """A card names index, site, address, engine and figures of its connection."""
    (connection,) = site.tunnel.statistics().connections
    async with look(site.page) as page:
        card = page.locator(".connection")
        await card.wait_for()
        text = await card.inner_text()
        for part in ("Connection 0", connection.colo, str(connection.transport.address), "RTT"):
            assert part in text
        assert connection.transport.engine in text
        assert await page.locator(".connection").count() == 1


async def test_requests_appear_without_a_reload(site, look):
    """What visitors ask for while the page is open shows up at the top, and in the charts."""
    async with look(site.page) as page:
        await page.locator("[data-link=live]#link").wait_for()
        await site.visitor.get("/status/200")
        await site.visitor.delete("/status/404?who=me")
        await row(page, "/status/404").wait_for()
        cells = await row(page, "/status/404").locator("td").all_inner_texts()
        assert cells[:3] == ["404", "DELETE", "/status/404?who=me"]
        assert (await paths_of(page))[:2] == ["/status/404", "/status/200"]
        await page.locator("#class-chart[aria-label*='4xx']").wait_for()
        label = await page.locator("#rate-chart").get_attribute("aria-label")
        assert "Requests per second over the last 15 minutes:" in label


async def test_the_charts_are_a_table_too(look):
    """What the charts draw is said in figures, minute by minute."""
    async with served_site() as site, look(site.page) as page:
        for code in (200, 200, 404, 500):
            await site.visitor.get(f"/status/{code}")
        await page.get_by_text("As a table").click()
        await page.locator("#class-chart[aria-label*='1 5xx']").wait_for()
        rows = await page.locator("#traffic-rows tr").all()
        assert len(rows) == 15
        figures = [await each.locator("td").all_inner_texts() for each in rows]
        sums = [sum(map(int, column)) for column in zip(*figures, strict=True)]
        assert sums == [0, 2, 0, 1, 1, 0]
        assert await page.locator("#rate-total").inner_text() == "4 requests in 15 minutes"


async def test_each_filter_narrows_the_list(look):
    """Method, path, status, status class and text leave those that fit; "Show all" ends it."""
    async with served_site() as site, look(site.page) as page:
        await site.visitor.get("/status/200")
        await site.visitor.post("/status/404", json={"found": "needle"})
        await site.visitor.get("/status/500", headers={"x-found": "thread"})
        await site.visitor.get("/json?q=1")
        await row(page, "/json").wait_for()
        everything = ["/json", "/status/500", "/status/404", "/status/200"]
        assert await paths_of(page) == everything

        async def leaves(*paths):
            await page.wait_for_function(
                """paths => JSON.stringify(paths) === JSON.stringify(
                    [...document.querySelectorAll('#rows bdi.path')].map(each => each.textContent))
                """,
                arg=list(paths),
            )

        for label, value, left in (
            ("Path", "STATUS/5", ["/status/500"]),
            ("Path", "q=1", ["/json"]),
            ("Status", "404", ["/status/404"]),
            ("Status", "2xx", ["/json", "/status/200"]),
            ("Text", "needle", ["/status/404"]),
            ("Text", "thread", ["/status/500"]),
        ):
            field = page.get_by_label(label, exact=True)
            await field.fill(value)
            await leaves(*left)
            assert await page.locator("#count").inner_text() == f"{len(left)} of 4 requests"
            await field.fill("")
            await leaves(*everything)
        await page.get_by_label("Method", exact=True).select_option("POST")
        await leaves("/status/404")
        await page.get_by_label("Path", exact=True).fill("nowhere")
        await page.get_by_text("No request fits the filter.").wait_for()
        await page.get_by_role("button", name="Show all").click()
        await leaves(*everything)


async def test_a_text_is_also_found_in_what_comes_later(site, look):
    """While a search for text is on, a request that contains it joins the list."""
    async with look(site.page) as page:
        await page.get_by_label("Text", exact=True).fill("later-on")
        await page.get_by_role("button", name="Show all").wait_for()  # the search is over
        await site.visitor.post("/asked/a", json="it came later-on")
        await row(page, "/asked/a").wait_for()
        assert await page.locator("#rows tr").count() == 1


async def test_a_paused_list_stands_still(site, look):
    """While paused nothing moves; the button counts what came, and brings it at the end."""
    async with look(site.page) as page:
        await site.visitor.get("/status/201")
        await row(page, "/status/201").wait_for()
        before = await paths_of(page)
        await page.get_by_role("button", name="Pause").click()
        await site.visitor.get("/status/202")
        await site.visitor.get("/status/203")
        await page.get_by_role("button", name="Resume (2 new)").click()
        await row(page, "/status/203").wait_for()
        assert await paths_of(page) == ["/status/203", "/status/202", *before]


async def test_an_empty_list_says_how_to_fill_it(look):
    """Before the first visitor the page names the URL to open; clearing leads there again."""
    async with served_site() as site, look(site.page) as page:
        await page.get_by_text("Nothing came through yet").wait_for()
        await page.get_by_text(f"curl -i {site.public}/").wait_for()
        await site.visitor.get("/status/200")
        await row(page, "/status/200").wait_for()
        assert not await page.get_by_text("Nothing came through yet").is_visible()
        await page.get_by_role("button", name="Clear").click()
        await page.get_by_text("Nothing came through yet").wait_for()
        assert site.tunnel.inspector.records() == []
        await site.visitor.get("/status/204")
        await row(page, "/status/204").wait_for()
        assert await paths_of(page) == ["/status/204"]


async def test_another_page_hears_of_a_clearing(look):
    """What one page clears leaves every page, and the row that is open says so."""
    async with served_site() as site, look(site.page) as page, look(site.page) as other:
        await site.visitor.get("/status/200")
        await row(other, "/status/200").click()
        await row(page, "/status/200").wait_for()
        await page.get_by_role("button", name="Clear").click()
        await other.get_by_text("This request is not kept any more.").wait_for()
        await other.get_by_text("Nothing came through yet").wait_for()


async def test_only_what_changed_is_redrawn(site, look):
    """A row stays the same element when others come, and 500 rows are the most there are."""
    async with look(site.page) as page:
        await site.visitor.get("/status/200")
        await row(page, "/status/200").evaluate("row => { row.stays = true }")
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask_often, site.visitor, 70)
        newest = site.tunnel.inspector.records()[0].id
        await page.locator(f"#rows tr[data-id='{newest}']").wait_for()
        await page.evaluate(
            """() => {
                const changes = [];
                const body = document.getElementById('rows');
                const observer = new MutationObserver((records) => changes.push(
                    ...records.filter((record) => record.type === 'childList')));
                observer.observe(body, {childList: true, subtree: true});
                window.stopCounting = () => {
                    changes.push(...observer.takeRecords());
                    observer.disconnect();
                    return changes.filter((record) => record.target === body)
                        .map((record) => [record.addedNodes.length, record.removedNodes.length]);
                };
            }"""
        )
        await site.visitor.get("/status/418")
        await row(page, "/status/418").wait_for()
        changes = await page.evaluate("window.stopCounting()")
        assert sum(added for added, _ in changes) == 1
        assert sum(removed for _, removed in changes) == 1
        assert await page.locator("#rows tr").count() == 500


async def ask_often(visitor, times):
    for _ in range(times):
        await visitor.get("/status/200")


async def test_a_page_without_an_inspector_says_so(look):
    """With `inspect=False` the list says why it stays empty."""
    async with served_site(inspect=False) as site, look(site.page) as page:
        await page.get_by_text("Requests are not kept").wait_for()
        await page.locator("#url", has_text=site.public).wait_for()


async def test_before_the_url_works_the_page_says_what_is_missing(look):
    """Until an edge server answers there is no URL, and the page says what it waits for."""
    async with LocalEdge() as edge:
        config = edge.config(edge=f"127.0.0.1:{free_port()}")
        async with uvicorn_at(make_app(Asked(), config=config), lifespan="on") as address:
            async with look(f"http://{address}/_quicktunnel") as page:
                await page.get_by_text("Waiting for an edge server to answer.").wait_for()
                assert await page.locator("#state").inner_text() == "Starting"
                assert await page.locator("#url").inner_text() == "No public URL yet"
                assert not await page.locator("#qr").is_visible()
                card = page.locator(".connection", has_text="Connection 0")
                await card.get_by_text("Connecting").or_(card.get_by_text("Waiting")).wait_for()
