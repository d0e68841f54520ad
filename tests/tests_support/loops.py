"""The event loops that a server may run us on."""

from importlib.util import find_spec

import pytest

# For a module's own `anyio_backend` fixture: `params=LOOPS`.
LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(
        ("asyncio", {"use_uvloop": True}),
        id="uvloop",
        marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed"),
    ),
]
