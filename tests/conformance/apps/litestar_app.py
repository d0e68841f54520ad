"""The sample app in Litestar."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.exceptions import WebSocketDisconnect
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body
from litestar.response import File, Response, Stream


@dataclass
class Upload:
    """The form that is posted."""

    title: str
    file: UploadFile


def make_app(file):
    """The app; `file` is what it offers for download."""
    done: list[str] = []
    released = asyncio.Event()

    @get(["/", "/slash/"], media_type=MediaType.TEXT)
    async def index(request: Request[Any, Any, Any]) -> str:
        return str(request.url)

    @post("/upload")
    async def upload(
        data: Annotated[Upload, Body(media_type=RequestEncodingType.MULTI_PART)],
    ) -> dict[str, str]:
        digest = hashlib.sha256(await data.file.read()).hexdigest()
        facts = {"title": data.title, "name": data.file.filename}
        return {**facts, "type": data.file.content_type, "sha256": digest}

    @get("/file", media_type="text/plain")
    async def download() -> File:
        return File(file, filename="größe.txt")

    @get("/stream", media_type=MediaType.TEXT)
    async def stream() -> Stream:
        async def parts():
            for number in range(200):
                yield f"part {number}\n"

        return Stream(parts())

    @get("/text", media_type=MediaType.TEXT)
    async def text() -> str:
        return "again and again\n" * 1000

    @get("/visits")
    async def visits(request: Request[Any, Any, Any]) -> dict[str, int]:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return request.session

    async def work(item: str) -> None:
        await released.wait()
        done.append(item)

    @post("/later/{item:str}", status_code=202)
    async def later(item: str) -> Response[dict[str, str]]:
        return Response({"later": item}, background=BackgroundTask(work, item))

    @post("/release", status_code=200)
    async def release() -> dict[str, bool]:
        released.set()
        return {"released": True}

    @get("/tasks")
    async def tasks() -> list[str]:
        return done

    @get("/broken")
    async def broken() -> None:
        raise RuntimeError("on purpose")

    @websocket("/ws")
    async def talk(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept(subprotocols="echo", headers={"x-app": "litestar"})
        message = ""
        try:
            while message != "bye":
                message = await socket.receive_text()
                await socket.send_text(message)
                await socket.send_bytes(message.encode())
            await socket.close(4000, "bye")
        except WebSocketDisconnect:
            pass

    sessions = CookieBackendConfig(secret=b"sixteen bytes...")
    return Litestar(
        [index, upload, download, stream, text, visits, later, release, tasks, broken, talk],
        middleware=[sessions.middleware],
        compression_config=CompressionConfig(
            backend="gzip", exclude=["/file", "/stream"], minimum_size=500
        ),
        openapi_config=None,
    )
