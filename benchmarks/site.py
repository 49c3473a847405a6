"""One server under measurement, with what the workloads have put there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import multistatus
from benchmarks.failures import WrongAnswer
from benchmarks.load import Outcome, send_all
from benchmarks.payload import Payload
from benchmarks.wire import Connection, Endpoint

_STORED = (200, 201, 204)
_OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Sizes:
    """How much each workload does. Files of ``large_mib``; ``small_bytes`` a small file."""

    large_mib: int = 512
    ranges: int = 200
    small: int = 2000
    small_bytes: int = 4096
    looks: int = 2000
    short_list: int = 1000
    long_list: int = 10_000
    tree: int = 1000
    folders: int = 500
    # Requests that find out what the client itself can do.
    ceiling: int = 20_000
    # A workload of many requests stops after so many seconds; the rate counts what was done.
    most_s: float = 20.0

    @classmethod
    def quick(cls) -> Sizes:
        """For a smoke test: the same steps, a few seconds a server."""
        return cls(
            large_mib=16,
            ranges=20,
            small=100,
            looks=50,
            short_list=100,
            long_list=300,
            tree=100,
            folders=20,
            ceiling=2_000,
        )


@dataclass
class Site:
    """``base`` is a folder of this measurement, ``run`` a folder in it of one run; both end in a slash."""

    name: str
    endpoint: Endpoint
    pid: int
    sizes: Sizes
    payload: Payload
    base: str = field(default_factory=lambda: f"bench-{os.urandom(4).hex()}/")
    run: str = ""
    # What this run has stored already, and small files' content by folder.
    stored: set[str] = field(default_factory=set)
    small: dict[str, bytes] = field(default_factory=dict)
    # Folders that stay for all runs.
    lasting: set[str] = field(default_factory=set)
    reconnects: int = 0

    def connect(self) -> Connection:
        return Connection(self.endpoint)

    def send(self, requests: Sequence[bytes], *, connections: int, most_s: float | None = None) -> Outcome:
        outcome = send_all(
            self.endpoint, requests, connections=connections, most_s=self.sizes.most_s if most_s is None else most_s
        )
        self.reconnects += outcome.reconnects
        return outcome

    def begin_run(self, number: int) -> None:
        """A folder of its own for each run: nothing is overwritten."""
        self.run = f"{self.base}run{number}/"
        self.stored.clear()
        self.small.clear()
        with self.connect() as connection:
            if self.base not in self.lasting:
                make_folder(connection, self.base)
                self.lasting.add(self.base)
            make_folder(connection, self.run)

    def end_run(self) -> None:
        with self.connect() as connection:
            connection.request("DELETE", self.run)

    def end(self) -> None:
        with self.connect() as connection:
            connection.request("DELETE", self.base)
        self.lasting.clear()

    # -- what several workloads need, made outside of the clock -------------------------------------------------------

    def put_blob(self, name: str, number: int) -> None:
        """Upload a large file of this run."""
        blob = self.payload.blob(number)
        with self.connect() as connection:
            connection.put_file(self.run + name, blob.descriptor, blob.size).require("PUT", *_STORED)
        self.stored.add(name)

    def require_blob(self, name: str, number: int) -> None:
        """Download a large file of this run and compare it.

        Raises:
            WrongAnswer: it is another one.
        """
        room = self.payload.room(0)
        room.clear()
        with self.connect() as connection:
            connection.get_into(self.run + name, room.view)
        room.require(self.payload.blob(number))

    def delete(self, name: str) -> None:
        """Of this run."""
        with self.connect() as connection:
            connection.request("DELETE", self.run + name).require("DELETE", 200, 204)
        self.stored.discard(name)

    def have_large(self) -> None:
        """The large file that downloads and copies begin with."""
        if "large.bin" not in self.stored:
            self.put_blob("large.bin", 0)

    def put_requests(self, folder: str, content: bytes, size: int) -> list[bytes]:
        """PUTs that cut ``content`` into files of ``size`` bytes."""
        count = len(content) // size
        return [
            self.endpoint.head("PUT", f"{folder}f{number:05d}.dat", _OCTETS, size)
            + content[number * size : (number + 1) * size]
            for number in range(count)
        ]

    def fill(self, folder: str, count: int, size: int) -> None:
        """A new folder with ``count`` files of random bytes."""
        with self.connect() as connection:
            make_folder(connection, folder)
        requests = self.put_requests(folder, os.urandom(count * size), size)
        require_stored(self.send(requests, connections=4, most_s=600), count)

    def have_list(self, count: int) -> str:
        """A folder of ``count`` small files, which stays for all runs; its name."""
        folder = f"{self.base}list{count}/"
        if folder not in self.lasting:
            self.fill(folder, count, LISTED_BYTES)
            self.lasting.add(folder)
        return folder

    def have_tree(self) -> str:
        """A folder of ten folders of files, which stays for all runs; its name."""
        folder = f"{self.base}tree/"
        if folder not in self.lasting:
            with self.connect() as connection:
                make_folder(connection, folder)
            for number in range(10):
                self.fill(f"{folder}d{number}/", self.sizes.tree // 10, 1024)
            self.lasting.add(folder)
        return folder

    def require_tree(self, folder: str) -> None:
        """The copy or move of it is whole.

        Raises:
            WrongAnswer: something is missing.
        """
        with self.connect() as connection:
            if multistatus.listing(connection, folder) != {f"d{number}" for number in range(10)}:
                raise WrongAnswer("the tree has other folders than it had")
            for number in range(10):
                found = multistatus.listing(connection, f"{folder}d{number}/")
                if len(found) != self.sizes.tree // 10:
                    raise WrongAnswer(f"folder d{number} of the tree has {len(found)} files")


LISTED_BYTES = 16
"""The files of the folders that are listed."""


def make_folder(connection: Connection, name: str) -> None:
    """MKCOL; some servers answer 200."""
    connection.request("MKCOL", name).require(f"MKCOL {name}", 200, 201)


def require_stored(outcome: Outcome, count: int) -> None:
    """All of them, and each stored.

    Raises:
        WrongAnswer: not so.
    """
    if len(outcome.answers) < count:
        raise WrongAnswer(f"{len(outcome.answers)} of {count} requests in {outcome.seconds:.0f} s")
    for answer in outcome.answers:
        answer.require("PUT", *_STORED)
