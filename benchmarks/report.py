"""Results as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import pictures
from benchmarks.figures import median, ratio, show
from benchmarks.marks import judge
from benchmarks.results import Results
from benchmarks.suite import SUITE
from benchmarks.workloads import Workload

BEGIN = "<!-- figures: begin (written by `python -m benchmarks`, do not edit) -->"
END = "<!-- figures: end -->"


def report(results: Results) -> str:
    """Everything between the markers."""
    parts = [
        _circumstances(results),
        _pictures(results),
        speeds(results),
        _failures(results),
        "### Cost\n\nCPU seconds of all processes of a server (median), and the largest proportional set size seen.",
        costs(results),
        "### Marks\n\nRatios of Holdfast (`durability: fast`) to the peer, of the same run.",
        marks(results),
    ]
    return "\n\n".join(part for part in parts if part)


def measured(results: Results) -> list[Workload]:
    """The workloads of which there is anything, in the suite's order."""
    return [each for each in SUITE if any(each.name in values for values in results.values.values())]


def speeds(results: Results) -> str:
    """A row for each workload: medians, and ratios to the base."""
    rows = [
        [each.heading(results.sizes), each.unit, *(_cell(results, each, target) for target in results.labels)]
        for each in measured(results)
    ]
    return table(["workload", "unit", *results.labels], rows, left=2)


def _cell(results: Results, workload: Workload, target: str) -> str:
    values = results.values.get(target, {}).get(workload.name, [])
    value = median(values)
    if value is None:
        return "failed" if values else "–"
    text = show(value)
    if target != results.base:
        base = results.values.get(results.base, {}).get(workload.name, [])
        better = ratio(values, base, more_is_better=workload.more_is_better)
        text += f" ({better:.2f}x)" if better is not None else ""
    failed = sum(isinstance(value, str) for value in values)
    return f"{text} [{failed} of {len(values)} failed]" if failed else text


def costs(results: Results) -> str:
    """A row for each workload: CPU seconds and peak memory."""
    rows = []
    for each in measured(results):
        row = [each.heading(results.sizes)]
        for target in results.labels:
            found = results.costs.get(target, {}).get(each.name, [])
            if found:
                cpu_s = statistics.median(cost.cpu_s for cost in found)
                row.append(f"{cpu_s:.2f} s, {max(cost.peak_mib for cost in found):.0f} MiB")
            else:
                row.append("–")
        rows.append(row)
    return table(["workload", *results.labels], rows, left=1)


def marks(results: Results) -> str:
    """A row for each mark."""
    rows = [
        [str(verdict.mark), "–" if verdict.reached is None else f"{verdict.reached:.2f}x", _word(verdict.holds)]
        for verdict in judge(results)
    ]
    return table(["mark", "reached", ""], rows, left=1)


def _word(holds: bool) -> str:
    return "holds" if holds else "**missed**"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A Markdown table; the first ``left`` columns are text, the others figures."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _circumstances(results: Results) -> str:
    of = results.machine
    lines = [
        (
            f"Measured on {results.made_at}: {of['cores']} cores ({of['processor']}), {of['memory']}, {of['system']}, "
            f"Python {of['python']}. Interleaved runs: {results.runs}. A cell is their median, in brackets "
            f"the median of each run's ratio to {results.base}: above 1 is better. 1 MB is 10⁶ bytes."
        ),
        "",
        *(f"- **{name}**: {label}" for name, label in results.labels.items()),
        *(f"- {name} is missing: {reason}" for name, reason in results.missing.items()),
    ]
    if results.client_rates:
        rates = ", ".join(f"{rate:,.0f} at {name}" for name, rate in results.client_rates.items())
        lines.append(f"- The client's own limit, against a server that does nothing, in requests/s: {rates}.")
    return "\n".join(lines)


def _pictures(results: Results) -> str:
    drawn = pictures.draw(results)
    return "\n".join(
        f"![{picture.description}](pictures/{picture.file})" for picture in pictures.PICTURES if picture.file in drawn
    )


def _failures(results: Results) -> str:
    lines = [line for target in results.labels for line in failed(results, target)]
    return "\n".join(["What failed:", "", *(f"- {line}" for line in dict.fromkeys(lines))]) if lines else ""


def failed(results: Results, target: str) -> Iterator[str]:
    """What went wrong on a server, a line for each workload and run."""
    for workload, values in results.values.get(target, {}).items():
        yield from (f"{target}, {workload}: {value}" for value in values if isinstance(value, str))


def insert(page: str, text: str, *, begin: str = BEGIN, end: str = END) -> str:
    """The page with ``text`` between the markers ``begin`` and ``end``; the prose around them stays.

    Raises:
        ValueError: the page does not have each marker once, in their order.
    """
    before, begins, rest = page.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends or begin in rest or end in after:
        raise ValueError("the page has no place for the figures: one begin marker, then one end marker")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def write_docs(results: Results, docs: Path) -> None:
    """Figures into performance.md of the folder ``docs``, pictures into its folder ``pictures``."""
    page = docs / "performance.md"
    page.write_text(insert(page.read_text(encoding="utf-8"), report(results)), encoding="utf-8")
    pictures.save(results, docs / "pictures")
