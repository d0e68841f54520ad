"""What is compared: ways from the edge to the app."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from asgi_quicktunnel import TunnelConfig

__all__ = ["COMPARABLE", "Variant", "find_variants", "in_tree", "select"]

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
        tree: a checkout whose package is measured; None for this one.
    """

    name: str
    kind: Kind
    loop: Loop = "uvloop"
    engine: str | None = None
    tree: Path | None = None


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


def in_tree(variants: Iterable[Variant], tree: Path, revision: str) -> list[Variant]:
    """The same with another checkout's package, where it takes part and fits that engine."""
    has_native = _interface(tree) == _interface(Path(__file__).parent.parent)
    return [
        replace(variant, name=f"{revision}:{variant.name}", tree=tree)
        for variant in variants
        if variant.kind in COMPARABLE and (variant.engine != "native" or has_native)
    ]


def _interface(tree: Path) -> str | None:
    """The native engine's that a checkout was written for; the one installed is this tree's."""
    module = tree / "asgi_quicktunnel" / "transport" / "engine_native.py"
    if not module.is_file():
        return None
    match = re.search(r"^INTERFACE = (\d+)", module.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else None


def has_module(name: str) -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec(name) is not None


PLAIN = "uvicorn"
COMPARABLE = ("tunnel", "alone", "proxy")  # where the package takes part
CLOUDFLARED = "cloudflared"
