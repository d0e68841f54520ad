"""The service, asked by real clients."""

import base64
from uuid import UUID

import anyio
import httpx
import pytest

from asgi_quicktunnel.emulator.api import ServiceApi
from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.faults import Faults, ProvisioningFault
from asgi_quicktunnel.emulator.listen import serve_tcp
from asgi_quicktunnel.emulator.tunnels import Tunnels

from tests_support.public_front import read_to_end

pytestmark = pytest.mark.anyio


class Service:
    def __init__(self):
        self.tunnels = Tunnels(Changes())
        self.faults = Faults()
        self.api = ServiceApi(lambda: self.tunnels.create(scheme="http", port=80), self.faults)


@pytest.fixture
async def service():
    service = Service()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            service.port = await serve_tcp("127.0.0.1", 0, service.api.handle, tasks)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{service.port}", trust_env=False
            ) as service.client:
                yield service
            tasks.cancel_scope.cancel()


async def test_a_tunnel_is_handed_out(service):
    """The answer has the shape of protocol.md §1 and matches what the edge knows."""
    response = await service.client.post("/tunnel")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert (answer["success"], answer["errors"]) == (True, [])
    result = answer["result"]
    assert set(result) == {"id", "name", "hostname", "account_tag", "secret"}
    tunnel = service.tunnels.by_id(UUID(result["id"]))
    assert tunnel.credentials.secret == base64.b64decode(result["secret"], validate=True)
    assert len(tunnel.credentials.secret) == 32
    assert result["account_tag"] == tunnel.credentials.account_tag
    assert result["hostname"] == tunnel.url == f"http://{tunnel.name}:80"


async def test_every_tunnel_is_another(service):
    """Nothing is handed out twice."""
    results = [(await service.client.post("/tunnel")).json()["result"] for _ in range(5)]
    for key in ("id", "hostname", "secret", "account_tag"):
        assert len({result[key] for result in results}) == 5
    assert len(service.tunnels) == 5


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/tunnel", 405), ("HEAD", "/tunnel", 405), ("POST", "/", 404), ("POST", "/x", 404)],
)
async def test_other_requests_are_refused(service, method, path, status):
    """Only POST /tunnel makes a tunnel."""
    assert (await service.client.request(method, path)).status_code == status
    assert len(service.tunnels) == 0


async def test_what_was_asked_is_recorded(service):
    """Method, path, headers, body and the status of the answer."""
    await service.client.post("/tunnel?x", content=b"{}", headers={"User-Agent": "someone/1"})
    await service.client.post("/tunnel", content=b"b" * 100_000)
    first, second = service.api.requests
    assert (first.method, first.path, first.body, first.status) == ("POST", "/tunnel?x", b"{}", 200)
    assert (b"user-agent", b"someone/1") in first.headers
    assert len(second.body) == 64 << 10


async def test_faults(service):
    """`faults.provisioning` is answered instead, for as long as it is set."""
    service.faults.provisioning = ProvisioningFault()
    response = await service.client.post("/tunnel")
    assert (response.status_code, response.text) == (429, "error code: 1015")
    assert response.headers["content-type"].startswith("text/plain")

    service.faults.provisioning = ProvisioningFault(503, b"<html>", "text/html")
    response = await service.client.post("/tunnel")
    assert (response.status_code, response.text) == (503, "<html>")

    service.faults.provisioning = None
    assert (await service.client.post("/tunnel")).status_code == 200
    assert [request.status for request in service.api.requests] == [429, 503, 200]


@pytest.mark.parametrize("data", [b"\x00\r\n\r\n", b"POST /tunnel HTTP/1.1\r\n\r\n"])
async def test_garbage(service, data):
    """Bad requests get 400 and a closed connection; the service goes on."""
    async with await anyio.connect_tcp("127.0.0.1", service.port) as stream:
        await stream.send(data)
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 400 ")
    async with await anyio.connect_tcp("127.0.0.1", service.port) as stream:
        await stream.send(b"POST /tunnel HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
    assert (await service.client.post("/tunnel")).status_code == 200
