"""Pictures of amounts over time."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from admin_ui.chart import HEIGHT, WIDTH, Series, stacked


def test_areas_lie_on_each_other_and_within_the_picture() -> None:
    """The sum of all is the upper edge of the last one."""
    picture = ET.fromstring(
        stacked([0, 10, 20], [Series("a <b>", "one", [1, 2, 3]), Series("c", "two", [0, 0, 3])], "title & more")
    )
    first, second = picture.findall("polygon")
    edges = [[tuple(map(float, pair.split(","))) for pair in each.attrib["points"].split()] for each in (first, second)]
    for edge in edges:
        assert len(edge) == 6
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in edge)
    assert edges[0][:3] == list(reversed(edges[1][3:])), "the second begins where the first ends"
    assert edges[1][2][1] == min(y for edge in edges for _, y in edge)
    title = first.find("title")
    assert title is not None
    assert title.text == "a <b>: 3 B"


def test_nothing_at_all_is_a_line_at_the_bottom() -> None:
    """No division by nothing."""
    picture = ET.fromstring(stacked([5, 5], [Series("a", "one", [0, 0])], ""))
    (area,) = picture.findall("polygon")
    heights = {float(pair.split(",")[1]) for pair in area.attrib["points"].split()}
    assert len(heights) == 1
