"""An app with the diagnostics around it, and who answered a request.

The app answers everything with 418: what is not ours reaches it unchanged.
"""

from starlette.responses import PlainTextResponse

from asgi_quicktunnel import QuickTunnelASGI

STATUS = "/_quicktunnel/status"
TOKEN = "/_quicktunnel/token"
SECRET = "a-secret-of-mine-alone"
BEARER = f"Authorization: Bearer {SECRET}"
# Where a server runs the lifespan, the tunnel finds no service, and nothing leaves this machine.
ENABLED = {"enabled": True, "service_url": "http://127.0.0.1:9"}
PRIVATE = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


async def the_app(scope, receive, send):
    """Takes every WebSocket and answers every request alike."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
    else:
        await PlainTextResponse("the app", 418)(scope, receive, send)


def wrapped(**options):
    return QuickTunnelASGI(the_app, **ENABLED, **options)


def own_origin(address):
    return f"Origin: http://{address}"


def is_the_apps(answer):
    """Whether the app answered, and nothing of ours is on it."""
    names = {name for name, _ in answer.headers}
    return (answer.status, answer.body) == (418, b"the app") and not names & PRIVATE.keys()


def is_ours(answer):
    """Whether we answered, with all that keeps the answer private and no leave for others."""
    assert {name: answer.header(name) for name in PRIVATE} == PRIVATE
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]
    return b"the app" not in answer.body
