"""The few lines of a report that a README has room for."""

from __future__ import annotations

from bench.report import Report, facts_text, markdown_table, metric_text
from bench.variants import CLOUDFLARED, PLAIN

__all__ = ["readme_excerpt"]


def readme_excerpt(report: Report) -> str:
    """A table with each engine beside its base, and the facts of the run.

    The base is cloudflared in front of uvicorn where it was measured, otherwise plain uvicorn over
    TCP, without any tunnel.
    """
    results = report.macro
    measured = results.variants()
    base = CLOUDFLARED if CLOUDFLARED in measured else PLAIN
    shown = [name for name in SHOWN if name in measured]
    rows = []
    for metric, words in ROWS.items():
        cells = []
        for name in shown:
            summary = results.summary(name, metric)
            ratio = results.ratio(metric, name, base) if name != base else None
            times = f" ({ratio:.2g}x)" if ratio is not None else ""
            cells.append("-" if summary is None else metric_text(metric, summary.median) + times)
        if set(cells) != {"-"}:
            rows.append([words, *cells])
    head = [f"(ratio to {base})", *[TITLES.get(name, name) for name in shown]]
    return f"{markdown_table(head, rows)}\n\n{facts_text(report.facts())}\n"


SHOWN = (
    PLAIN,
    CLOUDFLARED,
    "aioquic/uvloop",
    "native/uvloop",
    "native/alone",
    "aioquic/proxy",
    "native/proxy",
)
TITLES = {
    PLAIN: "plain uvicorn, no tunnel",
    CLOUDFLARED: "cloudflared + uvicorn",
    "aioquic/uvloop": "aioquic",
    "native/uvloop": "native",
    "native/alone": "native, no server",
    "aioquic/proxy": "proxy, aioquic",
    "native/proxy": "proxy, native",
}
ROWS = {
    "c1.p50": "median, 1 request at a time",
    "c16.rps": "requests, 16 at a time",
    "c64.rps": "requests, 64 at a time",
    "c16.cpu": "CPU per request",
    "down1.rate": "download, 1 stream",
    "down4.rate": "download, 4 streams",
    "up1.rate": "upload, 1 stream",
    "up4.rate": "upload, 4 streams",
    "small-during-up.p99": "p99 of requests during an upload",
    "websocket.rps": "WebSocket echoes, 16 sockets",
    "fastapi.rps": "FastAPI, JSON, 16 at a time",
    "cold_start": "from start to registered",
    "peak_memory": "peak memory",
    "idle_cpu": "CPU while idle",
}
