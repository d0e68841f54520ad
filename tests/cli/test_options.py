"""The options of a tunnel on the command line."""

import dataclasses
import os

import click
import pytest
from click.testing import CliRunner

from asgi_quicktunnel import TunnelConfig
from asgi_quicktunnel.cli.options import (
    display_options,
    export,
    take_display_settings,
    tunnel_options,
)
from asgi_quicktunnel.cli.run import command as run_command
from asgi_quicktunnel.config import environment_name, environment_options
from asgi_quicktunnel.display import DisplaySettings


def parsed(*arguments, **how):
    """What a command with these options takes from a command line; click's message otherwise."""
    taken = {}
    command = click.Command("x", params=tunnel_options(**how), callback=taken.update)
    ended = CliRunner().invoke(command, arguments)
    return taken if ended.exit_code == 0 else ended.output


@pytest.fixture
def environ():
    """The environment, put back afterwards."""
    before = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)


def test_every_option_of_the_environment_is_there_with_a_help_text():
    """The command line can say what the environment can say, and explains it."""
    options = {option.name: option for option in tunnel_options()}
    assert set(options) == {f"tunnel_{name}" for name in environment_options()}
    for name in environment_options():
        text = options[f"tunnel_{name}"].help
        assert len(text) > len(environment_name(name)) + 15
        assert text.endswith(f"[env: {environment_name(name)}]")
        assert text.count("QUICKTUNNEL_") == 1


def test_all_but_the_callback_can_be_given():
    """What is left out of the environment is code."""
    assert {field.name for field in dataclasses.fields(TunnelConfig)} - set(
        environment_options()
    ) == {"on_url"}


def test_what_is_given_reaches_the_tunnel_by_the_environment(environ):
    """Values and switches go where `TunnelConfig.from_env` finds them; the rest stays as it is."""
    environ["QUICKTUNNEL_GRACE_PERIOD"] = "7"
    environ["QUICKTUNNEL_STRICT"] = "1"
    export(parsed("--ha-connections", "3", "--no-strict", "--diagnostics-path", ""))
    config = TunnelConfig.from_env(environ)
    assert (config.ha_connections, config.strict, config.diagnostics_path) == (3, False, None)
    assert config.grace_period == 7
    assert not config.is_given("edge")


def test_a_command_takes_what_it_has_use_for():
    """By name, or by how the names begin."""

    def names(**how):
        return {option.name.removeprefix("tunnel_") for option in tunnel_options(**how)}

    assert names(only=("edge", "ca_*")) == {"edge", "ca_file"}
    assert names(only=("edge*",), without=("*_version",)) == {"edge"}
    assert names() - names(without=("websocket_*",)) == {
        name for name in environment_options() if name.startswith("websocket_")
    }


def test_a_value_that_can_not_be_used_is_a_usage_error():
    """The message names the flag, the value and what would do."""
    message = parsed("--edge-ip-version", "5")
    assert "--edge-ip-version" in message
    assert "'5' can't be used: it takes \"auto\", 4 or 6" in message


def test_a_flag_that_the_command_has_itself_is_left_to_it():
    """Ours is then called by a longer name."""
    assert "--edge" in parsed("--edge", "127.0.0.1:1", taken={"--edge"})
    taken = parsed("--tunnel-edge", "127.0.0.1:1", taken={"--edge"})
    assert taken["tunnel_edge"] == "127.0.0.1:1"


def test_run_has_each_flag_once():
    """No flag of the tunnel or the display meets one of uvicorn's."""
    flags = [flag for param in run_command.params for flag in (*param.opts, *param.secondary_opts)]
    assert len(flags) == len(set(flags))
    names = [param.name for param in run_command.params]
    assert len(names) == len(set(names))


def test_display_settings_are_taken_out():
    """What is left is the command's."""
    command = click.Command("x", params=display_options(), callback=lambda **values: values)
    values = command.main(["--json", "--no-qr"], standalone_mode=False)
    values["other"] = 1
    assert take_display_settings(values, steps=False) == DisplaySettings(
        json=True, quiet=False, qr=False, steps=False
    )
    assert values == {"other": 1}


def test_a_secret_that_can_not_be_used_is_not_shown():
    """The message names the option and what would do."""
    said = parsed("--diagnostics-token", "too-short")
    assert "--diagnostics-token" in said
    assert "16 to 1000 printable ASCII characters" in said
    assert "too-short" not in said
