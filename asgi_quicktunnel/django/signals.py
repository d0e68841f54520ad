"""Signals of the tunnel."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["tunnel_ready"]

# Sent with `url` each time one begins to work, by the process that announces it; `sender` is the
# class `QuickTunnel`. Receivers may be sync, and are then called in a thread, or async.
tunnel_ready = Signal()
