"""Small requests: PUT and GET of small files, PROPFIND of one, MKCOL; on one connection and on eight."""

from __future__ import annotations

import os
import re

from benchmarks import multistatus
from benchmarks.failures import WrongAnswer
from benchmarks.site import LISTED_BYTES, Site, make_folder
from benchmarks.workloads import Taken, Workload

_STORED = (200, 201, 204)
_RESPONSE = re.compile(rb"<(?:\w+:)?response[ >]")


def _folder(site: Site, connections: int) -> str:
    return f"{site.run}small{connections}/"


def _put(connections: int) -> Workload:
    def prepare(site: Site) -> None:
        with site.connect() as connection:
            make_folder(connection, _folder(site, connections))

    def run(site: Site) -> Taken:
        folder, size = _folder(site, connections), site.sizes.small_bytes
        content = os.urandom(site.sizes.small * size)
        outcome = site.send(site.put_requests(folder, content, size), connections=connections)
        site.small[folder] = content[: len(outcome.answers) * size]

        def check() -> None:
            for answer in outcome.answers:
                answer.require("PUT", *_STORED)
            with site.connect() as connection:
                found = multistatus.listing(connection, folder)
            if len(found) != len(outcome.answers):
                raise WrongAnswer(f"{len(found)} files are there after {len(outcome.answers)} PUTs")

        return Taken(outcome.rate, check)

    title = f"PUT of {{small_bytes}} bytes, new file each, {_over(connections)}"
    return Workload(f"put_small_c{connections}", title, "requests/s", run, prepare=prepare, writes=True)


def _get(connections: int) -> Workload:
    def prepare(site: Site) -> None:
        folder, size = _folder(site, connections), site.sizes.small_bytes
        if folder not in site.small:
            with site.connect() as connection:
                make_folder(connection, folder)
            content = os.urandom(site.sizes.small * size)
            site.send(site.put_requests(folder, content, size), connections=4, most_s=600)
            site.small[folder] = content

    def run(site: Site) -> Taken:
        folder, size = _folder(site, connections), site.sizes.small_bytes
        content = site.small[folder]
        names = [f"{folder}f{number:05d}.dat" for number in range(len(content) // size)]
        outcome = site.send([site.endpoint.head("GET", name) for name in names], connections=connections)

        def check() -> None:
            for number, answer in enumerate(outcome.answers):
                if answer.require("GET", 200).body != content[number * size : (number + 1) * size]:
                    raise WrongAnswer(f"small file {number} has other bytes")

        return Taken(outcome.rate, check)

    title = f"GET of {{small_bytes}} bytes, {_over(connections)}"
    return Workload(f"get_small_c{connections}", title, "requests/s", run, prepare=prepare)


def _look(connections: int) -> Workload:
    def run(site: Site) -> Taken:
        name = f"{site.have_list(site.sizes.short_list)}f00007.dat"
        request = multistatus.request(site.endpoint, name, "0", multistatus.PROPS)
        outcome = site.send([request] * site.sizes.looks, connections=connections)

        def check() -> None:
            for answer in outcome.answers:
                body = answer.require("PROPFIND", 207).body
                if len(_RESPONSE.findall(body)) != 1 or f">{LISTED_BYTES}<".encode() not in body:
                    raise WrongAnswer("PROPFIND of a file: not one response with its length")

        return Taken(outcome.rate, check)

    return Workload(
        f"propfind0_c{connections}",
        f"PROPFIND of one file, {_over(connections)}",
        "requests/s",
        run,
        prepare=lambda site: _discard(site.have_list(site.sizes.short_list)),
    )


def _make_folders(site: Site) -> Taken:
    folder = f"{site.run}folders/"
    names = [f"{folder}d{number:04d}" for number in range(site.sizes.folders)]
    outcome = site.send([site.endpoint.head("MKCOL", f"{name}/") for name in names], connections=1, most_s=60)

    def check() -> None:
        for answer in outcome.answers:
            answer.require("MKCOL", 200, 201)
        with site.connect() as connection:
            found = multistatus.listing(connection, folder)
        if len(found) != len(names):
            raise WrongAnswer(f"{len(found)} folders are there after {len(names)} MKCOLs")

    return Taken(outcome.seconds, check)


def _before_folders(site: Site) -> None:
    with site.connect() as connection:
        make_folder(connection, f"{site.run}folders/")


def _over(connections: int) -> str:
    return "one connection" if connections == 1 else f"{connections} connections"


def _discard(_: str) -> None:
    """What was made stays on the server."""


WORKLOADS = (
    *(make(connections) for make in (_put, _get, _look) for connections in (1, 8)),
    Workload("mkcol", "{folders} MKCOLs, one by one", "s", _make_folders, prepare=_before_folders, writes=True),
)
