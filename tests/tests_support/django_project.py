"""The project `django_site`: in this process, and in processes of its own."""

import json
import threading
from contextlib import contextmanager
from functools import cache

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from asgi_quicktunnel.project import set_project

from tests_support.server_process import ServerProcess, environment

SITE = "tests_support.django_site"
HOOK = "asgi_quicktunnel.django.application"
MANAGE = f"{SITE}.manage"
APPS = [
    "asgi_quicktunnel.django",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    f"{SITE}.shop",
]
WITH_DAPHNE = {
    "INSTALLED_APPS": [APPS[0], "daphne", *APPS[1:]],
    "ASGI_APPLICATION": HOOK,
}


@cache
def set_up():
    """Make `django_site` the project of this process; tunnels of other tests don't hear of it."""
    from tests_support.django_site import settings as module

    given = {name: getattr(module, name) for name in dir(module) if name.isupper()}
    settings.configure(**given)
    django.setup()
    set_project(None)


def django_process(edge, *command, site=None, cwd=None, **options):
    """A `ServerProcess` of the project; `site` are settings that differ, the rest is options."""
    environ = environment(edge, **options)
    environ["DJANGO_SETTINGS_MODULE"] = f"{SITE}.settings"
    environ["DJANGO_SITE"] = json.dumps(site or {})
    environ["DJANGO_RUNSERVER_HIDE_WARNING"] = "true"
    return ServerProcess(list(command), environ, cwd=cwd)


class Silent(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def wsgi_server():
    """`runserver`'s own server around the project, in a thread: `with wsgi_server() as address`."""
    with ThreadedWSGIServer(("127.0.0.1", 0), Silent) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
