"""What travels from the command line to the serving process."""

import os

import pytest

from asgi_quicktunnel.cli.assignment import VARIABLE, Assignment
from asgi_quicktunnel.display import DisplaySettings
from asgi_quicktunnel.errors import LocalProtocolError


@pytest.fixture(autouse=True)
def _environ():
    before = os.environ.pop(VARIABLE, None)
    yield
    os.environ.pop(VARIABLE, None)
    if before is not None:
        os.environ[VARIABLE] = before


def test_it_arrives_as_it_was_sent():
    """Every member, also the nested ones."""
    sent = Assignment(
        app="module:app",
        factory=True,
        interface="auto",
        local_url="http://127.0.0.1:8000",
        reloads=True,
        display=DisplaySettings(json=True, qr=False),
    )
    sent.hand_on()
    assert Assignment.take() == sent


def test_without_one_there_is_nothing_to_serve():
    """Whoever imports the module by hand is told what it is for."""
    with pytest.raises(LocalProtocolError, match="run"):
        Assignment.take()
