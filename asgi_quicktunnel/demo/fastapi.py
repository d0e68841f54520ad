"""The demo of the FastAPI example."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import AsyncIterator

from asgi_quicktunnel.demo.examples import DemoError, Say, find_example
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["FastAPIExample"]


class FastAPIExample:
    """The single file of that example; see `Example`."""

    @contextlib.asynccontextmanager
    async def loaded(self) -> AsyncIterator[QuickTunnelASGI]:
        """The application."""
        path = find_example("fastapi") / "main.py"
        spec = importlib.util.spec_from_file_location("asgi_quicktunnel_demo", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as exc:
            raise DemoError(
                f"the example app needs {exc.name}: pip install 'asgi-quicktunnel[demo]'"
            ) from exc
        yield module.app

    def explain(self, public_url: str, say: Say) -> None:
        """Say what to fetch and post."""
        say("try:")
        say(f"  curl {public_url}/hello/world")
        say(f"  curl --data 'some text' {public_url}/echo")

    async def check(self, edge: LocalEdge, public_url: str, say: Say) -> bool:
        """Fetch a page, post a body."""
        body = os.urandom(1 << 20)
        async with edge.httpx_client() as client:
            page = await client.get(public_url + "/")
            echo = await client.post(public_url + "/echo", content=body)
        good = page.status_code == 200 and public_url in page.text
        say(f"{'ok' if good else 'FAILED'}: GET {public_url}/ answered {page.status_code}")
        same = echo.status_code == 200 and echo.content == body
        say(
            f"{'ok' if same else 'FAILED'}: POST {public_url}/echo of {len(body)} bytes answered "
            f"{echo.status_code} with {'the same' if echo.content == body else 'other'} bytes"
        )
        return good and same
