"""The project of these tests."""

import pytest

from asgi_quicktunnel.project import set_project

from tests_support.django_project import set_up

set_up()  # before test modules are imported: models and commands want a project


@pytest.fixture
def project():
    """Tunnels that a test makes ask the project, as they do in a server."""
    from asgi_quicktunnel.django.installation import DjangoProject

    set_project(DjangoProject())
    yield
    set_project(None)
