"""Whole folders: PROPFIND Depth 1, and COPY, MOVE, DELETE of a tree."""

from __future__ import annotations

import statistics
import time

from benchmarks import multistatus
from benchmarks.failures import WrongAnswer
from benchmarks.site import LISTED_BYTES, Site
from benchmarks.wire import Answer
from benchmarks.workloads import Taken, Workload

_DONE = (200, 201, 204)
# A listing is asked for so many times, the median counts; no further one after so many seconds.
_TIMES = {"short_list": 5, "long_list": 3}
_ENOUGH_S = 8.0


def _list(size: str, how: str, body: bytes) -> Workload:
    def count(site: Site) -> int:
        found: int = getattr(site.sizes, size)
        return found

    def prepare(site: Site) -> None:
        site.have_list(count(site))

    def run(site: Site) -> Taken:
        folder = site.have_list(count(site))
        took: list[float] = []
        answers: list[Answer] = []
        with site.connect() as connection:
            connection.open()
            while len(took) < _TIMES[size] and sum(took) < _ENOUGH_S:
                began = time.perf_counter()
                answers.append(connection.request("PROPFIND", folder, body, multistatus.headers("1")))
                took.append(time.perf_counter() - began)

        def check() -> None:
            for answer in answers:
                found = multistatus.members(site.endpoint, answer, folder, LISTED_BYTES)
                if len(found) != count(site):
                    raise WrongAnswer(f"PROPFIND lists {len(found)} of {count(site)} members")

        return Taken(statistics.median(took) * 1000, check, {"bytes": len(answers[0].body)})

    name = {"short_list": "propfind1_1k", "long_list": "propfind1_10k"}[size]
    title = f"PROPFIND of a folder of {{{size}:,}}, {how}"
    return Workload(f"{name}_{'allprop' if how == 'allprop' else 'props'}", title, "ms", run, prepare=prepare)


def _timed(site: Site, method: str, name: str, headers: dict[str, str] | None = None) -> float:
    with site.connect() as connection:
        connection.open()
        began = time.perf_counter()
        answer = connection.request(method, name, headers=headers)
        seconds = time.perf_counter() - began
    answer.require(f"{method} of a tree", *_DONE)
    return seconds


def _copy_now(site: Site, target: str) -> float:
    headers = {"Destination": site.endpoint.url(site.run + target), "Depth": "infinity", "Overwrite": "F"}
    seconds = _timed(site, "COPY", site.have_tree(), headers)
    site.stored.add(target)
    return seconds


def _copy(site: Site) -> Taken:
    return Taken(_copy_now(site, "copied/"), lambda: site.require_tree(f"{site.run}copied/"))


def _before_move(site: Site) -> None:
    site.have_tree()
    if "copied/" not in site.stored:
        _copy_now(site, "copied/")


def _move(site: Site) -> Taken:
    headers = {"Destination": site.endpoint.url(f"{site.run}moved/"), "Overwrite": "F"}
    seconds = _timed(site, "MOVE", f"{site.run}copied/", headers)
    site.stored -= {"copied/"}
    site.stored |= {"moved/"}

    def check() -> None:
        site.require_tree(f"{site.run}moved/")
        with site.connect() as connection:
            multistatus.require_gone(connection, f"{site.run}copied/")

    return Taken(seconds, check)


def _before_delete(site: Site) -> None:
    site.have_tree()
    if "moved/" not in site.stored:
        _copy_now(site, "moved/")


def _delete(site: Site) -> Taken:
    seconds = _timed(site, "DELETE", f"{site.run}moved/")
    site.stored -= {"moved/"}

    def check() -> None:
        with site.connect() as connection:
            multistatus.require_gone(connection, f"{site.run}moved/")

    return Taken(seconds, check)


def _before_copy(site: Site) -> None:
    site.have_tree()


WORKLOADS = (
    _list("short_list", "allprop", multistatus.ALLPROP),
    _list("short_list", "named properties", multistatus.PROPS),
    _list("long_list", "allprop", multistatus.ALLPROP),
    _list("long_list", "named properties", multistatus.PROPS),
    Workload("copy_tree", "COPY of {tree:,} files in 10 folders", "s", _copy, prepare=_before_copy, writes=True),
    Workload("move_tree", "MOVE of {tree:,} files in 10 folders", "s", _move, prepare=_before_move, writes=True),
    Workload(
        "delete_tree", "DELETE of {tree:,} files in 10 folders", "s", _delete, prepare=_before_delete, writes=True
    ),
)
