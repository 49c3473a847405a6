"""`scale`: the constants that the model of docs/scale.md is fed with, and the data sets behind its claims."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare import temporary_folder
from benchmarks.measure import say
from benchmarks.payload import MIB, Payload
from benchmarks.results import machine
from benchmarks.scale_commits import CONNECTIONS, Commits, measure_commits
from benchmarks.scale_global import as_tuples, measure_global
from benchmarks.scale_model import Constants
from benchmarks.scale_partitions import Touched, cut, measure_partitions
from benchmarks.scale_place import DatabaseServer, Store, ask, database_beside, far_settings, plain, relays
from benchmarks.scale_requests import GET_MIB, PUT_MIB, Cost, Meters, measure_requests
from benchmarks.scale_store import Generated, Size, measure_jobs, measure_lookups, measure_scrub
from benchmarks.servers import USER, Ports

_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """How much is measured. ``times``: how many times as large as ``nodes`` the further generated stores are;
    ``rounds`` of requests in each of them.
    """

    requests: int = 2000
    large_mib: int = 256
    users: int = 32
    uploads: int = 1200
    seconds: float = 1.0
    connections: Sequence[int] = CONNECTIONS
    nodes: int = 100_000
    versions_per_node: float = 3.0
    times: Sequence[int] = (10,)
    rounds: int = 4

    @classmethod
    def quick(cls) -> Plan:
        """For a smoke test: the same steps, in some seconds."""
        return cls(
            requests=20,
            large_mib=4,
            users=4,
            uploads=32,
            seconds=0.1,
            connections=(1, 4),
            nodes=2_000,
            versions_per_node=2.0,
            times=(2,),
            rounds=1,
        )


@dataclass
class Measured:
    """One run. ``has_database_cpu``: PostgreSQL runs on this machine, so that its processor time is known."""

    made_at: str
    machine: dict[str, str]
    database: str
    has_database_cpu: bool
    requests: dict[str, Cost]
    commits: Commits
    shared: dict[str, tuple[float, float]]
    sizes: list[Size]
    jobs: dict[str, float]
    partitions: dict[str, Touched]

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        found = {"format": _FORMAT, **asdict(self), "requests": _plain_costs(self.requests)}
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def _plain_costs(costs: dict[str, Cost]) -> dict[str, Any]:
    return {name: cost._asdict() for name, cost in costs.items()}


def load(path: Path) -> Measured:
    """What ``save`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.pop("format", None) != _FORMAT or "commits" not in found:
        raise ValueError(f"{path} holds no results of `scale`")
    return Measured(
        **{
            **found,
            "requests": {name: Cost(**cost) for name, cost in found["requests"].items()},
            "commits": Commits.from_json(found["commits"]),
            "shared": as_tuples(found["shared"]),
            "sizes": [Size.from_json(size) for size in found["sizes"]],
            "partitions": {name: Touched(**touched) for name, touched in found["partitions"].items()},
        }
    )


def measure_scale(
    database_url: str, blobs_url: str, plan: Plan, *, first_port: int, scratch: Path | None = None
) -> Measured:
    """``database_url`` is of an empty database, of a role that may make others; ``blobs_url`` a place in a bucket."""
    with ExitStack() as closing:
        folder = closing.enter_context(temporary_folder(scratch))
        ports = Ports(first_port)
        requests, commits, scrubbed = _measure_nodes(database_url, blobs_url, plan, folder, ports)
        sizes, jobs, partitions = _measure_stores(database_url, plan, folder, ports)
        return Measured(
            made_at=time.strftime("%Y-%m-%d", time.gmtime()),
            machine=machine(),
            database=str(ask(database_url, "SELECT split_part(version(), ' ', 2)")),
            has_database_cpu=DatabaseServer(database_url).is_here,
            requests=requests,
            commits=commits,
            shared=measure_global(database_url, seconds=plan.seconds),
            sizes=sizes,
            jobs={**jobs, "scrub_bytes_per_s": scrubbed},
            partitions=partitions,
        )


def _measure_nodes(
    database_url: str, blobs_url: str, plan: Plan, folder: Path, ports: Ports
) -> tuple[dict[str, Cost], Commits, float]:
    with ExitStack() as closing:
        database, blobs, through = closing.enter_context(relays(database_url, blobs_url))
        payload = Payload(plan.large_mib * MIB)
        closing.callback(payload.close)
        store = Store(database_url, folder, ports, payload, closing, far_settings(blobs_url))
        first = store.start("node-1")
        counted = store.start("node-counted", settings=through)
        requests = measure_requests(
            Meters(first, counted, database_url, database, blobs), requests=plan.requests, large_mib=plan.large_mib
        )
        within = folder / "node-1" / "data"
        scrubbed = measure_scrub(within, {**store.far, "HOLDFAST_DATABASE_URL": database_url})
        say(f"scrub reads {scrubbed / MIB:.0f} MiB/s where nothing slows it down")
        commits = measure_commits(
            store, first, store.start("node-2"), users=plan.users, uploads=plan.uploads, seconds=plan.seconds,
            wal_bytes=max(100, int(requests["PUT 4 KiB, new"].wal_bytes)), connections=plan.connections,
        )  # fmt: skip
        return requests, commits, scrubbed


def _measure_stores(
    database_url: str, plan: Plan, folder: Path, ports: Ports
) -> tuple[list[Size], dict[str, float], dict[str, Touched]]:
    versions = int(plan.nodes * plan.versions_per_node)
    with Generated(database_url, folder, nodes=plan.nodes, versions=versions, times=plan.times) as generated:
        sizes = generated.sizes()
        jobs = measure_jobs(generated, sizes[0])
        with database_beside(database_url, template=generated.urls[0]) as parted:
            cut(parted)
            partitions = measure_partitions(plain(parted), generated.blobs("partitions"), USER)
        if plan.rounds:
            measure_lookups(generated, sizes, ports, rounds=plan.rounds)
        return sizes, jobs, partitions


def constants(of: Measured) -> Constants:
    """What the model takes; bytes of a row are those of the largest generated store."""
    put, get, poll = (of.requests[name] for name in ("PUT 4 KiB, new", "GET 4 KiB", "sync poll, nothing new"))
    put_mib, get_mib = of.requests[PUT_MIB], of.requests[GET_MIB]
    tables = of.sizes[-1].tables
    small = tables["small"]

    def row(name: str) -> float:
        return tables[name].row_bytes

    def index(name: str) -> float:
        return tables[name].indexes / max(tables[name].rows, 1)

    return Constants(
        node_put_us=put.node_us,
        node_get_us=get.node_us,
        node_poll_us=poll.node_us,
        node_put_mib_us=put_mib.node_us,
        node_get_mib_us=get_mib.node_us,
        database_put_us=put.database_us,
        database_get_us=get.database_us,
        database_poll_us=poll.database_us,
        database_put_mib_us=put_mib.database_us,
        database_get_mib_us=get_mib.database_us,
        put_wal_bytes=put.wal_bytes,
        commits_per_s=max((of.commits.log or of.commits.database).values()),
        tree_commits_per_s=max(of.commits.database_one_tree.values()),
        node_bytes=row("node"),
        node_index_bytes=index("node"),
        version_bytes=row("version"),
        version_index_bytes=index("version"),
        journal_bytes=row("journal"),
        journal_index_bytes=index("journal"),
        chunk_bytes=row("chunk"),
        chunk_index_bytes=index("chunk"),
        small_bytes=max(row("small") - of.sizes[-1].small_bytes, 0.0),
        small_index_bytes=small.indexes / max(small.rows, 1),
        s3_puts_a_file=of.requests["PUT 2 MiB"].s3.get("PUT", 0.0),
        s3_gets_a_file=of.requests["GET 2 MiB"].s3.get("GET", 0.0),
        prune_versions_per_s=of.jobs["prune_versions_per_s"],
        check_rows_per_s=of.jobs["check_rows_per_s"],
        scrub_bytes_per_s=of.jobs["scrub_bytes_per_s"],
    )
