"""The clock of everything that drives an engine, in seconds."""

import time

__all__ = ["clock"]

clock = time.monotonic  # not the loop's own, which stands still while uvloop is stalled
