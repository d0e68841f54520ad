"""A reverse proxy of somebody else's, with what it tells of its visitors as a choice."""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests_support.local_servers import uvicorn_at


def reverse_proxy_to(address, *, host=None, forwards=True):
    """`async with reverse_proxy_to(address) as front`, which is where visitors come.

    Args:
        address: "host:port" that it asks.
        host: what it says as Host; None passes the visitor's on.
        forwards: whether it adds X-Forwarded-For, as proxies do by default.
    """

    async def pass_on(request: Request):
        headers = dict(request.headers) | ({"host": host} if host is not None else {})
        if forwards:
            headers["x-forwarded-for"] = request.client.host
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(
                request.method,
                f"http://{address}{request.url.path}",
                headers=headers,
                content=await request.body(),
            )
        return Response(answer.content, answer.status_code, dict(answer.headers))

    methods = ["GET", "HEAD", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", pass_on, methods=methods)])
    return uvicorn_at(app, proxy_headers=False)
