"""The report, its place in the page, the marks and the pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import pictures, report
from benchmarks.__main__ import main
from benchmarks.marks import MARKS, judge
from benchmarks.processes import Cost
from benchmarks.results import Results, load
from benchmarks.site import Sizes
from benchmarks.suite import BY_NAME

RIVALS = ("apache", "rclone", "copyparty", "wsgidav")


def results_of(*, ours: float = 10.0, theirs: float = 1.0) -> Results:
    """A comparison of two runs: Holdfast ``ours`` times as good as nothing, the peers ``theirs``."""
    found = Results(
        made_at="2026-01-01", base="apache", runs=2, sizes=Sizes.quick(), labels={"holdfast": "Holdfast 1"},
        machine={"cores": "2", "processor": "P", "memory": "4 GiB", "system": "Linux", "python": "3"},
    )  # fmt: skip
    found.labels |= {name: name.title() for name in RIVALS}
    for name, workload in BY_NAME.items():
        for target, good in (("holdfast", ours), *((rival, theirs) for rival in RIVALS)):
            for _ in range(found.runs):
                value = good if workload.more_is_better else 1 / good
                found.add(target, name, value, Cost(0.5, 30.0, 0.0), {})
    return found


def test_page_keeps_its_prose_around_the_figures() -> None:
    """Only what lies between the markers is replaced, however often."""
    page = f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n"
    once = report.insert(page, "new")
    assert once == f"before\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nafter\n"
    assert report.insert(once, "new") == once


@pytest.mark.parametrize(
    "page",
    ["no markers", report.BEGIN, f"{report.END}\n{report.BEGIN}", f"{report.BEGIN}{report.END}{report.END}"],
)
def test_page_without_one_place_for_figures_is_refused(page: str) -> None:
    """Nobody's prose is guessed away."""
    with pytest.raises(ValueError, match="place for the figures"):
        report.insert(page, "new")


def test_projects_page_has_its_place() -> None:
    """`--docs docs` works in this repository."""
    page = Path(report.__file__).parents[1] / "docs" / "performance.md"
    assert "new" in report.insert(page.read_text(encoding="utf-8"), "new")


def test_table_shows_median_and_ratio_and_what_failed() -> None:
    """A reader sees the figure, how it compares, and that something went wrong."""
    found = results_of()
    found.values["rclone"]["put_large"] = [3.0, "status 500"]
    found.values["wsgidav"]["put_large"] = ["no answer", "no answer"]
    line = next(line for line in report.speeds(found).splitlines() if line.startswith("| PUT of 16 MiB |"))
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["MB/s", "10.0 (10.00x)", "1.00", "3.00 (3.00x) [1 of 2 failed]", "1.00 (1.00x)", "failed"]
    text = report.report(found)
    assert "- rclone, put_large: status 500" in text
    assert text.count("- wsgidav, put_large: no answer") == 1


def test_table_has_a_row_for_each_workload_that_was_measured() -> None:
    """Nothing is left out, nothing is invented."""
    found = results_of()
    assert len(report.speeds(found).splitlines()) == 2 + len(BY_NAME)
    for by_workload in found.values.values():
        del by_workload["mkcol"]
    assert len(report.speeds(found).splitlines()) == 1 + len(BY_NAME)


def test_marks_hold_only_where_the_ratio_reaches_them() -> None:
    """Ten times as fast reaches all; equal reaches "at least 1", and neither "faster than" nor "5 times"."""
    assert all(verdict.holds for verdict in judge(results_of()))
    equal = judge(results_of(ours=1.0))
    assert {verdict.mark for verdict in equal if verdict.holds} == {
        mark for mark in MARKS if mark.least == 1.0 and not mark.beyond
    }
    slower = results_of(ours=1.0, theirs=1.1)
    assert not any(verdict.holds for verdict in judge(slower))


def test_mark_without_figures_does_not_hold() -> None:
    """A peer that could not be had proves nothing."""
    found = results_of()
    del found.values["rclone"]
    missed = {verdict.mark for verdict in judge(found) if not verdict.holds}
    assert missed == {mark for mark in MARKS if mark.rival == "rclone"}


def test_marks_command_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when all hold, 1 when one does not, 2 for a file that is something else."""
    path = tmp_path / "results.json"
    results_of().save(path)
    assert load(path) == results_of()
    assert main(["marks", str(path)]) == 0
    assert f"{len(MARKS)} of {len(MARKS)} marks hold" in capsys.readouterr().out
    results_of(ours=0.5).save(path)
    assert main(["marks", str(path)]) == 1
    assert "MISSED" in capsys.readouterr().out
    path.write_text(json.dumps([1, 2]), encoding="utf-8")
    assert main(["marks", str(path)]) == 2


def test_docs_are_written_with_every_picture_they_show(tmp_path: Path) -> None:
    """The page's pictures are there, and are XML."""
    (tmp_path / "performance.md").write_text(f"{report.BEGIN}\n{report.END}\n", encoding="utf-8")
    report.write_docs(results_of(), tmp_path)
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert page.count("](pictures/") == len(pictures.PICTURES)
    for picture in pictures.PICTURES:
        assert f"](pictures/{picture.file})" in page
        ET.fromstring((tmp_path / "pictures" / picture.file).read_text(encoding="utf-8"))


def test_pictures_name_only_workloads_that_exist() -> None:
    """A renamed workload would vanish from them silently."""
    assert {name for picture in pictures.PICTURES for name in picture.workloads} <= set(BY_NAME)
    assert {mark.workload for mark in MARKS} <= set(BY_NAME)
