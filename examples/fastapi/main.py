"""A small app with a bit of everything, public while it runs: uvicorn main:app"""

import asyncio
import hashlib
import html
from collections import deque
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    FastAPI,
    File,
    HTTPException,
    Query,
    Request,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import HTMLResponse, StreamingResponse

from asgi_quicktunnel import QuickTunnelASGI

app = FastAPI(title="asgi_quicktunnel example")
notes: deque[str] = deque(maxlen=100)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>asgi_quicktunnel example</title>
<body style="font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem">
<h1>It works</h1>
<p>{where}</p>
<p>You are <code>{visitor}</code>. Try
<a href="/hello/world">/hello/world</a>, <a href="/events">/events</a>,
<a href="/docs">/docs</a> or <a href="/nowhere">/nowhere</a>, or send a file:</p>
<form action="/upload" method="post" enctype="multipart/form-data">
<input type="file" name="file" required> <button>Upload</button>
</form>
</body>
</html>
"""


def content(media_type: str) -> dict[int | str, dict[str, Any]]:
    """What the documentation says of an answer that is not JSON."""
    return {200: {"content": {media_type: {}}}}


@app.head("/", response_class=HTMLResponse, include_in_schema=False)
@app.get("/", response_class=HTMLResponse)
async def index(request: Request) -> str:
    """Show the public URL, which every request finds in its state."""
    url = request.state.public_url
    where = "This app has no public URL (yet)."
    if url:
        where = f'This app is public at <a href="{html.escape(url)}">{html.escape(url)}</a>.'
    visitor = request.client.host if request.client else "somebody"
    return PAGE.format(where=where, visitor=html.escape(visitor))


@app.head("/hello/{name}", include_in_schema=False)
@app.get("/hello/{name}")
async def hello(name: str, request: Request) -> dict[str, str]:
    """Answer in JSON; `url` is how the visitor reached us."""
    return {"hello": name, "url": str(request.url)}


@app.post("/echo", response_class=StreamingResponse, responses=content("*/*"))
async def echo(request: Request) -> StreamingResponse:
    """Take a body of any size, then stream it back: 1 MiB of memory, the rest on disk."""
    body = UploadFile(SpooledTemporaryFile(max_size=1 << 20))  # noqa: SIM115  # closed below
    async for chunk in request.stream():
        await body.write(chunk)
    length = await asyncio.to_thread(body.file.tell)
    await body.seek(0)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while chunk := await body.read(64 << 10):
                yield chunk
        finally:
            await body.close()

    return StreamingResponse(
        chunks(),
        media_type=request.headers.get("content-type", "application/octet-stream"),
        headers={"content-length": str(length)},
    )


@app.post("/upload", responses={400: {"description": "That is no form"}})
async def upload(file: Annotated[UploadFile, File()]) -> dict[str, str | int | None]:
    """Take a form with a file, and say what came."""
    digest = hashlib.sha256()
    size = 0
    while chunk := await file.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/events", response_class=StreamingResponse, responses=content("text/event-stream"))
@app.post("/events", response_class=StreamingResponse, responses=content("text/event-stream"))
async def events(count: Annotated[int, Query(ge=1, le=60)] = 5) -> StreamingResponse:
    """Stream one event a second. Cloudflare holds a GET back until its end, a POST is live."""

    async def ticks() -> AsyncIterator[str]:
        for number in range(count):
            if number:
                await asyncio.sleep(1)
            yield f"data: {number}\n\n"

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.post("/notes", status_code=202)
async def take_note(text: str, tasks: BackgroundTasks) -> dict[str, str]:
    """Answer first, write afterwards."""
    tasks.add_task(notes.append, text)
    return {"accepted": text}


@app.get("/notes/{number}", responses={404: {"description": "There are fewer notes"}})
async def read_note(number: int) -> dict[str, str]:
    """One of the last hundred notes, counted from 0."""
    if not 0 <= number < len(notes):
        raise HTTPException(404, f"there are {len(notes)} notes")
    return {"text": notes[number]}


@app.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    """Send each message back."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


app = QuickTunnelASGI(app)
