"""The commands of manage.py, as processes on the embedded edge."""

import os
import signal

import anyio
import httpx
import pytest

from asgi_quicktunnel.emulator import LocalEdge

from tests_support.django_project import MANAGE, WITH_DAPHNE, django_process

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

EDITED = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("GENERATION"))]
"""
SITES = {"django's": {}, "daphne's": WITH_DAPHNE}


class Source:
    """The project's urls.py, which is edited."""

    def __init__(self, folder):
        self.folder = folder
        self.generation = 0
        self.site = {"ROOT_URLCONF": "edited_urls"}
        self.edit()

    def edit(self):
        self.generation += 1
        beside = self.folder.parent / f"{self.folder.name}.py"
        beside.write_text(EDITED.replace("GENERATION", str(self.generation)))
        # A reloader that looks at times of change must see another one.
        os.utime(beside, (1_700_000_000 + self.generation,) * 2)
        beside.replace(self.folder / "edited_urls.py")

    def served(self, edge, *command, **site):
        process = django_process(edge, MANAGE, *command, site=self.site | site, cwd=self.folder)
        process._environ["PYTHONPATH"] += f"{os.pathsep}{self.folder}"
        return process


def interrupt_as_a_terminal_does(server):
    server.interrupt(signal.SIGINT)


@pytest.mark.parametrize("options", [(), ("--noreload",)], ids=["reloader", "noreload"])
@pytest.mark.parametrize("site", SITES)
async def test_runserver_is_public(local_edge, site, options):
    """Pages, static files and the tunnel's own host, through one tunnel that ends in order.

    Receivers of `tunnel_ready` are told once, and one that fails harms nobody. Under the reloader
    the connection is left to the next process.
    """
    with anyio.fail_after(60):
        async with django_process(
            local_edge, MANAGE, "runserver", *options, "0", site=SITES[site], ha_connections=1
        ) as server:
            url = await server.public_url()
            await server.line(f"told {url} asynchronously")
            await server.line(f"told {url} by QuickTunnel")
            async with local_edge.httpx_client(base_url=url) as visitor:
                facts = (await visitor.get("/")).json()
                page = (await visitor.get("/page")).text
                style = await visitor.get("/static/shop.css")
                moved = await visitor.get("/moved")
            (connection,) = local_edge.connections
            interrupt_as_a_terminal_does(server)
            assert await server.ended() == 0
            # Under the reloader the next process would have found its connection.
            if options:
                await local_edge.wait_for(lambda: connection.control.is_unregistered)
    host = url.partition("://")[2]
    assert (facts["host"], facts["url"], facts["from_tunnel"]) == (host, url, True)
    assert (facts["address"], facts["marked"]) == ("203.0.113.7", [])
    assert page == f"{url} {url} {url}/a%20b True"
    assert style.text == "body { color: green }\n"
    assert moved.headers["location"] == "/"
    assert len([line for line in server.lines if line.startswith("told")]) == 2
    assert len(local_edge.provisioning_requests) == 1
    assert list(local_edge.violations) == []


@pytest.mark.alone
async def test_the_command_tunnel_keeps_its_url_and_serves_static_files(tmp_path):
    """uvicorn with autoreload, which watches the folder that the command was called in."""
    source = Source(tmp_path)
    with anyio.fail_after(90):
        async with (
            LocalEdge(withdraw_names=True) as edge,
            source.served(edge, "tunnel", "0", "--ha-connections", "1") as server,
        ):
            url = await server.public_url()
            async with edge.httpx_client(base_url=url, timeout=None) as visitor:
                assert (await visitor.get("/")).text == "1"
                assert (await visitor.get("/static/shop.css")).text == "body { color: green }\n"
                await server.line("/static/shop.css 200")
                source.edit()
                await server.told("public at", 2)
                assert (await visitor.get("/")).text == "2"
            assert await server.public_url() == url
            assert len(edge.provisioning_requests) == 1
            interrupt_as_a_terminal_does(server)
            assert await server.ended() == 0
            assert list(edge.violations) == []


@pytest.mark.parametrize("wrapped", ["asgi", "wrapped_asgi", "routed_asgi"])
async def test_static_files_reach_visitors_however_the_application_is_wrapped(local_edge, wrapped):
    """Also where asgi.py wraps it itself, which is not done twice."""
    application = f"tests_support.django_site.{wrapped}.application"
    with anyio.fail_after(60):
        async with django_process(
            *(local_edge, MANAGE, "tunnel", "--noreload", "--quiet", "0"),
            site={"QUICKTUNNEL": {"APPLICATION": application}},
        ) as server:
            url = await server.public_url()
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/static/shop.css")).status_code == 200
                assert (await visitor.get("/")).json()["from_tunnel"] is True
            assert len(local_edge.provisioning_requests) == 1


@pytest.mark.parametrize(
    ("command", "site"),
    [
        (("check",), {}),
        (("migrate", "--plan"), {}),
        (("shell", "-c", "print('in the shell')"), {}),
        (("test",), {}),
        (("runserver", "--notunnel", "0"), {}),
        (("runserver", "0"), {"QUICKTUNNEL": {"ENABLED": False}}),
        (("runserver", "--skip-checks", "0"), {"QUICKTUNNEL": {"ENABLED": "perhaps"}}),
        (("testserver", "groups", "--noinput", "--addrport", "0"), {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_nothing_else_opens_a_tunnel(local_edge, command, site):
    """Other commands don't, nor does runserver where it is told not to."""
    with anyio.fail_after(60):
        async with django_process(local_edge, MANAGE, *command, site=site) as server:
            if "runserver" in command or "testserver" in command:
                line = await server.line("development server at")
                async with httpx.AsyncClient() as neighbour:
                    answer = await neighbour.get(line.partition(" at ")[2])
                assert answer.json()["url"] is None
                # Before it has logged the request, Python's WSGI handler swallows a Ctrl-C.
                await server.line('HTTP/1.1" 200')
                interrupt_as_a_terminal_does(server)
            assert await server.ended() == 0
    assert not local_edge.provisioning_requests


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tunnel", "nonsense"), "'nonsense' is not a valid port number or address:port pair"),
        (("tunnel", "99999"), "'99999' is not a valid port number"),
        (("tunnel", "-6", "127.0.0.1:80"), "'127.0.0.1' is not a valid IPv6 address"),
        (("tunnel", "--ha-connections", "x"), "'x' can't be used: it takes a whole number"),
        (("tunnel", "--strict", "maybe"), "'maybe' can't be used: it takes 1 or 0"),
    ],
)
async def test_a_mistake_on_the_command_line_is_one_sentence(local_edge, arguments, sentence):
    """And no traceback."""
    with anyio.fail_after(30):
        async with django_process(local_edge, MANAGE, *arguments) as server:
            assert await server.ended() != 0
    output = "\n".join(server.lines)
    assert sentence in output
    assert "Traceback" not in output


async def test_a_wrong_setting_stops_the_command_before_anything_is_served(local_edge):
    """The check names it."""
    site = {"QUICKTUNNEL": {"HA_CONNECTION": 1}}
    with anyio.fail_after(30):
        async with django_process(local_edge, MANAGE, "tunnel", "0", site=site) as server:
            assert await server.ended() == 1
    output = "\n".join(server.lines)
    assert 'QUICKTUNNEL["HA_CONNECTION"] can\'t be used' in output
    assert "Traceback" not in output


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "PACKAGE":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("package", "command", "sentence"),
    [
        ("uvicorn", (MANAGE, "tunnel", "--skip-checks", "0"), "the command tunnel needs uvicorn"),
        (
            "django",
            ("uvicorn", "asgi_quicktunnel.django:application", "--port", "0"),
            "asgi_quicktunnel.django needs Django",
        ),
    ],
)
async def test_a_missing_package_says_which_extra_to_install(
    local_edge, tmp_path, package, command, sentence
):
    """Where it is needed, in a sentence."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.replace("PACKAGE", package))
    process = django_process(local_edge, *command)
    process._environ["PYTHONPATH"] = os.pathsep.join(
        [str(tmp_path), process._environ["PYTHONPATH"]]
    )
    with anyio.fail_after(30):
        async with process as server:
            assert await server.ended() != 0
    output = "\n".join(server.lines)
    assert sentence in output
    assert 'pip install "asgi-quicktunnel[django]"' in output
    assert "Traceback" not in output


async def test_an_address_of_ipv6_is_reached(local_edge):
    """`runserver -6` and the like, where this machine has IPv6."""
    with anyio.fail_after(60):
        async with django_process(
            local_edge, MANAGE, "runserver", "-6", "--noreload", "0"
        ) as server:
            url = await server.public_url()
            async with local_edge.httpx_client(base_url=url) as visitor:
                assert (await visitor.get("/")).json()["from_tunnel"] is True
