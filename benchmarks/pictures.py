"""The pictures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.compare import HOLDFAST, SAFE
from benchmarks.figures import median, show
from benchmarks.results import Results
from benchmarks.suite import BY_NAME
from benchmarks.svg import Bar, Panel, bar_chart
from benchmarks.workloads import Workload

_STYLES: Mapping[str, str] = {HOLDFAST: "ours", SAFE: "ours-too"}


class Picture(NamedTuple):
    """``workloads`` by name, a panel each."""

    file: str
    description: str
    workloads: tuple[str, ...]


PICTURES = (
    Picture(
        "bench-transfers.svg",
        "Throughput of large files",
        ("put_large", "put_large_dup", "put_large_x2", "get_large", "get_large_x4", "get_range"),
    ),
    Picture(
        "bench-requests.svg",
        "Small requests a second, on one connection and on eight",
        ("put_small_c1", "put_small_c8", "get_small_c1", "get_small_c8", "propfind0_c1", "propfind0_c8"),
    ),
    Picture(
        "bench-folders.svg",
        "Time to list folders, and to copy, move and delete",
        ("propfind1_1k_props", "propfind1_10k_props", "mkcol", "copy_large", "copy_tree", "move_tree", "delete_tree"),
    ),
)


def draw(results: Results) -> dict[str, str]:
    """File names and their SVG text; a picture without any figure is left out."""
    drawn = {}
    for picture in PICTURES:
        panels = [
            _panel(results, BY_NAME[name])
            for name in picture.workloads
            if any(median(values.get(name, ())) is not None for values in results.values.values())
        ]
        if panels:
            drawn[picture.file] = bar_chart(picture.description, panels)
    return drawn


def save(results: Results, folder: Path) -> None:
    """Write them into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in draw(results).items():
        (folder / file).write_text(text, encoding="utf-8")


def _panel(results: Results, workload: Workload) -> Panel:
    bars = []
    for target in results.labels:
        value = median(results.values.get(target, {}).get(workload.name, ()))
        text = "no figure" if value is None else f"{show(value)} {workload.unit}"
        bars.append(Bar(target, value, text, _STYLES.get(target, "bar")))
    note = "longer is better" if workload.more_is_better else "shorter is better"
    return Panel(workload.heading(results.sizes), note, bars)
