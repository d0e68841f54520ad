"""The blocking app under debugpy, as an editor runs it; says where it listens."""

import debugpy

from tests_support.blocking_app import app

print("debugpy", *debugpy.listen(("127.0.0.1", 0)), flush=True)

__all__ = ["app"]
