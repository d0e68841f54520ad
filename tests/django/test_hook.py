"""The project as an application for any server."""

import asyncio
import subprocess
import sys

import anyio
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from asgi_quicktunnel.django import public_url
from asgi_quicktunnel.django.hook import DjangoApplication, _no_loop_in_sight

from tests_support.django_project import SITE
from tests_support.lifespan_server import LifespanServer
from tests_support.visit import Visit

pytestmark = pytest.mark.anyio


@pytest.mark.slow
def test_importing_it_needs_no_django():
    """A server may import it in a process that has not been set up; so may one without Django."""
    program = (
        "import sys, asgi_quicktunnel.django as d\n"
        "d.application\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('django', 'aioquic')])\n"
        "print(dir(d)[:3], d.tunnel_ready, d.public_url())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert "Signal object" in second
    assert second.endswith("None")


async def test_it_serves_the_project():
    """A request of a visitor is answered by the project's view."""
    visit = await Visit(DjangoApplication()).run()
    assert visit.status == 200
    assert b'"from_tunnel": true' in visit.body


async def test_it_has_a_lifespan_although_django_has_none(local_edge, project):
    """The tunnel lives in it, with the options of QUICKTUNNEL."""
    config = local_edge.config()
    setting = {
        "SERVICE_URL": config.service_url,
        "EDGE": config.edge,
        "CA_FILE": config.ca_file,
        "HA_CONNECTIONS": 1,
        "WAIT_READY": True,
    }
    with override_settings(QUICKTUNNEL=setting), anyio.fail_after(30):
        async with LifespanServer(DjangoApplication()) as server:
            assert (await server.startup())["type"] == "lifespan.startup.complete"
            assert public_url() == local_edge.url_for("")
            assert len(local_edge.connections) == 1
            assert (await server.shutdown())["type"] == "lifespan.shutdown.complete"
        assert public_url() is None


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nowhere.asgi.application", "there is no module 'nowhere'"),
        (f"{SITE}.hidden_hook_asgi.application", "leads back to itself"),
    ],
)
async def test_what_is_wrong_is_said_at_startup_and_again_at_each_request(path, sentence):
    """The server logs a sentence; there is no recursion where no check could see it coming."""
    with override_settings(QUICKTUNNEL={"APPLICATION": path}):
        application = DjangoApplication()
        async with LifespanServer(application) as server:
            answer = await server.startup()
            assert answer["type"] == "lifespan.startup.failed"
            assert sentence in answer["message"]
            assert "Traceback" not in answer["message"]
        scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
        with pytest.raises(ImproperlyConfigured, match=sentence):
            await application(scope, None, None)


async def test_a_project_that_fails_to_be_imported_fails_the_startup_with_its_traceback():
    """Servers take an exception there for an app without lifespan, and would go on."""
    with override_settings(QUICKTUNNEL={"APPLICATION": f"{SITE}.failing_asgi.application"}):
        async with LifespanServer(DjangoApplication()) as server:
            answer = await server.startup()
    assert answer["type"] == "lifespan.startup.failed"
    assert "failing_asgi.py" in answer["message"]
    assert answer["message"].endswith("RuntimeError: a module that fails")


async def test_a_project_is_set_up_as_before_a_server_runs():
    """Apps query the database meanwhile, which Django refuses where it sees an event loop."""
    loop = asyncio.get_running_loop()
    with _no_loop_in_sight():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
    assert asyncio.get_running_loop() is loop


def test_there_may_be_no_loop():
    """Then there is none to hide."""
    with _no_loop_in_sight(), pytest.raises(RuntimeError):
        asyncio.get_running_loop()
