"""Which application a project has."""

import sys

import pytest
from channels.routing import ProtocolTypeRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings

from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.django.hook import DjangoApplication
from asgi_quicktunnel.django.resolution import (
    applications_in,
    find_application,
    find_target,
    wrap,
)

from tests_support.django_project import HOOK, SITE


def named(path):
    return override_settings(QUICKTUNNEL={"APPLICATION": path})


@pytest.mark.parametrize("separator", [".", ":"])
def test_the_setting_names_it(separator):
    """With a dot as in Django, or a colon as servers have it."""
    with named(f"{SITE}.routed_asgi{separator}application"):
        app = find_application()
    assert app is sys.modules[f"{SITE}.routed_asgi"].application


def test_without_the_setting_it_is_asgi_py_beside_root_urlconf():
    """As `startproject` makes it."""
    assert find_target()[:2] == (f"{SITE}.asgi", "application")
    app = find_application()
    assert app is sys.modules[f"{SITE}.asgi"].application


@pytest.mark.parametrize("urlconf", ["tests_support.urls", "nowhere.urls", "json", "__main__"])
def test_without_either_it_is_djangos_own(urlconf):
    """A project may have no asgi.py, and even no package."""
    with override_settings(ROOT_URLCONF=urlconf):
        assert find_target() is None
        assert type(find_application()) is ASGIHandler


def test_a_project_outside_of_packages_has_its_asgi_py_in_the_same_folder(tmp_path):
    """Another module called `asgi`, from elsewhere, is not it."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    (here / "plain_urls.py").write_text("urlpatterns = []")
    (elsewhere / "asgi.py").write_text("application = 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(elsewhere)
        patch.syspath_prepend(here)
        with override_settings(ROOT_URLCONF="plain_urls"):
            assert find_target() is None
            (here / "asgi.py").write_text("application = 2")
            patch.syspath_prepend(here)
            assert find_target()[:2] == ("asgi", "application")


@pytest.mark.parametrize("name", ["default_asgi", "wrapped_hook_asgi"])
def test_one_that_leads_back_is_refused(name):
    """When it is first used, as `check` does before."""
    with override_settings(
        ASGI_APPLICATION=HOOK, QUICKTUNNEL={"APPLICATION": f"{SITE}.{name}.application"}
    ):
        with pytest.raises(ImproperlyConfigured, match="leads back to itself"):
            find_application()
    with named(HOOK), pytest.raises(ImproperlyConfigured, match="leads back to itself"):
        find_application()


def test_it_is_wrapped_once():
    """One that asgi.py has wrapped stays as it is."""
    with named(f"{SITE}.wrapped_asgi.application"):
        wrapped = find_application()
    assert type(wrapped) is QuickTunnelASGI
    assert wrap(wrapped) is wrapped
    with named(f"{SITE}.asgi.application"):
        plain = find_application()
    assert list(applications_in(wrap(plain)))[1] is plain


@pytest.mark.parametrize("name", ["asgi", "wrapped_asgi"])
def test_static_files_are_served_inside_the_wrapper_under_debug(name):
    """Visitors of the tunnel enter there; without DEBUG nobody gets them so."""
    with named(f"{SITE}.{name}.application"):
        app = find_application()
    with override_settings(DEBUG=True):
        outer, files, *_ = applications_in(wrap(app, static_files=True))
    assert type(outer) is QuickTunnelASGI
    assert type(files) is ASGIStaticFilesHandler
    with override_settings(DEBUG=False):
        kinds = [type(each) for each in applications_in(wrap(app, static_files=True))]
    assert ASGIStaticFilesHandler not in kinds


def test_wrappers_are_looked_through():
    """Those that are known: a tunnel, a router, static files."""
    hook = DjangoApplication()

    router = ProtocolTypeRouter({"http": ASGIStaticFilesHandler(QuickTunnelASGI(hook))})
    assert list(applications_in(router))[-1] is hook
