"""What is at work here."""

from importlib.metadata import version

from asgi_quicktunnel.doctor import versions
from asgi_quicktunnel.transport.engines import choose_engine


def test_the_engine_and_the_libraries_are_named_with_their_versions():
    """As installed; one that is missing is said to be."""
    here = versions.versions_here(choose_engine("aioquic"))
    assert here.engine == f"aioquic {version('aioquic')}"
    assert f"uvicorn {version('uvicorn')}" in str(here)
    assert versions._named("no-such-distribution") == "no-such-distribution (missing)"
