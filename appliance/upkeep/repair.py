"""Repair: acts on findings. It may run beside the server, be interrupted anywhere, and run again.

In this order: rows that were lost are rebuilt from the packs' own indexes; what is intact again is closed; what is
damaged is taken from another place that has the same bytes; packs without a readable index hand their intact chunks to
new ones; what no version needs is left to prune. What remains is lost, unless somebody uploads it again, and whose it
is is told. Whatever moves is put into new packs: no chunk ever comes to lie in a pack that is there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import findings, garbage
from appliance.chunks.findings import Finding, Noted
from appliance.chunks.pack import pack_key
from appliance.chunks.writers import Writers
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import repair_rows, scrub, scrub_rows
from appliance.upkeep.affected import Affected, Sufferer, affected, sufferer
from appliance.upkeep.check_pack import Pack
from appliance.upkeep.prune import prune
from appliance.upkeep.repair_places import Places
from appliance.upkeep.repair_salvage import salvage
from appliance.upkeep.scrub_packs import PackScrub

_TOLD = 10_000
_TOGETHER = 64

_PACKS = Sql("SELECT id, writer_id, counter, size FROM pack WHERE id IN (:ids*) AND dropped_at IS NULL")


class Repaired(NamedTuple):
    """What was done, or in a dry run would be: rows of chunks written; findings that are intact again, taken from
    another place, no longer needed (or waiting for prune to take what they are about); packs whose intact chunks moved.
    """

    rows: int
    intact: int
    found: int
    salvaged: int
    forgotten: int


@dataclass
class Result:
    """``lost``: findings that remain; ``sufferers``: the versions that need them, the first ten thousand."""

    done: Repaired
    lost: list[Finding] = field(default_factory=list)
    sufferers: list[Sufferer] = field(default_factory=list)


def repair(database: Database, backend: Backend, *, acts: bool) -> Result:
    """Act on what was found, or only tell what would be done.

    Raises:
        BackendError: the blobs as a whole are not there.
    """
    known = _open(database)
    rowless = {each.digest for each in known if each.what == "chunk" and each.place <= 0}
    rebuilt = repair_rows.rebuild_rows(database, backend, acts=acts, asked=rowless)
    if acts:
        if rebuilt.missing > len(rowless):
            # Nobody has noticed: prune refuses to go on until it is known that they are in no pack.
            scrub.note_missing(database)
        scrub.settle(database)
    known = _open(database) if acts else [each for each in known if each.digest not in rebuilt.asked]
    wrong = _look_again(database, backend, known, acts=acts)
    still = _open(database) if acts else [each for each in known if _key(each) in wrong]
    intact = len({_key(each) for each in known} - {_key(each) for each in still})
    need = affected(database, {each.digest for each in still if each.digest})
    run = _Run(database, backend, acts)
    try:
        found = run.take_from_elsewhere(still, need)
        salvaged = run.salvage(still)
        forgotten = run.forget(still, need, found)
    finally:
        run.writers.retire()
    if acts:
        scrub.settle(database)
        database.write(repair_rows.note_gone)
        still = _open(database)
    over = (set() if acts else found) | forgotten
    lost = [each for each in still if each.digest and each.digest not in over]
    done = Repaired(rebuilt.rows, intact, len(found), salvaged, len(forgotten))
    return Result(done, lost, list(_sufferers(database, lost)))


class _Run:
    """The steps that store anew, under one writer."""

    def __init__(self, database: Database, backend: Backend, acts: bool) -> None:
        self.writers = Writers(database)
        self._database = database
        self._backend = backend
        self._acts = acts

    def take_from_elsewhere(self, still: Sequence[Finding], need: Affected) -> set[bytes]:
        """Digests of chunks and small content that have the same bytes in another place, which are stored anew."""
        wanted = {each.digest: each for each in still if each.what in ("chunk", "small") and each.digest in need.needed}
        if not wanted:
            return set()
        places = Places(self._database, self._backend)
        found = places.search({digest: each.what for digest, each in wanted.items()})
        if self._acts and found:
            places.store(found, self.writers)
        return {each.digest for each in found}

    def salvage(self, still: Sequence[Finding]) -> int:
        """Move intact chunks out of packs whose frame is damaged."""
        frames = [each for each in still if each.what == "frame"]
        if self._acts:
            for each in frames:
                salvage(self._database, self._backend, self.writers, each)
        return len(frames)

    def forget(self, still: Sequence[Finding], need: Affected, found: set[bytes]) -> set[bytes]:
        """What no version needs. Where a damaged segment is needed, nobody knows what else is."""
        if any(each.what == "segment" and each.digest in need.needed for each in still):
            return set()
        needless = [each for each in still if each.digest and each.digest not in need.needed]
        if self._acts and needless:
            self._leave(needless)
        return {each.digest for each in needless} - found

    def _leave(self, needless: Sequence[Finding]) -> None:
        """Prune alone knows whether an upload is about to name it."""
        rowless = [each.id for each in needless if each.place <= 0]

        def work(session: Session) -> None:
            findings.close(session, rowless, "forgotten")
            repair_rows.note_gone(session)
            garbage.leave(session)

        self._database.write(work)
        self.writers.retire()
        try:
            prune(self._database, self._backend)
        except Damaged:
            pass  # it goes on when what it needs is there again
        faults.point("repair.forgotten")


def _open(database: Database) -> list[Finding]:
    with database.read() as session:
        return list(findings.all_open(session))


def _key(of: Finding | Noted) -> tuple[str, bytes, int]:
    """What it is about; how much of a pack is damaged does not matter."""
    return "pack" if of.what == "frame" else of.what, of.digest, of.place


def _look_again(
    database: Database, backend: Backend, known: Sequence[Finding], *, acts: bool
) -> set[tuple[str, bytes, int]]:
    """What is wrong in the places of these findings now; if it ``acts``, that is noted."""
    wrong = {_key(each) for each in known if each.place <= 0}
    packs = PackScrub(database, backend, by="scrub", threads=2)
    places = sorted({each.place for each in known if each.what in ("pack", "frame", "chunk") and each.place > 0})
    for start in range(0, len(places), _TOGETHER):
        with database.read() as session:
            found = session.rows(_PACKS, ids=places[start : start + _TOGETHER])
        batch = [Pack(row[0], pack_key(row[1], row[2]), row[3]) for row in found]
        if acts:
            packs.verify(batch)
        else:
            wrong |= {_key(each) for each in packs.look(batch)[1]}
    intact = [each for each in known if each.what in ("small", "segment") and scrub_rows.is_intact(database, each)]
    if acts:
        database.write(lambda session: findings.close(session, [each.id for each in intact], "intact"))
    return wrong | {_key(each) for each in known if each.what in ("small", "segment") and each not in intact}


def _sufferers(database: Database, lost: Sequence[Finding]) -> Iterator[Sufferer]:
    digests = {each.digest for each in lost if each.digest}
    if not digests:
        return
    for node_id, seq in affected(database, digests).versions[:_TOLD]:
        with database.read() as session:
            yield sufferer(session, node_id, seq)
