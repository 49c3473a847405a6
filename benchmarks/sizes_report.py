"""Sizes of histories as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks import report
from benchmarks.sizes import HOLDFAST, Measured, Sizes

BEGIN = "<!-- sizes: begin (written by `python -m benchmarks sizes`, do not edit) -->"
END = "<!-- sizes: end -->"

_GROUPS = {
    "chunks": ("pack records",),
    "pack frames and indexes": ("pack frames", "pack indexes"),
    "small contents": ("table small", "index sqlite_autoindex_small_1"),
    "chunk rows": ("table chunk", "table pack", "index sqlite_autoindex_pack_1"),
    "versions": ("table version", "table segment", "index sqlite_autoindex_segment_1"),
    "tree": ("table node", "index sqlite_autoindex_node_1"),
    "moves and trash": (
        "table placement",
        "index ix_placement_parent",
        "index ix_placement_tree",
        "table trash",
        "index sqlite_autoindex_trash_1",
        "index ix_trash_tree_id",
    ),
    "journal": ("table journal",),
    "free pages": ("free pages",),
}
"""Columns of the table of parts, each a sum of parts; what is left is the last one."""


def show(sizes: Sizes) -> str:
    """Everything between the markers."""
    of = sizes.machine
    scale = "" if sizes.scale == 1 else f", scale {sizes.scale:g}"
    read = "Every version was read back afterwards" if sizes.verified else "Nothing was read back"
    lines = [
        f"Measured on {sizes.made_at} ({of['system']}, Python {of['python']}{scale}). {read}. 1 MB is 10⁶ bytes.",
        "",
        *(f"- **{name}**: {label}" for name, label in sizes.labels.items()),
        *(f"- {name} is missing: {reason}" for name, reason in sizes.missing.items()),
        *(
            f"- {name}, {store} failed: {reason}"
            for name, each in sizes.series.items()
            for store, reason in each.failed.items()
        ),
    ]
    return "\n\n".join(
        [
            "\n".join(lines),
            stored(sizes),
            "The same in blocks of the disk, as `du` counts them, in MB:",
            blocks(sizes),
            "What Holdfast's folder consists of, in MB:",
            parts(sizes),
        ]
    )


def stored(sizes: Sizes) -> str:
    """A row for each series: bytes of all files, and what the mark says."""
    rows = []
    for each in sizes.series.values():
        reached = each.ratio()
        word = "excepted" if each.excepted else "holds" if each.holds else "**missed**"
        rows.append(
            [
                each.title,
                str(each.versions),
                _mb(each.input_bytes),
                _mb(each.changed_bytes),
                *(_mb(each.stored.get(name)) for name in sizes.labels),
                "–" if reached is None else f"{reached:.3f}",
                "–" if reached is None and HOLDFAST not in each.failed else word,
            ]
        )
    names = [f"{name}, MB" for name in sizes.labels]
    return report.table(
        ["series", "versions", "all versions, MB", "changed files, MB", *names, "to the smallest other", ""],
        rows,
        left=1,
    )


def blocks(sizes: Sizes) -> str:
    """A row for each series: what the disk gives for it."""
    rows = [[each.title, *(_mb(each.blocks.get(name)) for name in sizes.labels)] for each in sizes.series.values()]
    return report.table(["series", *sizes.labels], rows, left=1)


def parts(sizes: Sizes) -> str:
    """A row for each series: Holdfast's folder in parts."""
    rows = []
    for each in sizes.series.values():
        sums = [sum(each.parts.get(part, 0) for part in group) for group in _GROUPS.values()]
        rest = each.stored.get(HOLDFAST, 0) - sum(sums)
        rows.append([each.title, *map(_mb, sums), _mb(rest), *_counts(each)])
    return report.table(["series", *_GROUPS, "else", "packs", "chunks"], rows, left=1)


def _counts(each: Measured) -> list[str]:
    return [f"{each.parts.get(name, 0):,}" for name in ("(packs)", "(chunks)")]


def _mb(size: int | None) -> str:
    return "–" if size is None else f"{size / 1e6:,.2f}"


def write_docs(sizes: Sizes, docs: Path) -> None:
    """The tables into performance.md of the folder ``docs``."""
    page = docs / "performance.md"
    text = report.insert(page.read_text(encoding="utf-8"), show(sizes), begin=BEGIN, end=END)
    page.write_text(text, encoding="utf-8")
