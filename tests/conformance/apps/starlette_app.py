"""The sample app in Starlette."""

import asyncio
import hashlib

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


def make_app(file):
    """The app; `file` is what it offers for download."""
    done = []
    released = asyncio.Event()

    async def index(request):
        return PlainTextResponse(str(request.url))

    async def upload(request):
        async with request.form() as form:
            content = await form["file"].read()
            return JSONResponse(
                {
                    "title": form["title"],
                    "name": form["file"].filename,
                    "type": form["file"].content_type,
                    "sha256": hashlib.sha256(content).hexdigest(),
                },
                201,
            )

    async def download(request):
        return FileResponse(file, filename="größe.txt")

    async def stream(request):
        async def parts():
            for number in range(200):
                yield f"part {number}\n"

        return StreamingResponse(parts(), media_type="text/plain")

    async def text(request):
        return PlainTextResponse("again and again\n" * 1000)

    async def visits(request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JSONResponse(request.session)

    async def work(item):
        await released.wait()
        done.append(item)

    async def later(request):
        item = request.path_params["item"]
        return JSONResponse({"later": item}, 202, background=BackgroundTask(work, item))

    async def release(request):
        released.set()
        return JSONResponse({"released": True})

    async def tasks(request):
        return JSONResponse(done)

    async def broken(request):
        raise RuntimeError("on purpose")

    async def talk(websocket):
        await websocket.accept(subprotocol="echo", headers=[(b"x-app", b"starlette")])
        async for message in websocket.iter_text():
            await websocket.send_text(message)
            await websocket.send_bytes(message.encode())
            if message == "bye":
                await websocket.close(4000, "bye")
                break

    return Starlette(
        routes=[
            Route("/", index),
            Route("/slash/", index),
            Route("/upload", upload, methods=["POST"]),
            Route("/file", download),
            Route("/stream", stream),
            Route("/text", text, middleware=[Middleware(GZipMiddleware)]),
            Route("/visits", visits),
            Route("/later/{item}", later, methods=["POST"]),
            Route("/release", release, methods=["POST"]),
            Route("/tasks", tasks),
            Route("/broken", broken),
            WebSocketRoute("/ws", talk),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key="not a secret")],
    )
