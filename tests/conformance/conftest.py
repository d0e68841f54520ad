"""One suite for two servers: ours, behind a tunnel, and uvicorn as the control."""

import functools

import pytest

from tests_support.served_twice import KINDS, serve


@pytest.fixture(params=KINDS)
def served(request):
    """`async with served(app, **options) as site`, once for each server."""
    return functools.partial(serve, request.param)
