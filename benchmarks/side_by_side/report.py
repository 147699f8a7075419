"""The page `docs/benchmarks.md`: tables, plots as SVG, and the machine that they come from."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.side_by_side.goals import Judged
from benchmarks.side_by_side.plots import Bars, draw
from benchmarks.side_by_side.rounds import Samples
from benchmarks.side_by_side.scaling import Scaled
from benchmarks.side_by_side.storm import Storm
from benchmarks.side_by_side.works import Work
from rollcall.runtime.clock import now

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "benchmarks.md"
PLOT: Final = DOCS / "images" / "benchmarks.svg"
BEGIN: Final = "<!-- `make bench` writes what follows -->\n"


@dataclass(frozen=True, slots=True)
class Results:
    """What a run found; `names` are the servers, ours first."""

    names: Sequence[str]
    samples: Samples
    judged: Sequence[Judged]
    storms: Sequence[Storm]
    scaled: Sequence[Scaled]
    how: str
    """The command and its rounds."""


def write(results: Results) -> None:
    """Replace the part of the page below `BEGIN`, and the plot."""
    head = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(head + BEGIN + "\n" + text(results))
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(draw(_bars(results)))


def text(results: Results) -> str:
    """The tables, in Markdown."""
    parts = ["![Answers a second, by work and server](images/benchmarks.svg)\n"]
    parts.append(f"{results.how}, {now():%Y-%m-%d}. {machine()}\n")
    parts.append(_rates(results))
    parts.append(_cpu(results))
    parts.append(_goals(results.judged))
    if results.storms:
        parts.append(_storms(results.storms))
    if results.scaled:
        parts.append(_scaled(results.scaled))
    return "\n".join(parts)


def machine() -> str:
    """Processor, memory, versions; no name of the machine."""
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"Machine: {os.cpu_count()} cores of {model}, {memory:.0f} GiB, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}; "
        "client, servers, Kafka and Postgres share it."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _rates(results: Results) -> str:
    rows = []
    for work in results.samples.found:
        cells = []
        for name in results.names:
            if name not in results.samples.found[work]:
                cells.append("")
                continue
            rate, p50, p99, failed = (
                results.samples.median(work, name, of)
                for of in (
                    lambda each: each.rate,
                    lambda each: each.p50_ms,
                    lambda each: each.p99_ms,
                    lambda each: each.failed,
                )
            )
            wrong = f", **{failed:.0f} failed**" if failed else ""
            cells.append(f"{rate:,.0f}/s, {p50:.1f} ms, {p99:.1f} ms{wrong}")
        rows.append([str(work), *cells])
    return "## Rates: answers a second, p50, p99\n\n" + _table(["work", *results.names], rows)


def _cpu(results: Results) -> str:
    rows = [
        [str(work), *(_spent(results.samples, work, name) for name in results.names)]
        for work in results.samples.found
    ]
    return "## CPU of a request, µs, by part\n\n" + _table(["work", *results.names], rows)


def _spent(samples: Samples, work: Work, name: str) -> str:
    found = samples.found[work].get(name)
    if found is None:
        return ""
    return ", ".join(
        f"{part} {statistics.median(each.cpu_us[part] for each in found):,.0f}"
        for part in found[0].cpu_us
        if part != "client"
    )


def _goals(judged: Sequence[Judged]) -> str:
    rows = [
        [
            f"{each.goal.work}, {each.goal.figure}",
            f"{each.reached:.2f}×",
            f"{each.goal.goal:g}×",
            f"{each.goal.floor:g}×",
            each.verdict,
        ]
        for each in judged
    ]
    title = "## Beside the best peer of each round\n\n"
    return title + _table(["work", "reached", "goal", "floor", ""], rows)


def _storms(storms: Sequence[Storm]) -> str:
    rows = []
    for each in storms:
        after = "" if each.caught_up_s is None else f"{each.caught_up_s:.1f} s later"
        bare = "" if each.bare_s is None else f"{each.bare_s / each.seconds:.2f}"
        rows.append([each.name, f"{each.seconds:.1f} s", f"{each.failed:,}", after, bare])
    title = "## 20,000 creates over 200 connections, Rollcall's provisioner frozen\n\n"
    head = ["server", "answered in", "failed", "applied", "of the rate of bare sends"]
    return title + _table(head, rows)


def _scaled(scaled: Sequence[Scaled]) -> str:
    rows = [
        [
            str(each.shape),
            f"{each.rate:,.0f}/s",
            f"{each.p99_ms:.0f} ms",
            f"{each.total_us:,.0f} µs",
            f"{each.failed:,}",
        ]
        for each in scaled
    ]
    title = "## More of each part: creates of eight organisations, 48 clients\n\n"
    return title + _table(["deployment", "rate", "p99", "CPU of a request", "failed"], rows)


def _bars(results: Results) -> Sequence[Bars]:
    samples = results.samples
    return [
        Bars(
            str(work),
            {name: samples.median(work, name, lambda each: each.rate) for name in by_server},
        )
        for work, by_server in samples.found.items()
    ]
