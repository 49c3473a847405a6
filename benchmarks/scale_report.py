"""What `scale` measured, and what the model makes of it, as Markdown; and its picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from benchmarks import scale_model
from benchmarks.figures import show
from benchmarks.report import insert, table
from benchmarks.scale import Measured, constants
from benchmarks.scale_global import AT_ONCE
from benchmarks.scale_model import GIB, HOUR, KIB, MIB, POPULATIONS, TIB, Constants, Load, Machines, Population
from benchmarks.scale_requests import Cost
from benchmarks.svg_lines import Axis, Line, line_chart

BEGIN = "<!-- scale: begin (written by `python -m benchmarks scale`, do not edit) -->"
END = "<!-- scale: end -->"
PICTURE = "scale.svg"

NAMES = {
    "prune": "a pass of prune within a day",
    "scrub": "scrub at its default rate within 30 days",
    "scrub, unbounded": "scrub as fast as one process reads, within 30 days",
    "check": "`holdfast check` within a day",
    "connections": "connections to PostgreSQL",
    "database cores": "cores of PostgreSQL",
    "commits": "commits",
    "commits of a tree": "commits of one user's tree",
    "log": "PostgreSQL's log",
    "database bytes": "size of the database",
    "indexes in memory": "indexes in PostgreSQL's memory",
    "S3 puts": "PUTs to S3",
    "S3 gets": "GETs from S3",
}
_DRAWN = tuple(NAMES)
_DAY = scale_model.DAY


def report(of: Measured) -> str:
    """Everything between the markers; paragraphs are wrapped as those around them."""
    return "\n".join(_wrapped(line) for line in _report(of).splitlines())


def _wrapped(line: str) -> str:
    if line.startswith(("|", "#", "!")):
        return line
    return textwrap.fill(line, 120, break_long_words=False, break_on_hyphens=False)


def _report(of: Measured) -> str:
    known, on = constants(of), Machines()
    parts = [
        _circumstances(of),
        f"### Limits, in the order in which they are met\n\n{_order(known, on)}",
        f"![Share of each limit by number of users](pictures/{PICTURE})",
        *(_population(name, by, known, on) for name, by in POPULATIONS.items()),
        f"### What a request costs\n\n{_requests(of)}",
        f"### Commits a second\n\n{_commits(of)}",
        f"### What all uploads share\n\n{_shared(of)}",
        f"### Rows\n\n{_rows(of)}",
        f"### Requests in larger stores\n\n{_lookups(of)}",
        f"### Partitions\n\n{_partitions(of)}",
        f"### Passes over everything\n\n{_jobs(known)}",
    ]
    return "\n\n".join(parts)


def write_docs(of: Measured, docs: Path) -> None:
    """Into scale.md of the folder ``docs``, and the picture into its folder ``pictures``."""
    page = docs / "scale.md"
    page.write_text(insert(page.read_text(encoding="utf-8"), report(of), begin=BEGIN, end=END), encoding="utf-8")
    (docs / "pictures" / PICTURE).write_text(draw(constants(of), Machines()), encoding="utf-8")


def _circumstances(of: Measured) -> str:
    it, settings = of.machine, of.commits.settings
    text = (
        f"Measured on {of.made_at}: {it['cores']} cores ({it['processor']}), {it['memory']}, {it['system']}, Python "
        f"{it['python']}, PostgreSQL {of.database} (fsync {settings.get('fsync')}, synchronous_commit "
        f"{settings.get('synchronous_commit')}). Everything ran on this one machine: nodes, PostgreSQL, S3 and client."
    )
    if not of.has_database_cpu:
        text += " PostgreSQL's processor time is not known, since it ran elsewhere; the model counts none."
    return text


# -- the model --------------------------------------------------------------------------------------------------------


def _order(known: Constants, on: Machines) -> str:
    kinds = {
        "10⁴ files each": POPULATIONS["10³ users, 10⁷ files"],
        "100 files each": POPULATIONS["10⁷ users, 10⁹ files"],
    }
    found = {name: dict(scale_model.order(known, by, on)) for name, by in kinds.items()}
    first = next(iter(found.values()))
    rows = [[NAMES[key], *(_users(met[key]) for met in found.values())] for key in first]
    return table(["limit", *(f"met at so many users, {name}" for name in found)], rows, left=1)


def _users(users: float | None) -> str:
    return "never" if users is None else f"{_rounded(users):,.0f}"


def _rounded(value: float) -> float:
    """Two digits that count."""
    return float(f"{value:.2g}")


def _population(name: str, by: Population, known: Constants, on: Machines) -> str:
    rows = [
        [NAMES[load.key], _amount(load, load.need), _amount(load, load.limit), f"{_rounded(load.share):g}"]
        for load in scale_model.loads(known, by, on)
    ]
    head = (
        f"### {name[0].upper()}{name[1:]}\n\n"
        f"{by.files_per_user:,.0f} files each, {by.active_share:.0%} of the users at work: {show(by.requests_per_s)} "
        f"requests a second for files and {show(by.polls_per_s)} polls; {_bytes(by.blob_bytes)} in "
        f"{show(by.contents * (1 - by.small_share))} blobs, {show(scale_model.rows(by, on))} rows; nodes need "
        f"{show(scale_model.node_cores(known, by))} cores: {scale_model.nodes(known, by, on):,} of {on.node_cores}."
    )
    return f"{head}\n\n{table(['limit', 'needed', 'there', 'share'], rows, left=1)}"


def _amount(load: Load, value: float) -> str:
    key = load.key
    if key in ("database bytes", "indexes in memory"):
        return _bytes(value)
    if key == "log":
        return f"{_bytes(value)}/s"
    if key in ("prune", "check"):
        return f"{show(value / HOUR)} h"
    if key.startswith("scrub"):
        return f"{show(value)} days"
    unit = "" if key in ("connections", "database cores") else "/s"
    return f"{show(value)}{unit}"


def _bytes(value: float) -> str:
    for unit, size in (("PiB", 1024 * TIB), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB)):
        if value >= size:
            return f"{show(value / size)} {unit}"
    return f"{show(value / KIB)} KiB"


def draw(known: Constants, on: Machines) -> str:
    """Shares of the limits over the number of users with 10⁴ files each."""
    by = POPULATIONS["10⁵ users, 10⁹ files"]
    lines = [Line(key, scale_model.curve(known, by, on, key, _counts)) for key in _DRAWN]
    return line_chart(
        "Share of each limit by number of users",
        "10⁴ files each; dashed: the limit is met",
        lines,
        Axis("users", 1, 8),
        Axis("share of the limit", -4, 3),
    )


def _counts() -> Iterator[float]:
    return (10 ** (step / 10) for step in range(10, 81))


# -- what was measured ------------------------------------------------------------------------------------------------


def _requests(of: Measured) -> str:
    rows = [[name, *_cost(cost, has_cpu=of.has_database_cpu)] for name, cost in of.requests.items()]
    head = ["request", "node, µs", "PostgreSQL, µs", "statements", "round trips", "log", "S3 requests"]
    return (
        "Processor time of all processes; a statement that begins or ends a transaction counts as one. The last two "
        "rows are for each MiB.\n\n" + table(head, rows, left=1)
    )


def _cost(cost: Cost, *, has_cpu: bool) -> list[str]:
    s3 = ", ".join(f"{show(count)} {name}" for name, count in cost.s3.items()) or "none"
    cpu = f"{cost.database_us:,.0f}" if has_cpu else "?"
    return [f"{cost.node_us:,.0f}", cpu, f"{cost.statements:.1f}", f"{cost.trips:.1f}", f"{cost.wal_bytes:,.0f} B", s3]


def _commits(of: Measured) -> str:
    it = of.commits
    columns = {
        "one node": it.one_node,
        "two nodes": it.two_nodes,
        "one node, one user": it.one_tree,
        "PostgreSQL alone": it.database,
        "alone, commit_delay": it.database_delayed,
        "alone, one tree": it.database_one_tree,
        "log alone": it.log,
        "log, commit_delay": it.log_delayed,
    }
    rows = [
        [str(count), *(show(column[count]) if count in column else "–" for column in columns.values())]
        for count in it.one_node
    ]
    return (
        table(["connections", *columns], rows, left=0)
        + f"\n\nA node held at most {it.connections} connections to PostgreSQL meanwhile."
    )


def _shared(of: Measured) -> str:
    rows = [[name, f"{same:,.0f}", f"{own:,.0f}"] for name, (same, own) in of.shared.items()]
    return f"A second, by {AT_ONCE} connections that do nothing else and do not wait for the disk.\n\n" + table(
        ["what", "the same one", "one each"], rows, left=1
    )


def _rows(of: Measured) -> str:
    largest = of.sizes[-1]
    rows = [
        [f"`{name}`", f"{it.rows:,}", f"{it.row_bytes:.0f}", f"{it.indexes / it.rows:.0f}"]
        for name, it in sorted(largest.tables.items(), key=lambda item: -item[1].rows)
        if it.rows >= 1000
    ]
    whole = sum(it.heap + it.indexes for it in largest.tables.values())
    text = (
        f"Of {largest.nodes:,} nodes and {largest.tables['version'].rows:,} versions of {largest.users} users; the "
        f"database has {_bytes(whole)}, {whole / largest.nodes:,.0f} bytes for each file or folder with its history. "
        f"Of `small`, {largest.small_bytes:.0f} bytes a row are content."
    )
    head = ["table", "rows", "bytes a row, with indexes", "of them indexes"]
    return f"{text}\n\n{table(head, rows, left=1)}"


def _lookups(of: Measured) -> str:
    first = of.sizes[0]
    rows = [
        [
            f"{size.nodes:,}",
            f"{size.users:,}",
            *(f"{show(ms)} ms ({ms / first.ms[kind]:.2f}x)" for kind, ms in size.ms.items()),
        ]
        for size in of.sizes
    ]
    return (
        "Time of one request on one connection, of files from all over the table, a round here and a round there; in "
        "brackets beside the smallest store. All of it was in memory.\n\n"
        + table(["files and folders", "users", *first.ms], rows, left=0)
    )


def _partitions(of: Measured) -> str:
    rows = [
        [
            name,
            str(it.statements),
            str(it.several),
            ", ".join(f"`{name}` ({count})" for name, count in it.tables.items()) or "–",
        ]
        for name, it in of.partitions.items()
    ]
    head = [
        "use case",
        "statements that meet a cut table",
        "of them more than one partition",
        "which table (partitions)",
    ]
    return table(head, rows, left=1)


def _jobs(known: Constants) -> str:
    rows = [
        ["prune, for each four million chunks", f"{known.prune_versions_per_s:,.0f} versions/s"],
        ["check", f"{known.check_rows_per_s:,.0f} rows/s"],
        ["scrub, from S3, one process", f"{_bytes(known.scrub_bytes_per_s)}/s"],
    ]
    return table(["pass", "rate"], rows, left=1)
