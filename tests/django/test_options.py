"""The setting QUICKTUNNEL, and what wins over what."""

from dataclasses import fields

import pytest
from django.test import override_settings

from asgi_quicktunnel import ConfigError, TunnelConfig
from asgi_quicktunnel.django.assignment import Assignment, parse_option
from asgi_quicktunnel.django.installation import DjangoProject
from asgi_quicktunnel.django.options import read_setting


def test_every_option_is_a_key():
    """In upper case, with its value as in code."""
    given = {
        field.name.upper(): getattr(TunnelConfig(), field.name) for field in fields(TunnelConfig)
    }
    setting = read_setting({"APPLICATION": "mysite.asgi:application", **given})
    assert setting.problems == []
    assert setting.application == "mysite.asgi:application"
    assert setting.options == {name.lower(): value for name, value in given.items()}


@pytest.mark.parametrize("nothing", [{}, {"APPLICATION": None}])
def test_the_setting_may_be_absent_or_empty(nothing):
    """Then nothing is said of any option."""
    assert read_setting(nothing) == ({}, None, [])
    with override_settings():
        from django.conf import settings

        del settings.QUICKTUNNEL
        assert read_setting() == ({}, None, [])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ([1], "QUICKTUNNEL is a list and can't be used: it takes a dict"),
        ({"HA_CONNECTION": 1}, 'QUICKTUNNEL["HA_CONNECTION"] can\'t be used'),
        ({"ha_connections": 1}, 'QUICKTUNNEL["ha_connections"] can\'t be used'),
        ({1: 1}, 'QUICKTUNNEL["1"] can\'t be used'),
        ({"STRICT": "yes"}, "QUICKTUNNEL[\"STRICT\"]: strict='yes' can't be used: it takes True"),
        ({"APPLICATION": 3}, 'QUICKTUNNEL["APPLICATION"]=3 can\'t be used'),
        ({"APPLICATION": "asgi"}, "QUICKTUNNEL[\"APPLICATION\"]='asgi' can't be used"),
        ({"APPLICATION": "a.b.c d"}, "QUICKTUNNEL[\"APPLICATION\"]='a.b.c d' can't be used"),
    ],
)
def test_a_mistake_is_named(setting, sentence):
    """And keeps the tunnel from being made, with the same words."""
    (problem,) = read_setting(setting).problems
    assert problem.message.startswith(sentence)
    with override_settings(QUICKTUNNEL=setting), pytest.raises(ConfigError) as error:
        DjangoProject().options()
    assert str(error.value).startswith(sentence)


def test_a_key_that_is_nearly_right_is_recognised():
    """The hint says which one was meant; without any, which there are."""
    (near,) = read_setting({"ha_conections": 1}).problems
    (far,) = read_setting({"X": 1}).problems
    assert near.hint == 'Did you mean "HA_CONNECTIONS"?'
    assert "APPLICATION" in far.hint
    assert "HA_CONNECTIONS" in far.hint


def test_what_is_usable_of_a_setting_holds():
    """One mistake takes nothing else away from the checks that come after it."""
    setting = read_setting({"STRICT": 3, "GRACE_PERIOD": 2.0})
    assert setting.options == {"grace_period": 2.0}


def test_keyword_then_settings_then_environment(project):
    """Each wins over the next."""
    environ = {"QUICKTUNNEL_GRACE_PERIOD": "1", "QUICKTUNNEL_HA_CONNECTIONS": "1"}
    with override_settings(QUICKTUNNEL={"GRACE_PERIOD": 2.0, "STRICT": True}):
        config = TunnelConfig.resolve(None, {"strict": False}, environ)
    assert (config.strict, config.grace_period, config.ha_connections) == (False, 2.0, 1)
    assert config.is_given("grace_period")


def test_the_command_line_wins_over_the_settings(project):
    """It is handed on in the environment, as `manage.py tunnel` does for its children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKTUNNEL_DJANGO_ASSIGNMENT", "")  # so that it is gone afterwards
        given = Assignment(options={"grace_period": "5", "strict": "1"}, qr=False)
        given.hand_on()
        assert Assignment.take() == given
        with override_settings(QUICKTUNNEL={"GRACE_PERIOD": 2.0, "HA_CONNECTIONS": 3}):
            config = TunnelConfig.resolve(None, {}, {})
    assert (config.grace_period, config.strict, config.ha_connections) == (5.0, True, 3)


def test_a_value_of_the_command_line_is_read_as_the_environments():
    """With the same words for what can't be used."""
    assert parse_option("edge_ip_version", "6") == 6
    with pytest.raises(ConfigError, match="it takes a whole number"):
        parse_option("ha_connections", "x")
