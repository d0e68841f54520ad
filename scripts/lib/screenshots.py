"""Pictures of the diagnostics page, with a small shop behind the tunnel and visitors who use it."""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.emulator import LocalEdge

from tests_support.browser import chromium
from tests_support.local_servers import uvicorn_at
from tests_support.page_site import echo_socket, picture, row

FOLDER = Path("screenshots")
EVENT = {
    "type": "payment.succeeded",
    "created": 1795829691,
    "data": {
        "order": "A-1047",
        "amount": 4200,
        "currency": "eur",
        "lines": [{"item": "tea", "count": 2}, {"item": "cup", "count": 1}],
        "refunded": False,
        "note": None,
    },
}


async def webhook(request):
    event = await request.json()
    return JSONResponse({"accepted": True, "order": event["data"]["order"]}, 202)


async def login(request):
    await request.body()
    return RedirectResponse("/orders", 303)


async def slow_report(request):
    await asyncio.sleep(random.uniform(0.05, 0.4))
    return PlainTextResponse("Internal Server Error", 500)


SHOP = Starlette(
    routes=[
        Route("/", lambda request: Response("<h1>Tea</h1>", media_type="text/html")),
        Route("/orders", lambda request: JSONResponse([{"id": 1}, {"id": 2}])),
        Route("/webhooks/payments", webhook, methods=["POST"]),
        Route("/login", login, methods=["POST"]),
        Route(
            "/pictures/tea.png", lambda request: Response(picture(320, 180), media_type="image/png")
        ),
        Route("/reports/monthly", slow_report),
        WebSocketRoute("/chat", echo_socket),
    ]
)


async def visit(visitor):
    """One visit, of whichever kind."""
    match random.choices(range(6), [8, 6, 3, 2, 2, 1])[0]:
        case 0:
            await visitor.get("/orders?page=2&sort=created")
        case 1:
            await visitor.get("/")
        case 2:
            await visitor.get("/pictures/tea.png")
        case 3:
            await visitor.post("/login", data={"name": "ada", "remember": "on"})
        case 4:
            await visitor.get("/favicon.ico")
        case 5:
            await visitor.get("/reports/monthly")


async def notify(visitor):
    headers = {"authorization": "Bearer secret", "user-agent": "payments/2.1"}
    await visitor.post("/webhooks/payments", json=EVENT, headers=headers)


async def use(visitor, seconds):
    """Visitors come and go, more at some times than at others."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        busy = 1 + 5 * (int(time.monotonic() / 20) % 3)
        await asyncio.gather(*(visit(visitor) for _ in range(random.randrange(busy))))
        await asyncio.sleep(random.uniform(0.2, 0.9))


async def take_all(browser, page_url):
    async def look(width, height, scheme):
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        await page.goto(page_url)
        await page.locator("#rows tr").first.wait_for()
        await page.locator("#class-chart[aria-label*='2xx']").wait_for()
        return page

    async def take(page, name):
        await page.screenshot(path=FOLDER / f"{name}.png")
        print(FOLDER / f"{name}.png")

    for scheme in ("light", "dark"):
        page = await look(1280, 860, scheme)
        await take(page, f"list-{scheme}")
        page = await look(1280, 860, scheme)
        await row(page, "/webhooks/payments").click()
        await page.get_by_role("tab", name="Request").click()
        await page.locator(".split").evaluate("split => split.scrollIntoView()")
        await take(page, f"detail-{scheme}")
        await page.get_by_role("button", name="Edit and replay").click()
        await take(page, f"edit-{scheme}")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Replay", exact=True).click()
        await page.get_by_role("heading", name="Original, number").wait_for()
        await take(page, f"replay-{scheme}")
        await row(page, "/chat").click()
        await page.get_by_role("list", name="Frames").wait_for()
        await take(page, f"frames-{scheme}")
        page = await look(375, 812, scheme)
        await take(page, f"phone-{scheme}")
        await row(page, "/webhooks/payments").click()
        await page.locator(".tree").first.wait_for()
        await take(page, f"phone-detail-{scheme}")


async def main(seconds):
    async with LocalEdge() as edge:
        app = QuickTunnelASGI(SHOP, config=edge.config(wait_ready=True))
        async with uvicorn_at(app, lifespan="on") as address:
            public = app.state.public_url
            async with edge.httpx_client(base_url=public) as visitor, chromium() as browser:
                host, port = edge.address
                uri = public.replace("http", "ws", 1) + "/chat"
                await use(visitor, seconds)
                async with connect(uri, host=host, port=port, proxy=None) as socket:
                    for said in ("hello?", json.dumps({"typing": True}), b"\x00\x01\x02tea"):
                        await socket.send(said)
                        await socket.recv()
                    for _ in range(2):
                        await notify(visitor)
                        await use(visitor, 2)
                    await take_all(browser, f"http://{address}/_quicktunnel")


FOLDER.mkdir(exist_ok=True)
asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 150.0))
