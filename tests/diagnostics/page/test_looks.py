"""How the page looks, and that it can be used without seeing it and without a mouse."""

import pytest
from axe_playwright_python.async_playwright import Axe

from tests_support.page_site import open_detail, row, served_site

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
async def site(anyio_backend):
    """A site with requests of every kind."""
    async with served_site() as site:
        for path in ("/json", "/picture", "/bytes", "/hostile", "/status/404", "/status/500"):
            await site.visitor.get(path)
        async with site.connect("/socket") as socket:
            await socket.send("hello")
            await socket.recv()
        await site.visitor.post("/asked/form?a=1", data={"name": "Ada", "note": "x"})
        yield site


async def faults(page, part=None):
    """What axe-core finds on the page, or in a part of it, that keeps people out."""
    found = (await Axe().run(page, context=part)).response["violations"]
    return [
        f"{each['id']}: {node['html']} ({node['failureSummary']})"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_serious_fault(site, look, scheme, width):
    """The list, the kinds of detail and the form to edit pass axe-core in both themes."""
    viewport = {"width": width, "height": 900}
    async with look(site.page, color_scheme=scheme, viewport=viewport) as page:
        await row(page, "/asked/form").wait_for()
        await page.get_by_text("As a table").click()
        assert await faults(page) == []
        for path, tab in LOOKED_AT if width > 1000 else LOOKED_AT[:1]:
            await open_detail(page, path)
            await page.get_by_role("tab", name=tab).click()
            assert await faults(page, "#detail") == [], path
            await page.get_by_role("button", name="Close", exact=True).click()
        await open_detail(page, "/asked/form")
        await page.get_by_role("button", name="Edit and replay").click()
        assert await faults(page, "#detail") == []


LOOKED_AT = [
    ("/asked/form", "Request"),
    ("/json", "Response"),
    ("/bytes", "Response"),
    ("/picture", "Response"),
    ("/socket", "Frames"),
    ("/json", "Timing"),
]


async def test_the_theme_follows_the_system_and_the_toggle(site, look):
    """Dark where the system is; a toggle changes it, and a reload remembers."""
    ground = "getComputedStyle(document.body).backgroundColor"
    async with look(site.page, color_scheme="light") as page:
        light = await page.evaluate(ground)
        await page.emulate_media(color_scheme="dark")
        dark = await page.evaluate(ground)
        assert sum(channels(light)) > 3 * 200
        assert sum(channels(dark)) < 3 * 60
        toggle = page.get_by_role("button", name="Dark")
        assert await toggle.get_attribute("aria-pressed") == "true"
        await toggle.click()
        assert await page.evaluate(ground) == light
        assert await toggle.get_attribute("aria-pressed") == "false"
        await page.reload()
        assert await page.evaluate(ground) == light
        await page.get_by_role("button", name="Dark").click()
        assert await page.evaluate(ground) == dark


def channels(colour):
    return [int(part) for part in colour.strip("rgb()").split(",")]


async def test_a_phone_s_width_needs_no_scrolling_aside(site, look):
    """At 375 px list, detail and form fit; the detail covers the list and gives it back."""
    async with look(site.page, viewport={"width": 375, "height": 700}) as page:
        await row(page, "/json").wait_for()
        assert await fits(page)
        for path in ("/json", "/bytes", "/asked/form", "/socket"):
            await open_detail(page, path)
            assert await fits(page)
            box = await page.locator("#detail").bounding_box()
            assert (box["width"], box["height"]) == (375, 700)
            await page.get_by_role("button", name="Close", exact=True).click()
            await row(page, path).wait_for()
        await open_detail(page, "/asked/form")
        await page.get_by_role("button", name="Edit and replay").click()
        assert await fits(page)


async def fits(page):
    wide = await page.evaluate(
        "[document.documentElement, document.getElementById('detail')]"
        ".filter(each => each.scrollWidth > each.clientWidth + 1).length"
    )
    return wide == 0


async def test_who_wants_no_motion_gets_none(site, look):
    """With reduced motion nothing is animated and nothing glides."""
    async with look(site.page, reduced_motion="reduce") as page:
        await row(page, "/json").wait_for()
        moving = await page.evaluate(
            """[...document.querySelectorAll('*')].filter(each => {
                const style = getComputedStyle(each);
                return style.animationName !== 'none' || style.transitionDuration !== '0s';
            }).length"""
        )
        assert moving == 0


async def test_the_keyboard_is_enough(site, look):
    """Filter, choose, open, read and close without a mouse; the focus is never lost."""
    async with look(site.page) as page:
        press = page.keyboard.press
        focused = "document.activeElement.id || document.activeElement.dataset.id"
        await row(page, "/json").wait_for()
        await press("/")
        assert await page.evaluate(focused) == "filter-path"
        await page.keyboard.type("json")
        await page.locator("#count", has_text="1 of ").wait_for()
        await press("Escape")
        await page.locator("#count", has_not_text=" of ").wait_for()
        await page.evaluate("document.activeElement.blur()")
        await press("ArrowDown")
        newest = site.tunnel.inspector.records()[0].id
        assert await page.evaluate(focused) == newest
        await press("ArrowDown")
        second = site.tunnel.inspector.records()[1].id
        assert await page.evaluate(focused) == second
        await press("End")
        await press("Home")
        assert await page.evaluate(focused) == newest
        assert not await page.locator("#detail").is_visible()
        await press("Enter")
        await page.locator("#detail-title", has_text="/asked/form").wait_for()
        assert await page.evaluate(focused) == newest  # the arrows go on
        await press("ArrowDown")
        await page.locator("#detail-title", has_text="/socket").wait_for()
        await press("ArrowUp")
        await page.locator("#detail-title", has_text="/asked/form").wait_for()
        for _ in range(12):
            await press("Tab")
            if await page.evaluate("document.activeElement.role") == "tab":
                break
        assert await page.evaluate("document.activeElement.textContent") == "Response"
        await press("ArrowRight")
        assert (
            await page.get_by_role("tab", name="Request").get_attribute("aria-selected") == "true"
        )
        assert await page.evaluate("document.activeElement.textContent") == "Request"
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await press("Escape")
        await page.locator("#detail").wait_for(state="hidden")
        assert await page.evaluate(focused) == newest
