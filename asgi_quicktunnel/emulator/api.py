"""The service that hands out tunnels: POST /tunnel (protocol.md §1)."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import h11
from anyio.abc import SocketStream

from asgi_quicktunnel.emulator.exchange import send_page
from asgi_quicktunnel.emulator.faults import Faults
from asgi_quicktunnel.emulator.http1 import BadRequest, HttpConnection, VisitorGone
from asgi_quicktunnel.emulator.pages import Page, refusal
from asgi_quicktunnel.emulator.tunnels import Tunnel
from asgi_quicktunnel.model import Headers

__all__ = ["ProvisioningRequest", "ServiceApi"]


@dataclass(frozen=True, slots=True)
class ProvisioningRequest:
    """What came to the service, whatever it was answered.

    Attributes:
        method: as sent.
        path: with the query.
        headers: names in lower case.
        body: its first 64 KiB.
        status: of the answer.
    """

    method: str
    path: str
    headers: Headers
    body: bytes = field(repr=False)
    status: int


class ServiceApi:
    """Answers one connection after the other.

    Args:
        create_tunnel: hands out a tunnel.
        faults: looked at for every request.

    Attributes:
        requests: the last 1,000, in order.
    """

    def __init__(self, create_tunnel: Callable[[], Tunnel], faults: Faults) -> None:
        self._create_tunnel = create_tunnel
        self._faults = faults
        self.requests: deque[ProvisioningRequest] = deque(maxlen=KEPT)

    async def handle(self, stream: SocketStream) -> None:
        """Serve one connection until it is over."""
        http = HttpConnection(stream)
        try:
            while (request := await http.next_request()) is not None:
                body = await self._read(http)
                page = self._answer(request)
                self._record(request, body, page.status)
                await send_page(http, page, request.method.decode("ascii"))
                if not await http.finish():
                    break
        except BadRequest as exc:
            await send_page(http, refusal(exc.status), "", close=True)
        except VisitorGone:
            return
        await http.linger()

    async def _read(self, http: HttpConnection) -> bytes:
        body = b""
        while data := await http.receive():
            body += data[: MAX_RECORDED_BODY - len(body)]
        return body

    def _answer(self, request: h11.Request) -> Page:
        if request.target.partition(b"?")[0] != b"/tunnel":
            return refusal(404)
        if request.method != b"POST":
            return refusal(405, allow=b"POST")
        if (fault := self._faults.provisioning) is not None:
            return Page(fault.status, fault.body, fault.content_type)
        credentials = self._create_tunnel().credentials
        answer = {
            "success": True,
            "result": {
                "id": str(credentials.tunnel_id),
                "name": "",
                "hostname": credentials.hostname,
                "account_tag": credentials.account_tag,
                "secret": base64.b64encode(credentials.secret).decode("ascii"),
            },
            "errors": [],
        }
        return Page(200, json.dumps(answer).encode(), "application/json")

    def _record(self, request: h11.Request, body: bytes, status: int) -> None:
        self.requests.append(
            ProvisioningRequest(
                method=request.method.decode("ascii"),
                path=request.target.decode("ascii"),
                headers=list(request.headers),
                body=body,
                status=status,
            )
        )


KEPT = 1000  # requests; a service that runs for days must not fill memory
MAX_RECORDED_BODY = 64 << 10  # bytes
