"""The sample app in Quart."""

import asyncio
import hashlib

from quart import Quart, Response, request, send_file, session, websocket


def make_app(file):
    """The app; `file` is what it offers for download."""
    app = Quart(__name__)
    app.secret_key = "not a secret"
    done = []
    released = asyncio.Event()

    @app.get("/")
    @app.get("/slash/")
    async def index():
        return Response(request.url, mimetype="text/plain")

    @app.post("/upload")
    async def upload():
        form, files = await request.form, await request.files
        content = files["file"].read()
        return {
            "title": form["title"],
            "name": files["file"].filename,
            "type": files["file"].content_type,
            "sha256": hashlib.sha256(content).hexdigest(),
        }, 201

    @app.get("/file")
    async def download():
        return await send_file(file, attachment_filename="größe.txt", conditional=True)

    @app.get("/stream")
    async def stream():
        async def parts():
            for number in range(200):
                yield f"part {number}\n"

        return Response(parts(), mimetype="text/plain")

    @app.get("/text")
    async def text():
        return Response("again and again\n" * 1000, mimetype="text/plain")

    @app.get("/visits")
    async def visits():
        session["visits"] = session.get("visits", 0) + 1
        return dict(session)

    async def work(item):
        await released.wait()
        done.append(item)

    @app.post("/later/<item>")
    async def later(item):
        app.add_background_task(work, item)
        return {"later": item}, 202

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
    async def talk():
        await websocket.accept(headers={"x-app": "quart"}, subprotocol="echo")
        while True:
            message = await websocket.receive()
            await websocket.send(message)
            await websocket.send(message.encode())
            if message == "bye":
                await websocket.close(4000, "bye")
                break

    return app
