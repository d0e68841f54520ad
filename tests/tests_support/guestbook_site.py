"""The Django example as a project that servers run, each test with a copy of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests_support.server_process import ServerProcess, environment

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "django"
ADMINISTRATOR = ("admin", "correct horse battery")

APP = "guestbook.asgi:application"
SERVERS = {
    "uvicorn": ("uvicorn", APP, "--port", "{port}"),
    "uvicorn, the hook": ("uvicorn", "asgi_quicktunnel.django:application", "--port", "{port}"),
    "hypercorn": ("hypercorn", APP, "--bind", "127.0.0.1:{port}"),
    "granian": ("granian", APP, "--interface", "asgi", "--port", "{port}"),
    "daphne": ("daphne", APP, "--port", "{port}"),
    "gunicorn": (
        *("gunicorn", APP, "--bind", "127.0.0.1:{port}"),
        *("--worker-class", "uvicorn_worker.UvicornWorker"),
    ),
    "tunnel": ("manage.py", "tunnel", "127.0.0.1:{port}"),
    "runserver": ("manage.py", "runserver", "127.0.0.1:{port}"),
    "runserver --noreload": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
}

# Lines for `GuestbookSite.variant`.
WITH_DAPHNE = """
INSTALLED_APPS.insert(1, "daphne")
"""


class GuestbookSite:
    """A copy of the example with a database and an administrator: `GuestbookSite.make(folder)`.

    Attributes:
        folder: of the copy.
        settings: name of the settings module.
    """

    def __init__(self, folder, settings="guestbook.settings"):
        self.folder = folder
        self.settings = settings

    @classmethod
    def make(cls, folder):
        """Copy the example, make its database, and put the administrator into it."""
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", ".*", "__pycache__"))
        site = cls(folder)
        name, password = ADMINISTRATOR
        for words in (
            ("migrate", "--verbosity", "0"),
            ("createsuperuser", "--noinput", "--username", name, "--email", ""),
        ):
            site.manage(*words, DJANGO_SUPERUSER_PASSWORD=password).check_returncode()
        return site

    def copy(self, folder):
        """Another copy, with its data."""
        shutil.copytree(self.folder, folder)
        return GuestbookSite(folder, self.settings)

    def variant(self, lines):
        """This site with these lines after its settings."""
        name = f"variant_of_{self.settings.replace('.', '_')}"
        (self.folder / f"{name}.py").write_text(f"from {self.settings} import *\n{lines}")
        return GuestbookSite(self.folder, name)

    def environment(self, edge=None, **options):
        """For a process of the project, pointed at an edge."""
        environ = environment(edge, **options)
        environ["DJANGO_SETTINGS_MODULE"] = self.settings
        environ["PYTHONPATH"] = str(self.folder)
        environ.pop("GUESTBOOK_DATA", None)
        return environ

    def manage(self, *words, edge=None, **environ):
        """A management command, run to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.folder,
            env={**self.environment(edge), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def served(self, edge, server, *, debug=False, **options):
        """One of SERVERS, with a tunnel to the edge: `async with site.served(edge, "uvicorn")`."""
        environ = self.environment(edge, **options)
        environ["GUESTBOOK_DEBUG"] = "1" if debug else "0"
        return ServerProcess(SERVERS[server], environ, cwd=self.folder)

    def edit(self, name, old, new):
        """Replace words of a module, in one step: reloaders see one change, of a whole file."""
        path = self.folder / name
        beside = self.folder.parent / f"{self.folder.name}.{os.getpid()}"
        text = path.read_text()
        assert old in text
        beside.write_text(text.replace(old, new))
        beside.replace(path)
