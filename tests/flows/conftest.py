"""An edge, and an app served through it."""

import pytest

from tests_support.tunnelled import tunnelled as start


@pytest.fixture(params=["held", "early"])
def fin(request):
    """When the edge ends a request without a body."""
    return request.param


@pytest.fixture
def tunnelled():
    """`async with tunnelled(app) as (edge, tunnel, visitor)`: an app behind a tunnel."""
    return start
