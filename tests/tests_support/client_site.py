"""A small site for clients of all kinds: a page with scripts, a form, files and a WebSocket."""

import asyncio
import hashlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute

# The page reports what it did in `document.title`, so that whoever drives a browser can wait.
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>loading</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
<body>
<form action="/form" method="post" enctype="multipart/form-data">
<input name="name"> <input name="file" type="file"> <button>Send</button>
</form>
<ol id="log"></ol>
<script src="/first.js"></script>
<script type="module" src="/second.js"></script>
"""
STYLE = "body { color: rgb(1, 2, 3) }"
FIRST = "window.first = 'here'"
SECOND = """
const log = (text) => document.querySelector('#log').append(
  Object.assign(document.createElement('li'), {textContent: text}))
log(`first script: ${window.first}`)
const socket = new WebSocket(new URL('/ws', location.href.replace(/^http/, 'ws')), ['chat', 'echo'])
window.socket = socket
socket.onopen = () => { log(`open: ${socket.protocol}`); socket.send('grüße') }
socket.onmessage = (event) => {
  log(`message: ${event.data}`)
  document.title = 'talking'
}
socket.onclose = (event) => {
  log(`closed: ${event.code} ${event.reason}`)
  document.title = 'closed'
}
"""


async def page(request: Request):
    return HTMLResponse(PAGE)


async def style(request: Request):
    return Response(STYLE, media_type="text/css")


async def first_script(request: Request):
    return Response(FIRST, media_type="text/javascript")


async def second_script(request: Request):
    return Response(SECOND, media_type="text/javascript")


async def form(request: Request):
    """What came in a form, with the digest of each file."""
    fields = {}
    async with request.form() as items:
        for name, value in items.multi_items():
            if isinstance(value, str):
                fields[name] = value
            else:
                content = await value.read()
                fields[name] = {
                    "filename": value.filename,
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
    return JSONResponse(fields)


async def digest(request: Request):
    """Length and digest of any body."""
    total, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        total.update(chunk)
        length += len(chunk)
    return JSONResponse({"length": length, "sha256": total.hexdigest()})


async def facts(request: Request):
    return JSONResponse(
        {
            "method": request.method,
            "url": str(request.url),
            "headers": dict(request.headers),
        }
    )


async def ticks(request: Request):
    """Parts that come one by one: each follows when the visitor asked for it at /tick."""

    async def parts():
        for number in range(3):
            yield f"tick {number}\n"
            await request.app.state.ticking.get()

    return StreamingResponse(parts(), media_type="text/plain")


async def tick(request: Request):
    request.app.state.ticking.put_nowait(None)
    return Response(status_code=204)


async def away(request: Request):
    response = RedirectResponse("/facts", 303)
    response.set_cookie("visited", "yes")
    return response


async def download(request: Request):
    size = int(request.path_params["size"])
    return Response(bytes(size), media_type="application/octet-stream")


async def missing(request: Request):
    return PlainTextResponse("not here", 404)


async def talk(websocket):
    """Send each message back; "bye" closes."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="echo" if "echo" in offered else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            websocket.app.state.left.put_nowait(message["code"])
            return
        if message.get("text") == "bye":
            await websocket.close(4001, "as you wish")
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


def make_site():
    """The app, with a state of its own."""
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/style.css", style),
            Route("/first.js", first_script),
            Route("/second.js", second_script),
            Route("/form", form, methods=["POST"]),
            Route("/digest", digest, methods=["POST", "PUT"]),
            Route("/facts", facts, methods=["GET", "POST", "DELETE", "PATCH"]),
            Route("/ticks", ticks),
            Route("/tick", tick, methods=["POST"]),
            Route("/away", away),
            Route("/download/{size:int}", download),
            Route("/missing", missing),
            WebSocketRoute("/ws", talk),
        ]
    )
    app.state.ticking = asyncio.Queue()  # one item for each tick that was asked for
    app.state.left = asyncio.Queue()  # the close codes of visitors who left a WebSocket
    return app
