"""A supervised process on a system that has no file locks, such as Windows."""

import asyncio
import sys


def join(answer):
    """Join the processes of this one's supervisor, and tell what came of it."""
    sys.modules["fcntl"] = None
    from asgi_quicktunnel import membership
    from asgi_quicktunnel.config import TunnelConfig

    joined = asyncio.run(membership.join(TunnelConfig(), "app"))
    answer.put((membership.is_supervised(), membership.IS_SUPPORTED, type(joined).__name__))
