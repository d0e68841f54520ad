"""A headless Chromium, without its own business with its maker's hosts."""

from contextlib import asynccontextmanager

from tests_support.programs import find_program, unavailable

QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def chromium():
    """`async with chromium() as browser`, of Playwright; the test is skipped without either."""
    path = find_program("chromium", "chromium-browser", "google-chrome")
    try:
        from playwright.async_api import async_playwright
    except ImportError as exc:
        unavailable("chromium", f"Playwright is missing: {exc}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=[*QUIET],
            chromium_sandbox=False,  # root and many containers can't have one; the pages are ours
        )
        try:
            yield browser
        finally:
            await browser.close()
