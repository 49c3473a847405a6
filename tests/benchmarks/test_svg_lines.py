"""The line charts."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest

from benchmarks.svg_lines import Axis, Line, line_chart

SVG = "{http://www.w3.org/2000/svg}"
X, Y = Axis("users", 0, 4), Axis("share", -2, 2)


def points_of(text: str) -> list[list[tuple[float, float]]]:
    """Of each line, from left to right."""
    lines = ET.fromstring(text).iter(f"{SVG}polyline")
    return [
        [(float(left), float(top)) for left, _, top in (pair.partition(",") for pair in line.get("points", "").split())]
        for line in lines
    ]


def test_scales_are_logarithmic() -> None:
    """Each power of ten is as far from the next one."""
    (points,) = points_of(line_chart("t", "", [Line("a", [(1, 0.01), (10, 0.1), (100, 1), (1000, 10)])], X, Y))
    across = [after[0] - before[0] for before, after in itertools.pairwise(points)]
    up = [before[1] - after[1] for before, after in itertools.pairwise(points)]
    assert across == pytest.approx([across[0]] * 3, abs=0.15)
    assert up == pytest.approx([up[0]] * 3, abs=0.15)
    assert min(across[0], up[0]) > 50


def test_what_is_beyond_the_scale_is_not_drawn() -> None:
    """Nor is a line of which one point is left."""
    chart = line_chart("t", "", [Line("a", [(1, 1e-9), (10, 1), (100, 1), (1000, 1e9)]), Line("b", [(1, 1)])], X, Y)
    assert [len(points) for points in points_of(chart)] == [2]
    assert ">b<" not in chart


def test_labels_stand_apart_and_are_escaped() -> None:
    """Lines that end at one place have names below each other."""
    chart = line_chart("a <b>", "&", [Line("<x>", [(1, 1), (10, 1)]), Line("y", [(1, 1), (10, 1)])], X, Y)
    tops = [
        float(text.get("y", 0))
        for text in ET.fromstring(chart).iter(f"{SVG}text")
        if "".join(text.itertext()) in ("■ <x>", "■ y")
    ]
    assert len(tops) == 2
    assert abs(tops[1] - tops[0]) >= 12
    assert 'class="limit"' in chart
    assert "prefers-color-scheme:dark" in chart
