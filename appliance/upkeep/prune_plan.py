"""What pruning would do now, found by reading alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import garbage, quarantine
from appliance.chunks.quarantine import Held, What
from appliance.db.database import Database
from appliance.db.sql import Row, Sql
from appliance.upkeep import marks
from appliance.upkeep.check_blobs import check_blobs, notes_on
from appliance.upkeep.check_report import Findings, Steps
from appliance.upkeep.marks import CHUNKS, Part, Table
from appliance.upkeep.merging import small_packs
from appliance.upkeep.paging import newest
from appliance.upkeep.prune import Policy, rows_are_there
from appliance.upkeep.weights import Weights

_DROPPED = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack WHERE dropped_at IS NOT NULL")
_REASONS = Sql("SELECT COUNT(*) FROM garbage")


class Amount(NamedTuple):
    """So many rows or packs, and their bytes."""

    number: int
    bytes: int


_NOTHING = Amount(0, 0)


@dataclass
class Plan:
    """``needless`` rows, by table, would be forgotten, but for what uploads that are ``under_way`` will have named.

    ``empty`` packs would be dropped, those in which something is in quarantine after its time; ``heavy`` ones would be
    written anew, for which ``copied`` bytes are needed; ``small`` ones would be merged; ``dropped`` ones only have to
    be removed. ``leftovers`` tells of blobs without rows.
    """

    quarantine: Held
    has_reason: bool
    under_way: int
    dropped: Amount
    small: Amount
    needless: dict[What, Amount] = field(default_factory=dict)
    empty: Amount = _NOTHING
    heavy: Amount = _NOTHING
    copied: int = 0
    leftovers: list[str] = field(default_factory=list)


def plan(database: Database, backend: Backend, policy: Policy, steps: Steps | None = None) -> Plan:
    """Nothing is changed, not even the epoch.

    Raises:
        Damaged: a manifest cannot be read, or chunks that one names have no row; pruning would refuse as well.
    """
    steps = steps or Steps(None)
    small = small_packs(database)
    with database.read() as session:
        reasons: int = session.value(_REASONS)
        planned = Plan(
            quarantine=quarantine.held(session),
            has_reason=reasons > 0,
            under_way=reasons - len(garbage.reasons(session)),
            dropped=Amount(*session.rows(_DROPPED)[0]),
            small=Amount(len(small), sum(of.size for of in small)),
        )
    _weigh(database, policy, planned, steps)
    planned.leftovers = notes_on(database, check_blobs(database, backend, Findings(), steps))
    return planned


def _weigh(database: Database, policy: Policy, planned: Plan, steps: Steps) -> None:
    with database.read() as session:
        parts = marks.parts(session)
    weights = Weights(database)
    rows, sizes = Counter[What](), Counter[What]()
    steps.begin("manifests", len(parts), "parts")
    for part in parts:
        for table, row in _needless(database, part, weights):
            rows[table.name] += 1
            sizes[table.name] += row[3]
        steps.advance(1)
    weights.add_held(lambda: None)
    planned.needless = {what: Amount(rows[what], sizes[what]) for what in rows}
    packs = list(weights.packs())
    empty = [of for of in packs if not of.used]
    heavy = [of for of in packs if of.is_heavy(policy.dead_percent)]
    planned.empty = Amount(len(empty), sum(of.size for of in empty))
    planned.heavy = Amount(len(heavy), sum(of.size for of in heavy))
    planned.copied = sum(of.used for of in heavy)


def _needless(database: Database, part: Part, weights: Weights) -> Iterator[tuple[Table, Row]]:
    """The rows that no manifest names; ``weights`` takes the others."""
    with database.snapshot() as session:
        named = marks.read_manifests(session, part)
    there = 0
    for table, within in marks.ranges(part):
        for page in table.pages(newest(database), within):
            unnamed = {row[0] for row in named.unnamed(table, page)}
            for row in page:
                if row[0] in unnamed:
                    yield table, row
                elif table is CHUNKS:
                    there += 1
                    weights.add(row[2], row[3])
    rows_are_there(database, part, named, there)
