"""Sending a request once more, in a browser."""

import pytest

from tests_support.page_site import open_detail, row, served_site

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_replay_reaches_the_app_and_is_shown_beside_the_original(site, look):
    """One click is one more request for the app, with the same body; both are shown."""
    await site.visitor.post("/asked/again?x=1", json={"paid": True}, headers={"x-own": "kept"})
    async with look(site.page) as page:
        await open_detail(page, "/asked/again")
        await page.get_by_role("tab", name="Request").click()
        await page.get_by_role("button", name="Replay", exact=True).click()
        original, replay = site.tunnel.inspector.records()[1::-1]
        await page.get_by_role("heading", name=f"Original, number {original.id}").wait_for()
        (first, again) = [each for each in site.asked.list if each[1] == "/asked/again?x=1"]
        assert again[0] == "POST"
        assert again[3] == first[3]
        assert again[2]["x-own"] == "kept"
        assert again[2]["x-quicktunnel-replay"] == original.id
        replayed = page.get_by_role("region", name=f"Replay, number {replay.id}")
        assert '"number": ' in await replayed.get_by_role("tabpanel", name="Response").inner_text()
        await page.get_by_text(f"replay of {original.id}", exact=True).wait_for()


async def test_a_replay_with_edits(site, look):
    """Method, path, headers and body are changed as the form says; what is secret stays."""
    await site.visitor.post(
        "/asked/before", json={"n": 1}, headers={"authorization": "Bearer hush", "x-own": "a"}
    )
    async with look(site.page) as page:
        await open_detail(page, "/asked/before")
        await page.get_by_role("button", name="Edit and replay").click()
        form = page.get_by_role("form", name="Replay with edits")
        await form.get_by_label("Method").fill("PUT")
        await form.get_by_label("Path and query").fill("/asked/after?y=2")
        headers = form.get_by_label("Headers, one a line")
        text = await headers.input_value()
        assert "authorization: ***" in text
        await headers.fill(text.replace("x-own: a", "x-own: b") + "\nx-more: c")
        await form.get_by_label("Body").fill('{"n": 2}')
        await form.get_by_role("button", name="Send").click()
        await page.get_by_role("heading", name="Original, number").wait_for()
        method, target, sent, body = site.asked.list[-1]
        assert (method, target, body) == ("PUT", "/asked/after?y=2", b'{"n": 2}')
        assert (sent["x-own"], sent["x-more"]) == ("b", "c")
        assert sent["authorization"] == "Bearer hush"
        assert sent["content-length"] == "8"


async def test_edits_that_can_not_be_sent_are_answered_in_the_form(site, look):
    """What is wrong is said where it was written, nothing reaches the app, and nothing is lost."""
    await site.visitor.get("/asked/wrong")
    async with look(site.page, expected_errors=["400"]) as page:
        await open_detail(page, "/asked/wrong")
        await page.get_by_role("button", name="Edit and replay").click()
        form = page.get_by_role("form", name="Replay with edits")
        await form.get_by_label("Headers, one a line").fill("no colon here")
        await form.get_by_role("button", name="Send").click()
        await form.get_by_text("“no colon here” is no header").wait_for()
        await form.get_by_label("Headers, one a line").fill("x-fine: yes")
        await form.get_by_label("Path and query").fill("no-slash")
        await form.get_by_role("button", name="Send").click()
        await form.get_by_role("alert").filter(has_text="It was not sent: ").wait_for()
        assert await form.get_by_label("Path and query").input_value() == "no-slash"
        assert site.asked.count("/asked/wrong") == 1
        await page.keyboard.press("Escape")
        await form.wait_for(state="detached")
        assert await page.locator("#detail").is_visible()


async def test_a_replay_works_inside_a_framework_s_stack(look):
    """Installed by add_middleware, the page's own requests are answered too."""
    async with served_site(stacked=True) as site, look(site.page) as page:
        await page.locator("[data-link=live]#link").wait_for()
        await site.visitor.post("/asked/inside", content="x")
        await row(page, "/asked/inside").click()
        await page.get_by_role("button", name="Replay", exact=True).click()
        await page.get_by_role("heading", name="Original, number").wait_for()
        assert site.asked.count("/asked/inside") == 2
