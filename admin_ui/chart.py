"""Amounts over time as a picture: areas stacked on each other, in SVG without scripts and styles of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup

from appliance import clock, sizes

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 10, 10, 24


class Series(NamedTuple):
    """``values`` belong to the times of the chart. ``kind`` is a class of the style sheet."""

    name: str
    kind: str
    values: Sequence[int]


def stacked(times: Sequence[int], series: Sequence[Series], title: str) -> Markup:
    """The picture; ``times`` (microseconds) rise, and there are at least two."""
    most = max(*(sum(each.values[index] for each in series) for index in range(len(times))), 1)
    first, last = times[0], max(times[-1], times[0] + 1)

    def x(at: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (at - first) / (last - first)

    def y(value: int) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / most

    below = [0] * len(times)
    areas: list[Markup] = []
    for each in series:
        above = [under + value for under, value in zip(below, each.values, strict=True)]
        edge = [(x(at), y(value)) for at, value in zip(times, above, strict=True)]
        back = [(x(at), y(value)) for at, value in zip(reversed(times), reversed(below), strict=True)]
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top in [*edge, *back])
        area = '<polygon class="{}" points="{}"><title>{}: {}</title></polygon>'
        areas.append(Markup(area).format(each.kind, points, each.name, sizes.show(each.values[-1])))
        below = above
    labels = [
        Markup('<text x="{}" y="{:.0f}" text-anchor="end">{}</text>').format(_LEFT - 6, y(value) + 4, sizes.show(value))
        for value in (0, most // 2, most)
    ]
    ends = [
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(place, HEIGHT - 6, anchor, _day(at))
        for place, anchor, at in ((_LEFT, "start", first), (WIDTH - _RIGHT, "end", last))
    ]
    inner = Markup("").join([*areas, *labels, *ends])
    frame = '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(frame).format(WIDTH, HEIGHT, title, inner)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / clock.SECOND, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
