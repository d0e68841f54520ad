"""scripts/bench: measures, prints tables, writes JSON, Markdown and plots."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.certificates import write_certificates
from bench.excerpt import readme_excerpt
from bench.generator import GeneratorError, find_binary
from bench.growth import measure_growth
from bench.loads import FASTAPI_LOADS, LOADS
from bench.macro import measure_macro
from bench.network import measure_paths
from bench.plot import write_plots
from bench.report import CEILING, Report, comparison_table
from bench.revision import Revision, RevisionError, checked_out
from bench.rig import Bench
from bench.service import Service
from bench.variants import COMPARABLE, Variant, find_variants, of_revision, select

PARTS = ("micro", "macro", "growth", "paths")
AT_REST = ("peak_memory", "idle_cpu", "cold_start")


def main() -> int:
    """Run; the exit status is 1 when something could not be measured, 2 for a wrong argument."""
    options = _arguments()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        report = asyncio.run(_Run(options, say).measure())
    except (GeneratorError, RevisionError) as exc:
        print(f"scripts/bench: {exc}", file=sys.stderr)
        return 1
    text = report.as_markdown()
    if options.compare:
        text += "\n" + comparison_table(report.macro, options.compare) + "\n"
    print(text, end="")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(report.as_json(), indent=1) + "\n")
    (options.output / "results.md").write_text(text)
    (options.output / "readme.md").write_text(readme_excerpt(report))
    write_plots(report.growth, options.output)
    say(f"written to {options.output}")
    return 1 if report.failures else 0


class _Run:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, say) -> None:
        self._options = options
        self._say = say
        self._generator = None if options.python_generator else find_binary(ROOT)
        self._wanted_parts = [part for part in PARTS if _is_wanted(part, options.only)]
        # `--only c16,up1` means the loads of those names.
        named = [load.name for load in LOADS + FASTAPI_LOADS] + list(AT_REST)
        self._loads = {name for name in named if _is_wanted(name, options.only)}
        if "macro" in self._wanted_parts:
            self._loads = set(named)

    async def measure(self) -> Report:
        """Everything that was asked for."""
        options = self._options
        report = Report(self._describe_generator(), cloudflared=_version_of(options.cloudflared))
        if "micro" in self._wanted_parts:
            self._say("micro")
            report.micro = await asyncio.to_thread(_measure_micro, quick=options.quick)
        with contextlib.ExitStack() as stack:
            variants = select(find_variants(options.cloudflared), options.variants)
            if options.compare:
                revision = stack.enter_context(checked_out(ROOT, options.compare))
                variants = [variant for variant in variants if variant.kind in COMPARABLE]
                variants += self._compared(variants, revision)
            bench = stack.enter_context(self._bench())
            await self._measure_on(bench, variants, report)
        return report

    def _compared(self, variants: list[Variant], revision: Revision) -> list[Variant]:
        with_native = None
        if any(variant.engine == "native" for variant in variants):
            self._say(f"the native engine of {revision.name}")
            with_native = revision.with_native()
            if with_native is None:
                self._say("left out: it has none, or there is no cargo to build it")
        return of_revision(variants, revision.name, revision.package, with_native)

    async def _measure_on(self, bench: Bench, variants: list[Variant], report: Report) -> None:
        quick = self._options.quick
        if self._loads:
            ceiling = [Variant(CEILING, "ceiling")] if self._generator else []
            await measure_macro(
                bench,
                [*([] if self._options.compare else ceiling), *variants],
                report.macro,
                rounds=self._options.rounds or (1 if quick else 3),
                seconds=self._options.seconds or (0.3 if quick else 0.7),
                idle_seconds=2 if quick else 5,
                wanted=self._loads.__contains__,
                say=self._say,
            )
        if self._options.compare:
            return
        tunnels = _one_for_each_engine(variants)
        if "growth" in self._wanted_parts:
            report.growth = await measure_growth(
                bench,
                tunnels,
                report.macro,
                seconds=0.2 if quick else 0.5,
                quick=quick,
                say=self._say,
            )
        if "paths" in self._wanted_parts:
            if self._generator is None:
                self._say("no paths: the relay is part of the Rust load generator")
                return
            await measure_paths(
                bench,
                tunnels,
                report.paths,
                seconds=0.5 if quick else 1.5,
                quick=quick,
                say=self._say,
            )

    @contextlib.contextmanager
    def _bench(self) -> Iterator[Bench]:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            write_certificates(folder)
            service = stack.enter_context(Service())
            self._options.output.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context((self._options.output / "processes.log").open("wb"))
            yield Bench(folder, service.url, self._generator, self._options.cloudflared, log)

    def _describe_generator(self) -> str:
        if self._generator is not None:
            return "by a Rust edge in a process of its own"
        return (
            "by a Python edge, for want of the Rust one: it is no faster than what it measures, so "
            "ratios to other programs mean nothing"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure the package beside what it competes with."
    )
    parser.add_argument("--quick", action="store_true", help="a smoke of about a minute")
    parser.add_argument("--cloudflared", type=Path, metavar="PATH", help="its binary")
    parser.add_argument("--compare", metavar="REV", help="run another revision beside this one")
    parser.add_argument(
        "--only",
        metavar="WORDS",
        help=f"of {', '.join(PARTS)}, or of the loads: "
        f"{', '.join([load.name for load in LOADS + FASTAPI_LOADS] + list(AT_REST))}",
    )
    parser.add_argument("--variants", metavar="WORDS", help="those with one of the words in it")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--seconds", type=float, help="of each load; default: 0.7")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "bench" / "results",
        metavar="FOLDER",
        help="for files",
    )
    parser.add_argument(
        "--python-generator", action="store_true", help="even where the Rust one is built"
    )
    options = parser.parse_args()
    if options.cloudflared and not options.cloudflared.is_file():
        parser.error(f"--cloudflared {options.cloudflared}: there is no such file")
    known = {*PARTS, *AT_REST, *(load.name for load in LOADS + FASTAPI_LOADS)}
    if unknown := [word for word in _words(options.only) if word not in known]:
        parser.error(f"--only {unknown[0]}: there is no such part or load")
    if not select(find_variants(options.cloudflared), options.variants):
        names = ", ".join(variant.name for variant in find_variants(options.cloudflared))
        parser.error(f"--variants {options.variants}: the variants are {names}")
    return options


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in text.split(",")] if text else []


def _is_wanted(name: str, only: str | None) -> bool:
    return only is None or name in _words(only)


def _one_for_each_engine(variants: Sequence[Variant]) -> list[Variant]:
    """Of the tunnels the one on uvloop where there is one; and cloudflared."""
    chosen: dict[str, Variant] = {}
    for variant in variants:
        if variant.kind in ("tunnel", "cloudflared"):
            chosen[variant.name.partition("/")[0]] = variant  # uvloop comes last
    return list(chosen.values())


def _measure_micro(*, quick: bool) -> dict[str, float]:
    """Medians in seconds, by name."""
    import pyperf

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "bench.micro", "--quiet"]
        command += ["--processes", "1" if quick else "2", "--values", "2" if quick else "4"]
        command += ["-o", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        suite = pyperf.BenchmarkSuite.load(str(output))
        return {each.get_name(): each.median() for each in suite.get_benchmarks()}


def _version_of(cloudflared: Path | None) -> str | None:
    if cloudflared is None:
        return None
    said = subprocess.run(
        [cloudflared, "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "of unknown version"


ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    sys.exit(main())
