"""The page as HTML, and its files."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from asgi_quicktunnel.diagnostics.access import PageToken

if TYPE_CHECKING:  # imported late: a page that nobody opens costs nothing
    from jinja2 import Template

    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["CONTENT_SECURITY_POLICY", "Page"]


class Page:
    """The HTML page, its scripts and stylesheets, and the QR code of the public URL.

    The page loads nothing from elsewhere, and what visitors sent is never markup in it: no script
    or style stands in it, `CONTENT_SECURITY_POLICY` allows none, and with it no script can turn
    text into markup.

    Args:
        path: the diagnostics', such as "/_quicktunnel".
        tunnel: gives the tunnel of the moment, or None.
        token: what the page's own requests show when they change something.
    """

    def __init__(
        self, path: str, tunnel: Callable[[], QuickTunnel | None], token: PageToken
    ) -> None:
        self._path = path
        self._tunnel = tunnel
        self._token = token

    def routes(self) -> list[BaseRoute]:
        """What is answered here."""
        return [
            Route(self._path, self._page),
            Route(self._path + "/", self._page),
            Route(self._path + "/qr.svg", self._qr),
            Route(self._path + "/static/{name}", self._static),
        ]

    def _page(self, request: Request) -> Response:
        tunnel = self._tunnel()
        # Relative, because a prefix that a server or a mount has put before us is not known here.
        has_slash = request.scope["path"].endswith("/")
        content = _template().render(
            base="" if has_slash else self._path.rpartition("/")[2] + "/",
            token=self._token.value,
            url=None if tunnel is None else tunnel.url,
            state="stopped" if tunnel is None else tunnel.state.value,
            version=version("asgi-quicktunnel"),
        )
        return Response(content, headers=_PAGE_HEADERS, media_type="text/html")

    def _static(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        media_type = _static_files().get(name)
        if media_type is None:
            return PlainTextResponse("Not Found", status_code=404)
        return FileResponse(_FOLDER / "static" / name, media_type=media_type)

    def _qr(self, request: Request) -> Response:
        tunnel = self._tunnel()
        if tunnel is None or tunnel.url is None:
            return PlainTextResponse("There is no public URL yet.", status_code=404)
        return Response(_qr_code(tunnel.url), media_type="image/svg+xml")


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(_FOLDER / "templates")
    return Environment(loader=loader, autoescape=True, trim_blocks=True).get_template("page.html")


@functools.cache
def _static_files() -> dict[str, str]:
    """The media type of each file by its name; what is not among them is not served."""
    return {
        path.name: _MEDIA_TYPES[path.suffix]
        for path in (_FOLDER / "static").iterdir()
        if path.suffix in _MEDIA_TYPES
    }


@functools.lru_cache(maxsize=1)
def _qr_code(url: str) -> bytes:
    import segno

    drawing = io.BytesIO()
    segno.make_qr(url, error="m").save(drawing, kind="svg", border=2, omitsize=True, light="#fff")
    return drawing.getvalue()


_FOLDER = Path(__file__).parent
# Not the system's table: on some machines it calls scripts text/plain, and browsers refuse them.
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# blob: is for the pictures among the bodies, which a script makes from their bytes.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY}
