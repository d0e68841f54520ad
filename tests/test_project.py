"""What a project says once for every tunnel of the process."""

import pytest

from asgi_quicktunnel import ConfigError, QuickTunnel, QuickTunnelASGI, TunnelConfig
from asgi_quicktunnel.project import current_project, set_project

from tests_support.lifespan_server import LifespanServer


class Project:
    starts_late = False

    def __init__(self, options=None, error=None):
        self._options = options or {}
        self._error = error
        self.tunnels = []

    def options(self):
        if self._error is not None:
            raise self._error
        return self._options

    def on_tunnel(self, tunnel):
        self.tunnels.append(tunnel)


@pytest.fixture
def say():
    def say(*args, **kwargs):
        project = Project(*args, **kwargs)
        set_project(project)
        return project

    yield say
    set_project(None)


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def test_its_options_stand_between_the_config_and_the_environment(say):
    """Keyword, config, project, environment: each wins over the next."""
    say({"grace_period": 3.0, "handshake_timeout": 3.0, "user_agent": "three"})
    config = TunnelConfig.resolve(
        TunnelConfig(handshake_timeout=2.0, user_agent="two"),
        {"user_agent": "one"},
        {
            "QUICKTUNNEL_GRACE_PERIOD": "4",
            "QUICKTUNNEL_STRICT": "1",
            "QUICKTUNNEL_USER_AGENT": "four",
        },
    )
    assert config.user_agent == "one"
    assert config.handshake_timeout == 2.0
    assert config.grace_period == 3.0
    assert config.strict is True


def test_what_it_can_not_say_keeps_the_tunnel_from_being_made(say):
    """With its own words."""
    say(error=ConfigError("a setting that can't be used"))
    for make in (QuickTunnel, QuickTunnelASGI):
        with pytest.raises(ConfigError, match="a setting that can't be used"):
            make(app)


@pytest.mark.anyio
async def test_it_hears_of_the_tunnel_before_that_starts(say, local_edge):
    """Of one that is made for a lifespan, whichever server that is of."""
    project = say()
    async with LifespanServer(QuickTunnelASGI(app, local_edge.config())) as server:
        await server.startup()
        (tunnel,) = project.tunnels
        assert type(tunnel) is QuickTunnel
        await server.shutdown()


def test_without_one_nothing_is_said():
    """As in every process but a framework's."""
    assert current_project() is None
