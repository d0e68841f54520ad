"""The engines that tests run on: the one that `--engine` names, and what else is installed."""

import importlib.util
import os

from asgi_quicktunnel.transport.engines import choose_engine

IS_NATIVE_INSTALLED = importlib.util.find_spec("asgi_quicktunnel_native") is not None


def engine():
    """The engine under test."""
    return choose_engine(os.environ.get("QUICKTUNNEL_ENGINE", "auto"))
