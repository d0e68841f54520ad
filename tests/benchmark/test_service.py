import pytest

from asgi_quicktunnel.provisioning import request_tunnel
from asgi_quicktunnel.readiness import ReadinessCheck

from bench.service import Service


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_a_connector_gets_a_tunnel_whose_url_it_can_prove():
    """Nothing goes on asking while something is measured."""
    with Service() as service:
        credentials = await request_tunnel(service.url, user_agent="test")
        check = ReadinessCheck(user_agent="test")
        readiness = await check.wait_reachable(credentials.url, "0" * 32, timeout=5)
    assert len(credentials.secret) == 32
    assert readiness.is_proved, str(readiness)
