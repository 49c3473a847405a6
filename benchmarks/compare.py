"""`compare`: Holdfast and its peers in one run."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import holdfast
from benchmarks.failures import NotAvailable
from benchmarks.load import client_ceiling
from benchmarks.measure import measure, say
from benchmarks.payload import MIB, Payload
from benchmarks.peers import PEERS
from benchmarks.results import Results, machine
from benchmarks.servers import Place, Ports, Server
from benchmarks.site import Site, Sizes
from benchmarks.workloads import Workload

HOLDFAST = "holdfast"
SAFE = "holdfast-safe"


@dataclass(frozen=True)
class Plan:
    """What is to be compared. ``cache`` keeps installed peers, ``scratch`` the servers' files while they run."""

    peers: Sequence[str]
    safe: bool
    base: str
    runs: int
    sizes: Sizes
    workloads: Sequence[Workload]
    cache: Path | None
    scratch: Path | None
    first_port: int
    # Written after each run.
    json: Path | None


def compare(plan: Plan) -> Results:
    """Get, start, measure, stop. A peer that cannot be had is said and left out.

    Raises:
        NotAvailable: Holdfast does not start.
    """
    with ExitStack() as closing:
        if plan.cache is not None:
            plan.cache.mkdir(parents=True, exist_ok=True)
        cache = plan.cache.resolve() if plan.cache is not None else closing.enter_context(temporary_folder())
        scratch = closing.enter_context(temporary_folder(plan.scratch))
        ports = Ports(plan.first_port)
        missing: dict[str, str] = {}
        servers = list(_start(plan, cache, scratch, ports, missing, closing))
        names = [server.name for server in servers]
        results = Results(
            made_at=time.strftime("%Y-%m-%d", time.gmtime()),
            base=plan.base if plan.base in names else names[0],
            runs=plan.runs,
            sizes=plan.sizes,
            machine=machine(),
            labels={server.name: server.label for server in servers},
            missing=missing,
            client_rates={f"c{count}": round(rate) for count, rate in client_ceiling(plan.sizes.ceiling).items()},
        )
        payload = Payload(plan.sizes.large_mib * MIB)
        closing.callback(payload.close)
        sites = [Site(server.name, server.endpoint, server.pid, plan.sizes, payload) for server in servers]
        measure(sites, plan.workloads, results, scratch, lambda: results.save(plan.json) if plan.json else None)
        for site in sites:
            if site.reconnects:
                say(f"{site.name} closed {site.reconnects} connections that should have been kept")
    return results


def _start(
    plan: Plan, cache: Path, scratch: Path, ports: Ports, missing: dict[str, str], closing: ExitStack
) -> Iterator[Server]:
    """Every server of the plan that can be had, running."""
    for name, durability in ((HOLDFAST, "fast"), (SAFE, "safe")):
        if durability == "fast" or plan.safe:
            place = _place(scratch, name, ports)
            yield closing.enter_context(holdfast.start(place, durability=durability, name=name))
    for name in plan.peers:
        peer = PEERS[name]
        try:
            label = peer.get(cache)
            server = closing.enter_context(peer.start(cache, _place(scratch, name, ports), label))
            server.wait()
        except NotAvailable as reason:
            missing[name] = str(reason)
            say(f"without {name}: {reason}")
        else:
            say(f"{name}: {label}")
            yield server


def _place(scratch: Path, name: str, ports: Ports) -> Place:
    place = Place(scratch / name, ports.take())
    place.make()
    return place


@contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """A folder that goes at the end; servers of other users may enter it."""
    made = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=within))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def known_peers(names: str) -> list[str]:
    """Peers from a list separated by commas; "none" is an empty one.

    Raises:
        ValueError: one is unknown.
    """
    chosen: Collection[str] = [] if names == "none" else [name for name in names.split(",") if name]
    for name in chosen:
        if name not in PEERS:
            raise ValueError(f"no peer is called {name}; there are {', '.join(PEERS)}")
    return list(chosen)
