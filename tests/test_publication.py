"""Publication: two names in every place."""

import pytest
from starlette.datastructures import State

from asgi_quicktunnel.publication import Publication

TUNNEL = object()
URL = "https://a.example"
PUBLISHED = {"public_url": URL, "quicktunnel": TUNNEL}
NOTHING = {"public_url": None, "quicktunnel": None}


@pytest.fixture
def publication():
    return Publication()


def test_both_names_are_in_every_place(publication):
    """App state, server state and the tunnel's state say the same."""
    app_state, server_state = State(), {}
    publication.open(app_state, server_state)
    assert server_state == app_state._state == publication.state == NOTHING
    publication.publish(TUNNEL, URL)
    assert server_state == app_state._state == publication.state == PUBLISHED
    assert publication.tunnel is TUNNEL


def test_an_app_state_may_be_a_mapping(publication):
    """Where app.state is a dict the names are its keys."""
    app_state = {}
    publication.open(app_state, None)
    publication.publish(TUNNEL, URL)
    assert app_state == PUBLISHED


def test_an_app_state_that_takes_nothing_is_left_alone(publication):
    """An app whose `state` means something else works as before; its requests have the names."""

    publication.open(object(), None)
    publication.publish(TUNNEL, URL)
    assert publication.state == PUBLISHED


def test_a_request_gets_the_names_of_the_moment(publication):
    """A server that copied its state long ago does not show the app an old URL."""
    publication.open(None, {})
    scope = {"type": "http", "state": {"mine": 1, "public_url": None}}
    publication.publish(TUNNEL, URL)
    state = scope["state"]
    publication.apply(scope)
    assert scope["state"] is state
    assert state == {"mine": 1, **PUBLISHED}


def test_a_request_without_a_state_gets_one_of_its_own(publication):
    """Where the server gives none, each request has a copy of the lifespan's."""
    server_state = {}
    publication.open(None, server_state)
    server_state["pool"] = "a pool"
    publication.adopt_lifespan_state()
    first, second = {"type": "http"}, {"type": "http"}
    publication.apply(first)
    publication.apply(second)
    first["state"]["pool"] = "another"
    assert second["state"] == {"pool": "a pool", **NOTHING}


def test_the_adopted_state_survives_a_server_that_clears_its_own(publication):
    """granian empties its state before the shutdown; requests of the tunnel still find theirs."""
    server_state = {}
    publication.open(None, server_state)
    server_state["pool"] = "a pool"
    publication.publish(TUNNEL, URL)
    state = publication.state
    publication.adopt_lifespan_state()
    server_state.clear()
    assert publication.state is state
    assert state == {"pool": "a pool", **PUBLISHED}


def test_closing_takes_the_names_back(publication):
    """After the lifespan every place says None, and nothing of it is in the next one."""
    app_state, server_state = State(), {"pool": "a pool"}
    publication.open(app_state, server_state)
    publication.adopt_lifespan_state()
    publication.publish(TUNNEL, URL)
    publication.close()
    assert app_state._state == publication.state == NOTHING
    assert server_state == {"pool": "a pool", **NOTHING}
