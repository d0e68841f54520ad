"""What the app does to a project."""

import inspect

import pytest
from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from asgi_quicktunnel.django.commands import next_app_with, next_command
from asgi_quicktunnel.django.installation import MIDDLEWARE, install
from asgi_quicktunnel.django.management.commands.runserver import _origin, _telling
from asgi_quicktunnel.django.management.commands.tunnel import _address
from asgi_quicktunnel.django.middleware import QuickTunnelMiddleware
from asgi_quicktunnel.project import current_project, set_project

from tests_support.django_project import APPS

DECIDE = (
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "SECURE_PROXY_SSL_HEADER",
    "USE_X_FORWARDED_HOST",
    "USE_X_FORWARDED_PORT",
    "SECURE_SSL_REDIRECT",
)


@pytest.mark.parametrize("kind", [list, tuple])
def test_middleware_is_the_one_setting_that_is_extended(kind):
    """What decides about hosts and schemes stays; the project's own list is not touched."""
    own = kind(["django.middleware.common.CommonMiddleware"])
    before = {name: getattr(settings, name) for name in DECIDE}
    try:
        with override_settings(MIDDLEWARE=own):
            install()
            install()
            assert kind([MIDDLEWARE, *own]) == settings.MIDDLEWARE
            assert current_project() is not None
    finally:
        set_project(None)
    assert own == kind(["django.middleware.common.CommonMiddleware"])
    assert before == {name: getattr(settings, name) for name in DECIDE}


def test_the_app_has_a_label_of_its_own():
    """Not "django", which the last part of its name is."""
    assert apps.get_app_config("quicktunnel").name == "asgi_quicktunnel.django"


@pytest.mark.anyio
async def test_the_middleware_is_sync_or_async_as_what_is_next():
    """And hands on what that one answers."""
    request = RequestFactory().get("/")

    async def answer_async(request):
        return HttpResponse("async")

    sync = QuickTunnelMiddleware(lambda request: HttpResponse("sync"))
    asynchronous = QuickTunnelMiddleware(answer_async)
    assert not iscoroutinefunction(sync)
    assert iscoroutinefunction(asynchronous)
    assert sync(request).content == b"sync"
    waiting = asynchronous(request)
    assert inspect.isawaitable(waiting)
    assert (await waiting).content == b"async"
    assert request.quicktunnel.from_tunnel is False


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (APPS, "django.contrib.staticfiles"),
        ([APPS[0], "daphne", *APPS[1:]], "daphne"),
        ([name for name in APPS if "static" not in name], "django.core"),
    ],
)
def test_runserver_extends_what_would_have_run(installed, expected):
    """The first other app's, wherever ours stands; Django's own where none has one."""
    with override_settings(INSTALLED_APPS=installed):
        assert next_app_with("runserver") == expected
        assert next_command("runserver").__module__.startswith(expected)
    with override_settings(INSTALLED_APPS=[*installed[1:], installed[0]]):
        assert next_app_with("runserver") == expected


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        ("127.0.0.1", 8000, "127.0.0.1:8000"),
        ("0", 80, "127.0.0.1:80"),
        ("0.0.0.0", 80, "127.0.0.1:80"),
        ("::", 80, "[::1]:80"),
        ("::1", 80, "[::1]:80"),
        ("localhost", 80, "localhost:80"),
    ],
)
def test_the_tunnel_leads_to_the_address_that_was_bound(host, port, origin):
    """One that stands for all addresses is reached at this machine's own."""
    assert _origin(host, port) == origin


def test_a_server_that_tells_nothing_is_left_as_it_is():
    """Django's own has `on_bind` for it."""
    assert _telling(dict, None) is dict


@pytest.mark.parametrize(
    ("text", "ipv6", "expected"),
    [
        (None, False, ("127.0.0.1", 8000)),
        (None, True, ("::1", 8000)),
        ("9000", False, ("127.0.0.1", 9000)),
        ("0", False, ("127.0.0.1", 0)),
        ("0:80", False, ("0.0.0.0", 80)),
        ("[::]:80", False, ("::", 80)),
        ("localhost:80", True, ("localhost", 80)),
    ],
)
def test_addresses_are_spelled_as_runserver_takes_them(text, ipv6, expected):
    """A port, or an address and a port."""
    assert _address(text, ipv6=ipv6) == expected
