"""The sample app in FastAPI."""

import asyncio
import hashlib
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile, WebSocket
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Route


def make_app(file):
    """The app; `file` is what it offers for download."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="not a secret")
    done = []
    released = asyncio.Event()

    @app.get("/", response_class=PlainTextResponse)
    @app.get("/slash/", response_class=PlainTextResponse)
    async def index(request: Request):
        return str(request.url)

    @app.post("/upload", status_code=201)
    async def upload(title: Annotated[str, Form()], file: UploadFile):
        digest = hashlib.sha256(await file.read()).hexdigest()
        return {"title": title, "name": file.filename, "type": file.content_type, "sha256": digest}

    @app.get("/file")
    @app.head("/file")
    async def download():
        return FileResponse(file, filename="größe.txt")

    @app.get("/stream")
    async def stream():
        def parts():  # not async: it runs in a thread
            for number in range(200):
                yield f"part {number}\n"

        return StreamingResponse(parts(), media_type="text/plain")

    @app.get("/visits")
    async def visits(request: Request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return request.session

    async def work(item):
        await released.wait()
        done.append(item)

    @app.post("/later/{item}", status_code=202)
    async def later(item: str, background: BackgroundTasks):
        background.add_task(work, item)
        return {"later": item}

    @app.post("/release")
    async def release():
        released.set()
        return {"released": True}

    @app.get("/tasks")
    async def tasks():
        return done

    @app.get("/broken")
    async def broken():
        raise RuntimeError("on purpose")

    @app.websocket("/ws")
    async def talk(websocket: WebSocket):
        await websocket.accept(subprotocol="echo", headers=[(b"x-app", b"fastapi")])
        async for message in websocket.iter_text():
            await websocket.send_text(message)
            await websocket.send_bytes(message.encode())
            if message == "bye":
                await websocket.close(4000, "bye")
                break

    async def text(request):
        return PlainTextResponse("again and again\n" * 1000)

    compressed = Route("/text", text, middleware=[Middleware(GZipMiddleware)])
    app.router.routes.append(compressed)
    return app
