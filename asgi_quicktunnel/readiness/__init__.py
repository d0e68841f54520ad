"""Whether the public URL works: proved from here, and without a word to any recursive resolver."""

from __future__ import annotations

from asgi_quicktunnel.readiness.base import Step
from asgi_quicktunnel.readiness.check import Readiness, ReadinessCheck

__all__ = ["Readiness", "ReadinessCheck", "Step"]
