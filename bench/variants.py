"""What is compared: ways from the edge to the app."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from asgi_quicktunnel import TunnelConfig

__all__ = ["COMPARABLE", "Variant", "find_variants", "of_revision", "select"]

Kind = Literal["plain", "tunnel", "alone", "proxy", "cloudflared", "ceiling"]
Loop = Literal["asyncio", "uvloop"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to the app.

    Attributes:
        name: in tables and for `--variants`.
        kind: "plain" is uvicorn over TCP without a tunnel, "tunnel" QuickTunnelASGI under uvicorn,
            "alone" a QuickTunnel without a server, "ceiling" the generator's own connector.
        loop: of the app's process, and of the proxy's.
        engine: of the tunnel; None where there is no choice.
        python_path: where Python finds the package that is measured, before .venv.
    """

    name: str
    kind: Kind
    loop: Loop = "uvloop"
    engine: str | None = None
    python_path: tuple[Path, ...] = ()


def find_variants(cloudflared: Path | None) -> list[Variant]:
    """What can be measured here, the floor first.

    Args:
        cloudflared: its binary, if there is one.
    """
    uvloop = has_module("uvloop")
    best: Loop = "uvloop" if uvloop else "asyncio"
    variants = [Variant(PLAIN, "plain", best)]
    if cloudflared is not None:
        variants.append(Variant(CLOUDFLARED, "cloudflared", best))
    options = {field.name for field in fields(TunnelConfig)}
    can_choose = "engine" in options
    engines = ["aioquic"]
    if can_choose and has_module("asgi_quicktunnel_native"):
        engines.append("native")
    for engine in engines:
        chosen = engine if can_choose else None
        variants.append(Variant(f"{engine}/asyncio", "tunnel", "asyncio", chosen))
        if uvloop:
            variants.append(Variant(f"{engine}/uvloop", "tunnel", "uvloop", chosen))
    best_engine = engines[-1]
    chosen = best_engine if can_choose else None
    variants.append(Variant(f"{best_engine}/alone", "alone", best, chosen))
    if "mode" in options:
        variants.append(Variant(f"{best_engine}/proxy", "proxy", best, chosen))
    return variants


def select(variants: Iterable[Variant], patterns: str | None) -> list[Variant]:
    """Those whose name has one of the comma-separated words in it; all without words."""
    words = [word.strip() for word in patterns.split(",")] if patterns else [""]
    return [variant for variant in variants if any(word in variant.name for word in words)]


def of_revision(
    variants: Iterable[Variant],
    revision: str,
    package: tuple[Path, ...],
    with_native: tuple[Path, ...] | None,
) -> list[Variant]:
    """The same with another revision's package, where it takes part.

    Args:
        variants: of this one.
        revision: its name.
        package: where Python finds its package.
        with_native: where it finds that and the native engine that it was written for; None leaves
            out what runs on that engine, which would silently run on aioquic.
    """
    return [
        replace(variant, name=f"{revision}:{variant.name}", python_path=python_path)
        for variant in variants
        if variant.kind in COMPARABLE
        and (python_path := with_native if variant.engine == "native" else package) is not None
    ]


def has_module(name: str) -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec(name) is not None


PLAIN = "uvicorn"
COMPARABLE = ("tunnel", "alone", "proxy")  # where the package takes part
CLOUDFLARED = "cloudflared"
