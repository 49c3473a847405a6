"""From what was measured to what a population needs, and which limit it meets first. Arithmetic alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class Constants:
    """Measured; ``_us`` is microseconds of processor time of nodes and of PostgreSQL."""

    node_put_us: float
    node_get_us: float
    node_poll_us: float
    node_put_mib_us: float
    node_get_mib_us: float
    database_put_us: float
    database_get_us: float
    database_poll_us: float
    database_put_mib_us: float
    database_get_mib_us: float
    # Written to PostgreSQL's log by a small upload.
    put_wal_bytes: float
    # The most transactions a second that the disk takes, and that one tree takes.
    commits_per_s: float
    tree_commits_per_s: float
    # A row with its indexes, and its indexes alone.
    node_bytes: float
    node_index_bytes: float
    version_bytes: float
    version_index_bytes: float
    journal_bytes: float
    journal_index_bytes: float
    chunk_bytes: float
    chunk_index_bytes: float
    # Without content.
    small_bytes: float
    small_index_bytes: float
    # Requests for one large file.
    s3_puts_a_file: float
    s3_gets_a_file: float
    prune_versions_per_s: float
    check_rows_per_s: float
    scrub_bytes_per_s: float


@dataclass(frozen=True)
class Population:
    """Who uses it, and how; all but ``users`` are assumptions of the model, stated here."""

    users: float
    files_per_user: float
    # Kept of each file, the current one included; each earlier one adds a tenth of its file.
    versions_per_file: float = 3.0
    version_share: float = 0.1
    folders_per_file: float = 0.1
    # Half of all files are small enough for the database (at most 32 KiB, 8 KiB on average) …
    small_share: float = 0.5
    small_bytes: float = 8 * KIB
    # … the others have this size on average.
    large_bytes: float = 2 * MIB
    # Of all users, who is at work in the busiest hour; each with so many requests for files and so many polls.
    active_share: float = 0.1
    requests_per_hour: float = 60.0
    polls_per_hour: float = 120.0
    write_share: float = 0.2

    @property
    def files(self) -> float:
        return self.users * self.files_per_user

    @property
    def versions(self) -> float:
        return self.files * self.versions_per_file

    @property
    def contents(self) -> float:
        """Files' worth of stored bytes: what was not changed is not stored again."""
        return self.files * (1 + self.version_share * (self.versions_per_file - 1))

    @property
    def small_contents(self) -> float:
        return self.versions * self.small_share

    @property
    def blob_bytes(self) -> float:
        return self.contents * (1 - self.small_share) * self.large_bytes

    @property
    def requests_per_s(self) -> float:
        return self.users * self.active_share * self.requests_per_hour / HOUR

    @property
    def puts_per_s(self) -> float:
        return self.requests_per_s * self.write_share

    @property
    def gets_per_s(self) -> float:
        return self.requests_per_s * (1 - self.write_share)

    @property
    def polls_per_s(self) -> float:
        return self.users * self.active_share * self.polls_per_hour / HOUR

    @property
    def large_mib(self) -> float:
        """Of a request on average: that share of requests which is for a large file."""
        return (1 - self.small_share) * self.large_bytes / MIB


@dataclass(frozen=True)
class Machines:
    """What can be had for money: assumptions, with where they come from."""

    # A node: 8 cores, a worker for each, the default of 32 threads; docs/design/concurrency.md has the arithmetic.
    node_cores: int = 8
    node_threads: int = 32
    # Of their cores, what may be in use in the busiest hour.
    used: float = 0.7
    # One large PostgreSQL server: what the hosted ones are sold with.
    database_cores: int = 64
    database_memory: float = 512 * GIB
    # Of it, for pages of tables and indexes.
    cached: float = 0.75
    database_disk: float = 16 * TIB
    # More cost each transaction time (snapshots), whatever the memory.
    database_connections: int = 1000
    wal_bytes_per_s: float = 200 * MIB
    # AWS documents these for one prefix of names; it divides prefixes by itself.
    s3_puts_per_s: float = 3500.0
    s3_gets_per_s: float = 5500.0
    # Defaults of the product: bytes a second of scrub, and how long it has.
    scrub_bytes_per_s: float = 32 * MIB
    scrub_days: float = 30.0
    # A pass of prune, or of check, that takes longer frees room too late, and holds its snapshot for too long.
    pass_s: float = DAY
    # Chunks, or small contents, for which prune reads all manifests once.
    chunks_in_part: float = 4_000_000
    chunk_bytes: float = 64 * KIB


class Load(NamedTuple):
    """What is needed of a resource, and how much there is; ``key`` names it."""

    key: str
    need: float
    limit: float

    @property
    def share(self) -> float:
        """Of the limit; 1: it is met."""
        return self.need / self.limit


def node_cores(of: Constants, by: Population) -> float:
    """Cores that the requests keep busy."""
    us = (
        by.puts_per_s * (of.node_put_us + by.large_mib * of.node_put_mib_us)
        + by.gets_per_s * (of.node_get_us + by.large_mib * of.node_get_mib_us)
        + by.polls_per_s * of.node_poll_us
    )
    return us / 1e6


def nodes(of: Constants, by: Population, on: Machines) -> int:
    """So many nodes of ``on.node_cores``, at least one."""
    return max(1, math.ceil(node_cores(of, by) / (on.node_cores * on.used)))


def connections(of: Constants, by: Population, on: Machines) -> float:
    """Of all nodes, as docs/design/concurrency.md counts them."""
    return nodes(of, by, on) * (on.node_cores * on.node_threads / 2 + 16) + 16 + 3


def database_cores(of: Constants, by: Population) -> float:
    """Of PostgreSQL, without its own cleaning up."""
    us = (
        by.puts_per_s * (of.database_put_us + by.large_mib * of.database_put_mib_us)
        + by.gets_per_s * (of.database_get_us + by.large_mib * of.database_get_mib_us)
        + by.polls_per_s * of.database_poll_us
    )
    return us / 1e6


def chunks(by: Population, on: Machines) -> float:
    """Rows; what compresses well needs no fewer of them."""
    return by.blob_bytes / on.chunk_bytes


def rows(by: Population, on: Machines) -> float:
    """Of all large tables."""
    found = by.files * (1 + by.folders_per_file) + 2 * by.versions + by.small_contents
    return found + chunks(by, on)


def database_bytes(of: Constants, by: Population, on: Machines) -> float:
    """Tables and indexes, as they are after their rows were written once."""
    return (
        by.files * (1 + by.folders_per_file) * of.node_bytes
        + by.versions * (of.version_bytes + of.journal_bytes)
        + by.small_contents * (of.small_bytes + by.small_bytes)
        + chunks(by, on) * of.chunk_bytes
    )


def hot_bytes(of: Constants, by: Population, on: Machines) -> float:
    """Indexes that requests of the busiest hour go through.

    Those of content by its digest as a whole, since digests are at random; of names and versions those of who is there.
    """
    of_users = (
        by.files * (1 + by.folders_per_file) * of.node_index_bytes
        + by.versions * (of.version_index_bytes + of.journal_index_bytes)
    )  # fmt: skip
    return (
        of_users * by.active_share
        + by.small_contents * of.small_index_bytes
        + chunks(by, on) * of.chunk_index_bytes
    )  # fmt: skip


def prune_s(of: Constants, by: Population, on: Machines) -> float:
    """Seconds of one pass: all manifests are read once for each part of the chunks."""
    parts = 1 + max(chunks(by, on), by.small_contents) // on.chunks_in_part
    return parts * by.versions / of.prune_versions_per_s


def loads(of: Constants, by: Population, on: Machines) -> list[Load]:
    """Of every resource, what is nearest to its limit first."""
    found = [
        Load("connections", connections(of, by, on), on.database_connections),
        Load("database cores", database_cores(of, by), on.database_cores * on.used),
        Load("commits", by.puts_per_s, of.commits_per_s),
        Load("commits of a tree", by.puts_per_s / max(by.users * by.active_share, 1e-9), of.tree_commits_per_s),
        Load("log", by.puts_per_s * of.put_wal_bytes, on.wal_bytes_per_s),
        Load("database bytes", database_bytes(of, by, on), on.database_disk),
        Load("indexes in memory", hot_bytes(of, by, on), on.database_memory * on.cached),
        Load("S3 puts", by.puts_per_s * (1 - by.small_share) * of.s3_puts_a_file, on.s3_puts_per_s),
        Load("S3 gets", by.gets_per_s * (1 - by.small_share) * of.s3_gets_a_file, on.s3_gets_per_s),
        Load("prune", prune_s(of, by, on), on.pass_s),
        Load("check", rows(by, on) / of.check_rows_per_s, on.pass_s),
        Load("scrub", by.blob_bytes / on.scrub_bytes_per_s / DAY, on.scrub_days),
        Load("scrub, unbounded", by.blob_bytes / of.scrub_bytes_per_s / DAY, on.scrub_days),
    ]
    return sorted(found, key=lambda load: -load.share)


class Met(NamedTuple):
    """A limit, and with how many users of the same kind it is met; None: not with any number of them."""

    key: str
    users: float | None


def order(of: Constants, by: Population, on: Machines) -> list[Met]:
    """Limits in the order in which a growing population meets them."""
    found = [Met(load.key, _users(of, by, on, load.key)) for load in loads(of, by, on)]
    return sorted(found, key=lambda met: met.users or math.inf)


_MOST = 1e11


def _users(of: Constants, by: Population, on: Machines, key: str) -> float | None:
    """Found by halving: no need falls when users come."""
    low, high = 1.0, _MOST
    if share_of(of, replace(by, users=high), on, key) < 1:
        return None
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        if share_of(of, replace(by, users=middle), on, key) < 1:
            low = middle
        else:
            high = middle
    return high


def share_of(of: Constants, by: Population, on: Machines, key: str) -> float:
    """Of one resource."""
    return next(load.share for load in loads(of, by, on) if load.key == key)


def curve(
    of: Constants, by: Population, on: Machines, key: str, users: Callable[[], Iterator[float]]
) -> list[tuple[float, float]]:
    """Points of (users, share of the limit)."""
    return [(count, share_of(of, replace(by, users=count), on, key)) for count in users()]


POPULATIONS = {
    "10³ users, 10⁷ files": Population(users=1e3, files_per_user=1e4),
    "10⁵ users, 10⁹ files": Population(users=1e5, files_per_user=1e4),
    "10⁷ users, 10⁹ files": Population(users=1e7, files_per_user=100),
}
