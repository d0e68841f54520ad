"""How the page keeps up with a server that goes, comes back, or has no WebSockets."""

import time

import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.page_site import open_detail, row, served_site, serving
from tests_support.server_process import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

# What a browser itself says on the console of a server that is away.
AWAY = ("WebSocket connection to", "ERR_CONNECTION_REFUSED", "403")


async def test_a_page_finds_a_restarted_server_again(look):
    """The page says that it lost the server, then shows what the new one has; its token works."""
    server = {"port": free_port()}
    async with LocalEdge() as edge:
        async with serving(edge, server=server) as first:
            await first.visitor.get("/status/201")
            looking = look(first.page, expected_errors=AWAY)
            page = await looking.__aenter__()
            await row(page, "/status/201").wait_for()
        await page.locator("#link", has_text="Reconnecting").wait_for()
        async with serving(edge, server=server) as second:
            await page.locator("#link[data-link=live]").wait_for()
            await page.get_by_text("Nothing came through yet").wait_for()
            await page.locator("#url", has_text=second.public).wait_for()
            await second.visitor.post("/asked/anew", content="x")
            await row(page, "/asked/anew").wait_for()
            await open_detail(page, "/asked/anew")
            await page.get_by_role("button", name="Replay", exact=True).click()
            await page.get_by_role("heading", name="Original, number").wait_for()
            assert second.asked.count("/asked/anew") == 2
            await looking.__aexit__(None, None, None)


async def test_a_server_at_a_breakpoint_is_noticed(site, look):
    """While the event loop is blocked the page says since when it hears nothing, then goes on."""
    async with look(site.page) as page:
        await page.locator("#link[data-link=live]").wait_for()
        await page.evaluate(
            """() => {
                window.links = [];
                const link = document.getElementById('link');
                new MutationObserver(() => window.links.push(link.textContent))
                    .observe(link, {childList: true, characterData: true, subtree: true});
            }"""
        )
        time.sleep(4.7)  # this very loop serves the page, and the edge, which waits for 5 s
        await page.locator("#link[data-link=live]").wait_for()
        links = await page.evaluate("window.links")
        assert links[0].startswith("No news for ")
        assert links[-1] == "Live"
        await site.visitor.get("/status/202")
        await row(page, "/status/202").wait_for()


async def test_a_server_without_websockets_is_asked_again_and_again(look):
    """Under `uvicorn --ws none` the page polls: what visitors do appears all the same."""
    async with served_site(server={"ws": "none"}) as site:
        async with look(site.page, expected_errors=AWAY) as page:
            await page.locator("#link[data-link=polling]", has_text="Every 2 s").wait_for()
            await site.visitor.get("/status/202")
            await row(page, "/status/202").wait_for()
            await page.locator("#class-chart[aria-label*='1 2xx']").wait_for()
            await site.visitor.get("/status/203")
            await row(page, "/status/203").wait_for()


@pytest.mark.parametrize("library", ["websockets-sansio", "wsproto"])
async def test_each_websocket_library_of_uvicorn_will_do(look, library):
    """The page is live whichever of them carries its WebSocket."""
    async with served_site(server={"ws": library}) as site, look(site.page) as page:
        await page.locator("#link[data-link=live]").wait_for()
        await site.visitor.get("/status/202")
        await row(page, "/status/202").wait_for()


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "options", [{"diagnostics_path": "/debug/my-tunnel"}, {"server": {"root_path": "/api"}}]
)
async def test_another_path_and_a_root_path(look, options, slash):
    """The page finds its parts wherever it is, with and without a slash at its end."""
    async with served_site(**options) as site, look(site.page + slash) as page:
        await page.locator("#link[data-link=live]").wait_for()
        await page.locator("#url", has_text=site.public).wait_for()
        assert await page.locator(".qr-image").first.evaluate("image => image.decode()") is None
        await site.visitor.get("/status/202")
        await open_detail(page, "/status/202")
