"""`manage.py check` on what would keep the tunnel from working."""

import pytest
from django.core.checks.registry import registry
from django.test import override_settings

from asgi_quicktunnel.django import checks
from asgi_quicktunnel.django.installation import MIDDLEWARE

from tests_support.django_project import APPS, HOOK, SITE

ON = {"ENABLED": True}


def found(**settings):
    """Ids and sentences of our checks under these settings.

    daphne's may have been registered by another test, and raises for a project without daphne.
    """
    ours = [check for check in registry.registered_checks if check.__module__ == checks.__name__]
    assert ours
    with override_settings(**settings):
        return {
            message.id.removeprefix("quicktunnel."): message.msg
            for check in ours
            for message in check(app_configs=None)
        }


def application(name):
    return f"{SITE}.{name}.application"


def test_a_project_as_it_should_be_is_fine(project):
    """Without DEBUG there is nothing to say, nor with it where there is no tunnel."""
    assert found(DEBUG=False, QUICKTUNNEL=ON) == {}
    assert found(DEBUG=True, QUICKTUNNEL={"ENABLED": False}) == {}
    assert found(DEBUG=True) == {}  # under pytest no tunnel runs by itself


def test_debug_on_a_public_url_is_a_warning(project):
    """Pages of errors would show code and settings to anybody."""
    assert list(found(DEBUG=True, QUICKTUNNEL=ON)) == ["W001"]


def test_a_wrong_setting_is_an_error(project):
    """With the words that name it."""
    errors = found(QUICKTUNNEL={"ENABLED": True, "ha_connections": 1})
    assert list(errors) == ["E001"]
    assert "ha_connections" in errors["E001"]


def test_a_wrong_variable_is_an_error(project):
    """A project without any setting can be stopped by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKTUNNEL_HA_CONNECTIONS", "x")
        errors = found()
    assert list(errors) == ["E002"]
    assert "QUICKTUNNEL_HA_CONNECTIONS='x' can't be used" in errors["E002"]


def test_a_lost_middleware_is_an_error_and_a_late_one_a_warning():
    """The app puts it first itself."""
    from django.conf import settings

    assert settings.MIDDLEWARE[0] == MIDDLEWARE
    assert settings.MIDDLEWARE.count(MIDDLEWARE) == 1
    others = settings.MIDDLEWARE[1:]
    assert list(found(MIDDLEWARE=others)) == ["E003"]
    assert list(found(MIDDLEWARE=[*others, MIDDLEWARE])) == ["W002"]


def test_an_app_whose_runserver_comes_first_is_a_warning():
    """Ours extends the others', so its place is before them."""
    names = [name for name in APPS if name != "asgi_quicktunnel.django"]
    late = found(INSTALLED_APPS=[*names, "asgi_quicktunnel.django"])
    assert list(late) == ["W003"]
    assert "'django.contrib.staticfiles' before 'asgi_quicktunnel.django'" in late["W003"]
    harmless = [name for name in names if name != "django.contrib.staticfiles"]
    assert found(INSTALLED_APPS=[*harmless, "asgi_quicktunnel.django"]) == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"QUICKTUNNEL": {"APPLICATION": HOOK}},
        {"QUICKTUNNEL": {"APPLICATION": "asgi_quicktunnel.django:application"}},
        {"QUICKTUNNEL": {"APPLICATION": application("default_asgi")}, "ASGI_APPLICATION": HOOK},
        {"QUICKTUNNEL": {"APPLICATION": application("wrapped_hook_asgi")}},
    ],
    ids=["directly", "with a colon", "get_default_application", "in a wrapper"],
)
def test_an_application_that_leads_back_to_itself_is_an_error(settings):
    """Directly, through `get_default_application()`, or in a wrapper."""
    assert list(found(**settings)) == ["E004"]


def test_what_is_not_there_is_an_error():
    """The sentence says which part is not."""
    for path, missing in {
        "nowhere.asgi.application": "there is no module 'nowhere'",
        f"{SITE}.nowhere.application": f"there is no module '{SITE}.nowhere'",
        f"{SITE}.asgi.app": f"'{SITE}.asgi' has no 'app'",
        f"{SITE}.settings.DEBUG": f"'{SITE}.settings' has no callable 'DEBUG'",
    }.items():
        errors = found(QUICKTUNNEL={"APPLICATION": path})
        assert list(errors) == ["E005"]
        assert missing in errors["E005"]


def test_an_application_that_fails_to_be_imported_is_an_error():
    """With what its module raised, and no traceback."""
    errors = found(QUICKTUNNEL={"APPLICATION": application("failing_asgi")})
    assert list(errors) == ["E005"]
    assert "RuntimeError('a module that fails')" in errors["E005"]


@pytest.mark.parametrize("name", ["asgi", "wrapped_asgi", "routed_asgi", "wrapped_router_asgi"])
def test_applications_in_the_right_order_are_fine(name):
    """Plain, wrapped, with a router, and with a router inside the wrapper."""
    assert found(ASGI_APPLICATION=application(name)) == {}
    assert found(QUICKTUNNEL={"APPLICATION": application(name)}, ASGI_APPLICATION=HOOK) == {}


def test_a_wrapper_inside_a_router_is_a_warning():
    """Visitors would not get to the WebSockets beside it."""
    warnings = found(ASGI_APPLICATION=application("wrapped_inside_asgi"))
    assert list(warnings) == ["W004"]


def test_an_application_that_gives_no_cause_is_not_imported():
    """Checks run with every command; this module would fail."""
    assert found(ASGI_APPLICATION=application("unimported_asgi")) == {}
