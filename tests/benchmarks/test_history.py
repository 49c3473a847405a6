"""Version series, what changes between versions, and what `sizes` makes of them."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import zipfile
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import report, sizes_report
from benchmarks.__main__ import main
from benchmarks.all_series import SERIES, chosen_series
from benchmarks.history import WorkTree, steps
from benchmarks.series import Extent, Files
from benchmarks.sizes import Measured, Sizes, joined, load

MADE = [each.name for each in SERIES if not each.name.startswith("software")]
"""Those that need no network."""


def first_versions(name: str, folder: Path, count: int = 2) -> list[Files]:
    """Of a series, very small."""
    (series,) = chosen_series(name)
    return list(islice(series.versions(Extent(0.01, folder)), count))


@pytest.mark.parametrize("name", MADE)
def test_series_made_twice_is_the_same(name: str, tmp_path: Path) -> None:
    """Figures of two runs are about the same bytes, and a version differs from the one before."""
    once, twice = first_versions(name, tmp_path), first_versions(name, tmp_path)
    assert once == twice
    assert once[0] != once[1]


def test_office_documents_are_whole_archives(tmp_path: Path) -> None:
    """They are real ZIP files, and only saved documents change."""
    before, after = first_versions("office", tmp_path)
    for content in after.values():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
    assert 0 < sum(before[path] != after[path] for path in before) < len(before)


def test_databases_are_sound_and_vacuumed_ones_have_no_free_pages(tmp_path: Path) -> None:
    """SQLite itself opens what the two series hold."""
    for name in ("sqlite", "sqlite-vacuumed"):
        content = first_versions(name, tmp_path, 4)[-1]["app/app.db"]
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(content)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            assert name == "sqlite" or free == 0


def test_steps_name_what_changed_and_the_folder_follows(tmp_path: Path) -> None:
    """Equal files are left alone, removed ones go with their folders."""
    versions: list[Files] = [
        {"a/one": b"1", "a/b/two": b"2", "keep": b"k"},
        {"a/one": b"changed", "keep": b"k", "new/three": b"3"},
    ]
    tree = WorkTree(tmp_path / "tree")
    first, second = steps(versions)
    assert second.changed == {"a/one": b"changed", "new/three": b"3"}
    assert second.removed == ("a/b/two",)
    tree.become(first)
    kept = (tree.folder / "keep").stat().st_mtime_ns
    tree.become(second)
    found = {str(path.relative_to(tree.folder)): path.read_bytes() for path in tree.folder.rglob("*") if path.is_file()}
    assert found == versions[1]
    assert not (tree.folder / "a" / "b").exists()
    assert (tree.folder / "keep").stat().st_mtime_ns == kept
    assert second.digests == {path: hashlib.sha256(content).digest() for path, content in found.items()}


def measured(ours: int, theirs: int, *, excepted: bool = False) -> Measured:
    """A series of which Holdfast took ``ours`` bytes, and two others ``theirs`` and a few more."""
    return Measured("a series", excepted, 2, 1, 100, 50, {"holdfast": ours, "restic": theirs, "borg": theirs + 9})


def test_mark_is_on_the_smallest_of_the_others() -> None:
    """Equal is enough, larger is not, and an exception counts only for the size."""
    assert measured(10, 10).holds
    assert not measured(11, 10).holds
    assert measured(11, 10, excepted=True).holds
    broken = measured(1, 10, excepted=True)
    broken.failed["holdfast"] = "a version reads back differently"
    assert not broken.holds


def test_results_read_back_as_they_were_saved(tmp_path: Path) -> None:
    """A report can be written once more, and something else is refused."""
    machine = {"system": "Linux", "python": "3"}
    sizes = Sizes("2026-01-01", 1.0, True, machine, {"holdfast": "Holdfast 1"}, {}, {"one": measured(10, 11)})
    sizes.save(tmp_path / "sizes.json")
    assert load(tmp_path / "sizes.json") == sizes
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no sizes"):
        load(tmp_path / "other.json")


def test_joined_runs_keep_the_order_and_the_last_of_a_series() -> None:
    """A series can be measured once more without the others; scales are never mixed."""
    machine = {"system": "Linux", "python": "3"}
    first = Sizes("2026-01-01", 1.0, True, machine, {}, {}, {"b": measured(10, 11), "c": measured(1, 2)})
    again = Sizes("2026-01-02", 1.0, True, machine, {}, {}, {"a": measured(3, 4), "b": measured(5, 6)})
    found = joined([first, again], ["a", "b", "c"])
    assert list(found.series) == ["a", "b", "c"]
    assert found.series["b"] == measured(5, 6)
    again.scale = 0.1
    with pytest.raises(ValueError, match="different scales"):
        joined([first, again], ["a", "b", "c"])


def test_projects_page_has_its_place_for_sizes() -> None:
    """`sizes --docs docs` works in this repository."""
    page = Path(report.__file__).parents[1] / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    assert "new" in report.insert(text, "new", begin=sizes_report.BEGIN, end=sizes_report.END)


def test_small_series_goes_through_a_server_and_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without other programs there is no ratio, but every version was read back, or the exit code is 1."""
    file = tmp_path / "sizes.json"
    series = "photos,mailbox"
    arguments = ["sizes", "--scale", "0.005", "--series", series, "--peers", "none", "--settle", "0"]
    assert main([*arguments, "--scratch", str(tmp_path), "--json", str(file)]) == 0
    assert "| photos, described | 4 |" in capsys.readouterr().out
    found = load(file)
    assert list(found.series) == series.split(",")
    for each in found.series.values():
        assert not each.failed
        sums = sum(size for name, size in each.parts.items() if not name.startswith("("))
        assert sums == each.stored["holdfast"]
