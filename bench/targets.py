"""What is to be reached, as ratios in one run; and whether it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.results import Results
from bench.variants import CLOUDFLARED, PLAIN

__all__ = ["TARGETS", "Target", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Target:
    """One bound.

    Attributes:
        engine: whose; its variant on uvloop counts. What idles is looked at without a server
            around the app: uvicorn's own ticking takes more than the tunnel may.
        base: the variant it is compared with; None for a bound on the value itself.
        metric: name of it, as in bench/loads.py.
        relation: whether the value may be at most or at least the bound.
        bound: a ratio, or a value without `base`.
    """

    engine: Literal["aioquic", "native"]
    base: str | None
    metric: str
    relation: Literal["at most", "at least"]
    bound: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was measured; `value` is None where something was not measured."""

    target: Target
    value: float | None

    @property
    def is_met(self) -> bool | None:
        """None where it can't be said."""
        if self.value is None:
            return None
        if self.target.relation == "at most":
            return self.value <= self.target.bound
        return self.value >= self.target.bound


def judge(results: Results) -> list[Verdict]:
    """Every target whose engine and base were measured."""
    measured = results.variants()
    verdicts = []
    for target in TARGETS:
        variant = _variant(target, measured)
        if variant is None or (target.base is not None and target.base not in measured):
            continue
        if target.base is not None:
            value = results.ratio(target.metric, variant, target.base)
        else:
            summary = results.summary(variant, target.metric)
            value = summary.median if summary else None
        verdicts.append(Verdict(target, value))
    return verdicts


def _variant(target: Target, measured: list[str]) -> str | None:
    kinds = ("alone", "uvloop", "asyncio") if target.metric == "idle_cpu" else ("uvloop", "asyncio")
    names = (f"{target.engine}/{kind}" for kind in kinds)
    return next((name for name in names if name in measured), None)


TARGETS = [
    Target("native", CLOUDFLARED, "c1.p50", "at most", 0.35),
    Target("native", CLOUDFLARED, "c16.rps", "at least", 2.5),
    Target("native", CLOUDFLARED, "c64.rps", "at least", 2.5),
    Target("native", CLOUDFLARED, "c1.cpu", "at most", 0.25),
    Target("native", CLOUDFLARED, "c16.cpu", "at most", 0.25),
    Target("native", CLOUDFLARED, "c64.cpu", "at most", 0.25),
    Target("native", CLOUDFLARED, "down1.rate", "at least", 1.0),
    Target("native", CLOUDFLARED, "down4.rate", "at least", 1.0),
    Target("native", CLOUDFLARED, "up1.rate", "at least", 1.3),
    Target("native", CLOUDFLARED, "up4.rate", "at least", 0.95),
    Target("native", CLOUDFLARED, "small-during-up.p99", "at most", 1.0),
    Target("native", CLOUDFLARED, "peak_memory", "at most", 0.6),
    Target("native", None, "idle_cpu", "at most", 0.001),
    Target("native", PLAIN, "c1.p50", "at most", 1.5),
    Target("native", PLAIN, "c64.rps", "at least", 0.9),
    Target("aioquic", CLOUDFLARED, "c1.p50", "at most", 1.1),
    Target("aioquic", CLOUDFLARED, "c16.rps", "at least", 0.8),
    Target("aioquic", CLOUDFLARED, "c64.rps", "at least", 0.8),
    Target("aioquic", CLOUDFLARED, "c16.cpu", "at most", 0.8),
    # 20 MB/s where cloudflared does 150.
    Target("aioquic", CLOUDFLARED, "down1.rate", "at least", 20 / 150),
    Target("aioquic", CLOUDFLARED, "up1.rate", "at least", 20 / 150),
]
